"""What there is on the server under test: made before, and while it is being tested."""

import base64
import json
import os
import random
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

URL, ROOT_KEY = os.environ["API_URL"], os.environ["API_KEY"]
# What a deletion leaves of each kind, so that there is something to read.
KEPT = 2
# How many devices wait to be approved, and how many addresses are in quarantine.
WAITING = 10
# How many of each kind are remembered.
KNOWN = 20

rng = random.Random(os.environ["API_AS"])
counter = iter(range(1, 1 << 30))


def ask(method: str, path: str, body: dict | None = None, key: str = ROOT_KEY) -> dict:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + "/api/v1" + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request) as response:
            return json.loads(response.read() or "{}")
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{method} {path}: {error.code} {error.read().decode()}") from error


def public_key() -> str:
    """A point of Curve25519, as good as any that a device would make."""
    key = bytearray(rng.randbytes(32))
    key[31] &= 0x7F
    return base64.b64encode(key).decode()


def node_token() -> str:
    return rng.randbytes(24).hex()


def running_network() -> dict:
    """A CA of the reference tool, and a host that it has signed."""
    with tempfile.TemporaryDirectory() as made:

        def nebula_cert(*arguments: str) -> None:
            program = os.environ["NEBULA_CERT"]
            subprocess.run([program, *arguments], cwd=made, check=True, capture_output=True)

        nebula_cert("ca", "-version", "2", "-name", "running")
        nebula_cert("sign", "-version", "2", "-name", "host", "-networks", "10.7.0.1/8")
        read = {name: Path(made, name).read_text() for name in ("ca.crt", "ca.key", "host.crt")}
    return {"ca": {"certificate": read["ca.crt"], "key": read["ca.key"]}, "hosts": read["host.crt"]}


def in_an_hour() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))


