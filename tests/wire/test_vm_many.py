# SPDX-License-Identifier: Apache-2.0
"""Many VMs on libvirt's test driver, all of which change their state at once: each change is told, and once."""
import collections
import uuid

import pytest

from rig.backend import wait_for_backend

COUNT = 500
CHANGES = 20  # of each: 10,000 in all

DOMAIN = """<domain type='test'><name>vm{number:03}</name><uuid>{uuid}</uuid><memory>131072</memory><vcpu>1</vcpu>
<os><type arch='i686'>hvm</type></os><devices><disk type='file' device='disk'><source file='/disks/{number}'/>
<target dev='vda' bus='virtio'/></disk></devices></domain>"""


@pytest.fixture
def client(make_agent, tmp_path):
    domains = "".join(DOMAIN.format(number=number, uuid=uuid.uuid4()) for number in range(COUNT))
    node = tmp_path / "node.xml"
    node.write_text(f"<node>{domains}<cpu><mhz>1000</mhz><model>i686</model><active>1</active></cpu>"
                    "<memory>8192000</memory></node>")
    with make_agent(arguments=["--libvirt", f"test://{node}"]).connect() as connection:
        wait_for_backend(connection, "libvirt")
        yield connection


def test_no_change_is_lost_and_none_is_told_twice(client):
    names = [each["vm"] for each in client.call("vm.list", {"limit": 1000})["vms"]]
    assert len(names) == COUNT and names == sorted(names)
    since = client.call("event.subscribe", {"topics": ["vm.*"]})["seq"]
    told = collections.defaultdict(list)
    for turn in range(CHANGES):
        verb = ("vm.pause", "vm.resume")[turn % 2]
        ids = [client.request(verb, {"vm": name}) for name in names]
        for id in ids:
            answer = client.wait(id)
            assert answer["result"]["state"] == ("paused", "running")[turn % 2], answer
    for _ in range(COUNT * CHANGES):
        event = client.event(lambda event: event["params"].get("topic", "").startswith("vm."))["params"]
        assert event["topic"] == "vm.changed" and event["seq"] > since, event
        since = event["seq"]
        told[event["subject"]].append((event["data"]["change"]["event"], event["data"]["state"]))
    assert sorted(told) == names
    for name in names:
        assert told[name] == [("paused", "paused"), ("resumed", "running")] * (CHANGES // 2), name
    # Nothing else was told meanwhile, and nothing comes after.
    client.call("vm.pause", {"vm": names[0]})
    last = client.event(lambda event: event["params"].get("topic", "").startswith("vm."))["params"]
    assert last["subject"] == names[0] and last["data"]["change"]["event"] == "paused"


def test_a_list_comes_in_pages(client):
    seen, after = [], None
    while True:
        page = client.call("vm.list", {"limit": 123, **({"after": after} if after else {})})
        seen += [each["vm"] for each in page["vms"]]
        after = page.get("next")
        if not after:
            break
    assert seen == [f"vm{number:03}" for number in range(COUNT)]
    assert client.call("vm.list", {"state": "shutoff"})["vms"] == []
