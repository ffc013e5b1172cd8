#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""check-recorded.py BUILD-FOLDER RECORD-FOLDER

Reads what rig/client.py recorded of a whole run and fails unless each result matched its verb's
schema in the OpenRPC document, and each verb and each error code (but InternalError) was seen.
"""
import collections
import json
import pathlib
import subprocess
import sys

import jsonschema

# Errors that nothing in this version can answer yet, with the reason.  An entry that is seen all
# the same is a failure too, so that this list cannot rot.
NOT_YET = {
}


def main(build, folder):
    document = json.loads(subprocess.run([f"{build}/hostlerd", "--print-openrpc"], check=True,
                                         capture_output=True).stdout)
    methods = {}
    for method in document["methods"]:
        for name in [method["name"], *method.get("x-aliases", [])]:
            methods[name] = method
    validators = {}
    for name, method in methods.items():
        schema = dict(method["result"]["schema"], components=document["components"])
        validators[name] = jsonschema.Draft7Validator(schema)

    seen, errors, failures = collections.Counter(), collections.Counter(), []
    checked = 0
    for path in pathlib.Path(folder).glob("*.jsonl"):
        waiting = {}
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            message = entry["message"]
            if not isinstance(message, dict):
                continue
            key = json.dumps(message.get("id"))
            if entry["kind"] == "request" and isinstance(message.get("method"), str):
                waiting.setdefault(key, []).append(message["method"])
                seen[message["method"]] += 1
            elif entry["kind"] == "reply":
                verb = (waiting.get(key) or [None])[-1]
                if "error" in message:
                    name = (message["error"].get("data") or {}).get("name")
                    errors[name] += 1
                    if name == "InternalError":
                        failures.append(f"{verb}: InternalError: {message['error']}")
                elif verb in validators:
                    checked += 1
                    # What a long call failed with after its answer stands in the task's status.
                    if isinstance(message["result"], dict) and isinstance(message["result"].get("error"), dict):
                        errors[message["result"]["error"]["data"]["name"]] += 1
                    fault = next(validators[verb].iter_errors(message["result"]), None)
                    if fault is not None:
                        failures.append(f"{verb}: {fault.message} at {list(fault.absolute_path)} "
                                        f"in {json.dumps(message['result'])[:600]}")

    for method in document["methods"]:
        if not any(seen[name] for name in [method["name"], *method.get("x-aliases", [])]):
            failures.append(f"no test called {method['name']}")
    for error in document["x-errors"]:
        name = error["name"]
        if name == "InternalError":
            continue
        if name in NOT_YET and errors[name]:
            failures.append(f"{name} was seen: take it off NOT_YET in {__file__}")
        elif name not in NOT_YET and not errors[name]:
            failures.append(f"no test provoked {name}")
    for failure in failures[:40]:
        print(f"recorded: {failure}")
    print(f"recorded: {checked} results against their schemas, {len(seen)} methods, "
          f"{len(errors)} errors, {len(failures)} failures")
    return 1 if failures or not checked else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