class Resources:
    """The ids that paths and bodies can name, by the name of their parameter."""

    def __init__(self, name: str) -> None:
        self.tenant = ask("POST", "/tenants", {"name": name})
        pools = ["10.0.0.0/16", "10.1.0.0/16", "fd00:1::/64"]
        network = {"name": name, "prefixes": ["10.0.0.0/8", "fd00::/16"], "pools": pools, "holdSeconds": 0}
        self.network = ask("POST", "/networks", network | {"tenant": self.tenant["id"]})
        path = f"/networks/{name}"
        self.of_network = {
            "pool": ask("GET", path + "/pools")["items"],
            "block": [],
            "range": [],
            "joinToken": [],
            "node": [],
        }
        self.operator_keys = []
        self.running = running_network()
        ask("POST", path + "/cas", self.running["ca"])
        # The one that signs no more can go.
        cas = ask("GET", path + "/cas")["items"]
        self.of_network["ca"] = [ca for ca in cas if ca["state"] != "active"]
        for n in range(KEPT):
            pool = self.pool()
            block = {"name": f"block {n}", "pool": pool["id"], "size": 8}
            self.of_network["block"].append(ask("POST", path + "/blocks", block))
            reserved = {"range": f"10.9.{n}.0/30", "purpose": "nobody"}
            self.of_network["range"].append(ask("POST", path + "/reservations", reserved))
            token = ask("POST", path + "/join-tokens", {"name": f"token {n}", "uses": 10})
            self.of_network["joinToken"].append(token)
            self.of_network["node"].append(self.enroll(f"node {n}", token["secret"])[0])
            self.operator_keys.append(self.operator_key("viewer"))
        # For those that are released.
        for n in range(WAITING):
            self.of_network["node"].append(self.enroll(f"spare {n}", ROOT_KEY)[0])
        asks = {"name": "asks", "approval": True, "uses": WAITING}
        token = ask("POST", path + "/join-tokens", asks)
        for n in range(WAITING):
            self.enroll(f"asks {n}", token["secret"])
        self.of_network["pending"] = ask("GET", path + "/pending")["items"]
        self.quarantined = []
        for n in range(WAITING):
            node = self.enroll(f"released {n}", ROOT_KEY)[0]
            ask("DELETE", f"{path}/nodes/{node['id']}")
            self.quarantined.append(node["addresses"][0].partition("/")[0])

    def operator_key(self, role: str) -> dict:
        return ask("POST", "/operator-keys", {"name": role, "role": role, "scope": "root"})

    def enroll(self, name: str, key: str) -> tuple[dict, str]:
        """A node of its own key, and its token."""
        token = node_token()
        body = {"name": name, "publicKey": public_key(), "nodeToken": token}
        node = ask("POST", "/enroll", body | {"network": self.network["name"]}, key)
        return node | {"id": node.get("node")}, token

    def network_names(self) -> tuple[str, str]:
        return self.network["name"], self.network["id"]

    def pool(self) -> dict:
        return next(it for it in self.of_network["pool"] if it["range"].startswith("10.0."))

    def known(self, parameter: str, deletes: bool) -> str | None:
        """Something that is there, for a parameter of a path."""
        match parameter:
            case "network":
                return rng.choice(self.network_names())
            case "tenant":
                return None if deletes else self.tenant["id"]
            case "address":
                return rng.choice(self.quarantined)
            case "revision":
                return "1"
            case "operatorKey":
                things = self.operator_keys
            case _:
                things = self.of_network.get(parameter, [])
        things = things[KEPT:] if deletes else things
        if not things:
            return None
        return rng.choice(things)["range" if parameter == "range" else "id"]

    def doomed(self, operation: str) -> dict[str, str]:
        """Something of its own for a deletion that would take what others need."""
        name = f"{operation} {os.urandom(6).hex()}"
        if operation == "release_node":
            return {"network": self.network["name"], "node": self.enroll(name, ROOT_KEY)[0]["id"]}
        if operation == "delete_tenant":
            return {"tenant": ask("POST", "/tenants", {"name": name})["id"]}
        return {"network": ask("POST", "/networks", {"name": name, "prefixes": ["10.8.0.0/24"]})["id"]}

    def made(self, parameter: str, thing: dict) -> None:
        things = self.operator_keys if parameter == "operatorKey" else self.of_network[parameter]
        things.append(thing)
        del things[KNOWN:-1]

    def gone(self, parameter: str, name: str) -> None:
        things = self.operator_keys if parameter == "operatorKey" else self.of_network[parameter]
        field = "range" if parameter == "range" else "id"
        things[:] = [it for it in things if it[field] != name]

    def fill(self, operation: str, body: dict, path: dict) -> None:
        """Puts into a body what a description can't tell: addresses, keys, names of what is there."""
        n = next(counter)
        range_ = {
            "create_pool": f"10.{2 + n // 4096 % 4}.{n // 16 % 256}.{n % 16 * 16}/28",
            "create_block": f"10.0.{16 + n // 32 % 200}.{n % 32 * 8}/29",
            "create_reservation": f"10.{10 + n // 16384 % 64}.{n // 64 % 256}.{n % 64 * 4}/30",
            "resize_pool": next(
                (it["range"] for it in self.of_network["pool"] if it["id"] == path.get("pool")), ""
            ),
        }
        is_ours = path.get("network") in self.network_names()
        prefixes = self.network["prefixes"] if is_ours else [f"10.{n % 256}.0.0/16"]
        pending = {it["id"]: it["keyFingerprint"] for it in self.of_network["pending"]}
        usable = {
            "certificates": self.running["hosts"],
            "endpoint": "192.0.2.1:4242",
            "expiresAt": in_an_hour(),
            "fingerprints": [rng.randbytes(32).hex()],
            "keyFingerprint": pending.get(path.get("pending")),
            "mtu": 1400,
            "namePattern": "*",
            "network": self.network["name"],
            "node": self.known("node", deletes=False),
            "nodeToken": node_token(),
            "pool": self.pool()["id"],
            "prefixes": prefixes,
            "publicKey": public_key(),
            "range": range_.get(operation),
            "servers": [{"url": f"https://server-{n}.example"}],
            "tenant": self.tenant["id"],
        }
        if rng.random() < 0.5:
            usable["name"] = f"{operation} {n}"
        for holder in [body, *(value for value in body.values() if isinstance(value, dict))]:
            for field in holder.keys() & usable.keys():
                holder[field] = usable[field]
        # Of these, one at most may stand.
        for one, other in [("expiresAt", "expiresInSeconds"), ("range", "size"), ("ca", "name")]:
            if one in body and other in body:
                del body[one]
        match operation:
            case "add_ca":
                body.clear()
                body.update(self.running["ca"])
            case "change_network":
                body.pop("versions", None)
            case "create_network":
                body.pop("pools", None)
                body["versions"] = rng.choice(["1", "2", "both"])
            case "create_reservation" if "node" in body:
                body["purpose"], body["range"] = "node", body["range"].split("/")[0]
            case "create_reservation":
                body["purpose"] = "nobody"
            case "move_node":
                body.pop("address" if "pool" in body else "pool", None)
                if "address" in body:
                    body["address"] = f"10.0.{230 + n % 20}.{1 + n // 20 % 200}"
            case "enroll_node":
                body["network"] = self.network["name"]
                body.pop("device", None)
