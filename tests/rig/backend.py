# SPDX-License-Identifier: Apache-2.0
"""Waiting for what an agent leans on."""
from .client import RpcError


def wait_for_backend(client, name, state="available"):
    """Until host.info says so of it: told by host.backend, not polled."""
    subscription = client.call("event.subscribe", {"topics": ["host.backend"], "subject": name})["subscription"]
    backends = {each["backend"]: each for each in client.call("host.info")["backends"]}
    if backends[name]["state"] != state:
        client.event(lambda event: event["params"].get("topic") == "host.backend"
                     and event["params"]["subject"] == name and event["params"]["data"]["state"] == state)
    client.call("event.unsubscribe", {"subscription": subscription})


def operations_of(client, volume):
    """What glusterd tells of the volume's operations at this moment; none, too, where it fails to: on a busy machine
    it does, just when a process that moves files begins or ends, or it has only just started beside one."""
    try:
        return client.call("volume.operations", {"volume": volume, "fresh": True})["operations"]
    except RpcError as error:
        if error.name == "BackendFailed" and "'Rebalance' failed" in error.message:
            return []
        raise
