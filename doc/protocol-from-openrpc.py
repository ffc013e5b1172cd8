#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""hostlerd --print-openrpc | doc/protocol-from-openrpc.py > doc/protocol.md

The verbs as a page for people.  tests/lint/lint-protocol.sh keeps the page equal to the tables.
"""
import json
import sys

KINDS = {"reads": "only reads", "changes": "answers when it is done", "answersEarly": "answers early and runs on",
         "readsLong": "only reads; kept like long work"}



def row(name, type_, required, about, schema):
    """A parameter's line, and behind it those of the members that it is a record of."""
    kind = " \\| ".join(f"`{choice}`" for choice in schema["enum"]) if "enum" in schema else type_
    default = "required" if required else json.dumps(schema["default"]) if "default" in schema else ""
    print(f"| `{name}` | {kind} | {default} | {about} |")
    record = schema.get("items", schema)
    for member, inner in record.get("properties", {}).items():
        row(f"{name}{'[]' if 'items' in schema else ''}.{member}", inner["x-type"], member in record["required"],
            inner["description"], inner)


document = json.load(sys.stdin)
print("# Protocol\n\nMade from the verb tables by `doc/protocol-from-openrpc.py`; `rpc.discover` answers the same as an"
      " OpenRPC\ndocument. How calls, ids, errors and events work: `doc/architecture.md`. Beside its own parameters"
      " every verb takes\n`taskId`, `once` and `ifInstance`.")
resource = None
for method in document["methods"]:
    if method["name"].split(".")[0] != resource:
        resource = method["name"].split(".")[0]
        print(f"\n## {resource}")
    print(f"\n### {method['name']}\n\n{method['summary']}")
    if method.get("description"):
        print(f"\n{method['description']}")
    aliases = f", also `{'`, `'.join(method['x-aliases'])}`" if method["x-aliases"] else ""
    print(f"\nRole `{method['x-role']}`; {KINDS[method['x-kind']]}{aliases}. Result: `{method['result']['name']}`.")
    if method["params"]:
        print("\n| parameter | type | default | |\n| --- | --- | --- | --- |")
        for param in method["params"]:
            row(param["name"], param["x-type"], param["required"], param["description"], param["schema"])
    if method["errors"]:
        print("\nErrors: " + ", ".join(f"`{error['data']['name']}`" for error in method["errors"]) + ".")
print("\n## Errors\n\n| code | name | when |\n| --- | --- | --- |")
for error in document["x-errors"]:
    print(f"| {error['code']} | {error['name']} | {error['meaning']} |")
print("\n## Topics\n\n" + ", ".join(f"`{topic}`" for topic in document["x-topics"]) + ".")
