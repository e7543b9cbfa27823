"""What the document cannot say of the requests that schemathesis makes up.

A schema tells what each field may be, not what fields must agree on, and durations have a form and no
range. What is made up to be legal is made so here; what is made up to be refused is left alone.
"""

import ipaddress
import re

import schemathesis
from schemathesis.core import NotSet
from schemathesis.generation import GenerationMode

# What each duration may be, where the form alone is not enough.
DURATIONS = {
    "ttl": "30s",
    "slow_start": "10s",
    "protect_for": "10m",
    "ejection_base": "30s",
    "wait": "10ms",
}
SETTINGS = "/v1/services/{service}"


@schemathesis.hook
def before_call(context, case, kwargs):
    waits = case.operation.path in ("/v1/services", SETTINGS) and case.method == "GET"
    if waits and isinstance(case.query, dict):
        # Without one it is 30 s, and up to 10 min with one: as long as any other call may take.
        wait = case.query.get("wait", "30s")
        if isinstance(wait, str) and re.fullmatch("[0-9]{1,12}(ms|s|m|h|d)", wait):
            case.query["wait"] = "10ms"
    if case.operation.path == "/v1/watch":
        # Its reply begins at once and has no end: this is how long it is listened to.
        kwargs["timeout"] = 0.5
    if legal(case):
        case.query = whole(case.query)
        # Setting one that is left out would count as violating the schema.
        if not isinstance(case.body, NotSet):
            case.body = whole(case.body)
            agree(case, case.body)


def legal(case):
    mode = case.meta.generation.mode if case.meta else None
    return mode == GenerationMode.POSITIVE


def whole(value):
    """Numbers as they are meant: 1.0 is whole to a schema, and Python's have no end."""
    if isinstance(value, dict):
        return {key: whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [whole(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return min(value, 2**63) if isinstance(value, int) and not isinstance(value, bool) else value


def agree(case, body):
    path = case.operation.path
    if isinstance(body, dict):
        if path.endswith("/instances/{id}") and body.get("id") is not None:
            body["id"] = case.path_parameters["id"]
        if path == "/v1/batch":
            once(body)
        if "scopes" in body:
            scopes(body)
        instance(body)
        for item in body.get("register") or []:
            instance(item)
    if isinstance(body, list):
        for item in body:
            instance(item)


def instance(body):
    """Makes the fields of an instance, or of settings, agree."""
    for key, text in DURATIONS.items():
        if body.get(key) is not None:
            body[key] = text
    if body.get("ports") is not None:
        body.pop("port", None)
        ports = {(port.get("name", "").lower() if port.get("name") else None,
                  port.get("protocol", "tcp")): port for port in body["ports"]}
        body["ports"] = list(ports.values())
    if "addresses" in body:
        body["addresses"] = [connectable(address) for address in body["addresses"]]
    if body.get("checks"):
        # Which fields belong to which kind, and that there is a port to ask.
        body["checks"] = [{"kind": "ttl", "ttl": "10s"}]
    if body.get("metadata"):
        # Their limits are in bytes.
        body["metadata"] = {
            key.encode()[:128].decode(errors="ignore"):
                None if value is None else value.encode()[:512].decode(errors="ignore")
            for key, value in body["metadata"].items()
        }


def connectable(text):
    address = ipaddress.ip_address(text)
    mapped = getattr(address, "ipv4_mapped", None)
    plain = not (address.is_multicast or address.is_unspecified or address.is_link_local
                 or mapped is not None or text == "255.255.255.255")
    return text if plain else "10.0.0.1"


def once(batch):
    seen = set()
    for key in ("deregister", "register"):
        kept = []
        for item in batch.get(key) or []:
            name = (item["service"].lower(), item["id"].lower())
            if name not in seen:
                seen.add(name)
                kept.append(item)
        if key in batch:
            batch[key] = kept


def scopes(token):
    token["networks"] = ["10.0.0.0/8"] if token.get("networks") else []
    if "register" in token["scopes"] and not token.get("services"):
        token["services"] = ["*"]
