"""Brings a device in through a client that openapi-python-client has made of the description.

usage: API_URL=… API_KEY=… NEBULA_CERT=… enrol.py
"""

import io
import os
import secrets
import subprocess
import tempfile
import zipfile
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from nebula_control_plane import AuthenticatedClient
from nebula_control_plane.api.join_tokens import create_join_token
from nebula_control_plane.api.networks import create_network
from nebula_control_plane.api.node import fetch_own_bundle, report_own_node, watch_own_node
from nebula_control_plane.api.nodes import enroll_node, read_node
from nebula_control_plane.models import (
    Desired,
    EnrollmentBody,
    NewJoinTokenBody,
    NewNetworkBody,
    Report,
    Versions,
)

NETWORK = "python"


def client(secret: str) -> AuthenticatedClient:
    return AuthenticatedClient(os.environ["API_URL"], secret, raise_on_unexpected_status=True)


def expect(response, status: int):
    assert response.status_code == status, response.content
    return response.parsed


operator = client(os.environ["API_KEY"])
# Version 1: any release of nebula-cert reads it.
body = NewNetworkBody(NETWORK, ["10.42.0.0/24"], versions=Versions.ONE)
network = expect(create_network.sync_detailed(client=operator, body=body), 201)
body = NewJoinTokenBody("laptops", groups=["laptop"])
token = expect(create_join_token.sync_detailed(NETWORK, client=operator, body=body), 201)

key = X25519PrivateKey.generate()
public = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
body = EnrollmentBody(name="laptop", node_token=secrets.token_hex(24), public_key=public.hex())
enrolled = expect(enroll_node.sync_detailed(client=client(token.secret), body=body), 201)
again = expect(enroll_node.sync_detailed(client=client(token.secret), body=body), 200)
assert again.certificates == enrolled.certificates

node = client(body.node_token)
bundle = fetch_own_bundle.sync_detailed(client=node)
expect(bundle, 200)
with tempfile.TemporaryDirectory() as directory:
    zipfile.ZipFile(io.BytesIO(bundle.content)).extractall(directory)
    certificate = Path(directory, "node.crt")
    assert certificate.read_text() == "".join(enrolled.certificates)
    nebula_cert = os.environ["NEBULA_CERT"]
    verify = [nebula_cert, "verify", "-ca", Path(directory, "ca.crt"), "-crt", certificate]
    subprocess.run(verify, check=True)
    described = subprocess.run(
        [nebula_cert, "print", "-path", certificate], check=True, capture_output=True, text=True
    ).stdout
    assert public.hex() in described and "10.42.0.1/24" in described, described

now = expect(watch_own_node.sync_detailed(client=node, wait_seconds=1), 200)
assert now == Desired(enrolled.generation, enrolled.revision)
has = {"revision": now.revision, "generation": now.generation}
expect(watch_own_node.sync_detailed(client=node, wait_seconds=0, **has), 204)
expect(report_own_node.sync_detailed(client=node, body=Report(**has)), 204)
seen = expect(read_node.sync_detailed(NETWORK, enrolled.node, client=operator), 200)
assert seen.applied.revision == now.revision, seen
print(f"a client in Python brought in {seen.name} with {', '.join(enrolled.addresses)}")
