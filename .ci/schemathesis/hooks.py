"""Has Schemathesis ask as one principal, mostly about what is there, and counts the answers."""

import atexit
import json
import os
import sys
from collections import Counter
from pathlib import Path

import schemathesis
from schemathesis.core.parameters import ParameterLocation as Location

sys.path.insert(0, str(Path(__file__).parent))
from resources import ROOT_KEY, Resources, rng

PRINCIPAL = os.environ["API_AS"]
# How much of what is usable by its description is made usable by what there is.
SHARE = 0.8

resources = Resources(PRINCIPAL)
# By operation, by whether the question was as described, and by status.
answers: Counter[tuple[str, bool, int]] = Counter()
credential = {"secret": ""}
match PRINCIPAL:
    case "root":
        credential["secret"] = ROOT_KEY
    case "viewer":
        credential["secret"] = resources.operator_key("viewer")["secret"]
    case "node":
        # One that only this run can change.
        credential["secret"] = resources.enroll("own", ROOT_KEY)[1]

if credential["secret"]:

    @schemathesis.auth(refresh_interval=None)
    class Bearer:
        def get(self, case, context):
            return credential["secret"]

        def set(self, case, secret, context):
            case.headers["Authorization"] = f"Bearer {secret}"


def operation_id(case) -> str:
    return case.operation.definition.raw.get("operationId", case.operation.label)


def is_usable(case, location) -> bool:
    return case.meta is None or not case.meta.is_negative_at(location)


@schemathesis.hook
def before_call(context, case, kwargs):
    operation, path = operation_id(case), case.path_parameters
    deletes = case.method.upper() == "DELETE"
    if operation in ("delete_network", "delete_tenant", "release_node"):
        if is_usable(case, Location.PATH):
            path.update(resources.doomed(operation))
    elif path and is_usable(case, Location.PATH) and rng.random() < SHARE:
        for parameter in path:
            path[parameter] = resources.known(parameter, deletes) or path[parameter]
    if is_usable(case, Location.QUERY):
        # Cursors are the server's own; and nothing changes while this waits.
        if case.query and rng.random() < SHARE:
            case.query.pop("cursor", None)
        if operation == "end_quarantine":
            case.query = {"force": "true"}
        if operation == "watch_own_node":
            case.query = {**(case.query or {}), "waitSeconds": rng.randrange(2)}
    if case.headers and is_usable(case, Location.HEADER) and rng.random() < SHARE:
        # One that was used for another request, or that nothing has.
        for name in ("Idempotency-Key", "If-Match", "If-None-Match"):
            case.headers.pop(name, None)
    if isinstance(case.body, dict) and is_usable(case, Location.BODY) and rng.random() < SHARE:
        resources.fill(operation, case.body, path or {})


# By whose making or end what there is changes, and under what parameter's name.
KINDS = {
    "block": "block",
    "join_token": "joinToken",
    "node": "node",
    "operator_key": "operatorKey",
    "pool": "pool",
    "reservation": "range",
}


@schemathesis.hook
def after_call(context, case, response):
    operation = operation_id(case)
    described = case.meta is None or case.meta.generation.mode.is_positive
    answers[operation, described, response.status_code] += 1
    noun = operation.partition("_")[2]
    parameter = KINDS.get(noun)
    path = case.path_parameters or {}
    if response.status_code == 201 and parameter:
        thing = response.json()
        if noun == "node":
            thing["id"] = thing["node"]
        if path.get("network") in (None, *resources.network_names()):
            resources.made(parameter, thing)
    elif response.status_code == 204 and case.method.upper() == "DELETE" and parameter in path:
        resources.gone(parameter, path[parameter])
    elif response.status_code == 200 and operation == "change_network":
        network = response.json()
        if network["id"] == resources.network["id"]:
            resources.network = network
    elif response.status_code == 204 and operation == "rotate_own_token":
        credential["secret"] = case.body["nodeToken"]


@atexit.register
def write_answers():
    lines = [[*what, count] for what, count in sorted(answers.items())]
    Path(os.environ["API_ANSWERS"]).write_text(json.dumps(lines))
