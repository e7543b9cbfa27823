"""Holds values to schemas of the document: `validate.py DOCUMENT < CASES`.

Each case is {"what", "schema", "value"}. What replies may say is all in the document: here an object
has no other fields than those that are described, which clients are asked to ignore.
"""

import json
import sys

import jsonschema_rs


def closed(schema, opened):
    if isinstance(schema, list):
        return [closed(item, opened) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: closed(value, opened) for key, value in schema.items() if key != "$ref"}
    if "$ref" in schema:
        result["$ref"] = schema["$ref"]
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not opened:
        result.setdefault("additionalProperties", False)
    return result


with open(sys.argv[1]) as file:
    document = json.load(file)
schemas = document["components"]["schemas"]
# Parts of what is put together of several.
parts = {
    part["$ref"].rsplit("/", 1)[-1]
    for schema in schemas.values() for part in schema.get("allOf", []) if "$ref" in part
}
components = {
    "schemas": {
        name: closed(schema, name in parts or "allOf" in schema or name == "OpenApi")
        for name, schema in schemas.items()
    }
}
failed = False
for case in json.load(sys.stdin):
    validator = jsonschema_rs.validator_for({**case["schema"], "components": components})
    for error in validator.iter_errors(case["value"]):
        failed = True
        print(f"{case['what']}: {'/'.join(map(str, error.instance_path))}: {error.message}")
sys.exit(failed)
