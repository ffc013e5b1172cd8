# SPDX-License-Identifier: Apache-2.0
"""Waiting for what an agent leans on."""


def wait_for_backend(client, name, state="available"):
    """Until host.info says so of it: told by host.backend, not polled."""
    subscription = client.call("event.subscribe", {"topics": ["host.backend"], "subject": name})["subscription"]
    backends = {each["backend"]: each for each in client.call("host.info")["backends"]}
    if backends[name]["state"] != state:
        client.event(lambda event: event["params"].get("topic") == "host.backend"
                     and event["params"]["subject"] == name and event["params"]["data"]["state"] == state)
    client.call("event.unsubscribe", {"subscription": subscription})
