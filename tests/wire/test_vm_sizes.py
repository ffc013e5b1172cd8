# SPDX-License-Identifier: Apache-2.0
"""Changes of a VM on libvirt's test driver: of what runs, of what is defined, and of both."""
import base64
import struct
import xml.etree.ElementTree as ElementTree

import pytest

MIB = 1 << 20
MAC = "52:54:00:00:00:01"
DOMAIN = f"""<domain type="test"><name>web1</name><uuid>3ae3e2d4-2b7a-4d5c-9b8e-000000000001</uuid>
<memory unit="MiB">1024</memory><currentMemory unit="MiB">512</currentMemory><vcpu current="2">4</vcpu>
<os><type arch="x86_64">hvm</type></os>
<devices>
  <disk type="file" device="disk"><source file="/nowhere"/><target dev="vda" bus="virtio"/></disk>
  <interface type="user"><mac address="{MAC}"/></interface>
  <video><model type="vga"/></video>
</devices></domain>"""


@pytest.fixture
def client(make_agent, tmp_path):
    (tmp_path / "web1.xml").write_text(DOMAIN)
    (tmp_path / "node.xml").write_text(f'<node><domain file="{tmp_path}/web1.xml"/></node>')
    with make_agent(arguments=["--libvirt", f"test://{tmp_path}/node.xml"]).connect() as connection:
        connection.call("event.subscribe", {"topics": ["host.backend"], "snapshot": True})
        backends = {each["backend"]: each for each in connection.call("host.info")["backends"]}
        if backends["libvirt"]["state"] != "available":
            connection.event(lambda event: event["params"].get("subject") == "libvirt"
                             and event["params"]["data"]["state"] == "available")
        yield connection


def described(client, inactive=False):
    return ElementTree.fromstring(client.call("vm.xml", {"vm": "web1", "inactive": inactive})["xml"])


def memory(client, inactive=False):
    """(now, at most)"""
    root = described(client, inactive)
    return tuple(int(root.findtext(name)) * 1024 for name in ("currentMemory", "memory"))


def cpus(client, inactive=False):
    """(now, at most)"""
    node = described(client, inactive).find("vcpu")
    return int(node.get("current", node.text)), int(node.text)


def test_memory_is_set_for_what_runs_and_for_what_is_defined(client):
    answer = client.call("vm.setMemory", {"vm": "web1", "memory": 640 * MIB})
    assert answer["vm"] == "web1" and answer["live"] and answer["config"] and answer["device"] is None
    assert memory(client) == memory(client, True) == (640 * MIB, 1024 * MIB)
    assert client.call("vm.status", {"vm": "web1"})["memory"] == 640 * MIB
    answer = client.call("vm.setMemory", {"vm": "web1", "memory": 700 * MIB, "scope": "live"})
    assert answer["live"] and not answer["config"]
    answer = client.call("vm.setMemory", {"vm": "web1", "memory": 2000 * MIB, "maxMemory": 2048 * MIB, "scope": "config"})
    assert answer["config"] and not answer["live"]
    assert memory(client) == (700 * MIB, 1024 * MIB) and memory(client, True) == (2000 * MIB, 2048 * MIB)
    answer = client.call("vm.setMemory", {"vm": "web1", "maxMemory": 1536 * MIB})
    assert answer["config"] and not answer["live"]
    assert memory(client, True) == (1536 * MIB, 1536 * MIB)


def test_memory_out_of_bounds_changes_nothing(client):
    before = memory(client), memory(client, True)
    for params, param in (({}, "memory"), ({"memory": 1025 * MIB}, "memory"), ({"memory": 512 * MIB + 1}, "memory"),
                          ({"maxMemory": 512 * MIB + 512}, "maxMemory"), ({"memory": 0}, "memory"),
                          ({"memory": 1100 * MIB, "maxMemory": 2048 * MIB}, "memory"),
                          ({"memory": 900 * MIB, "maxMemory": 800 * MIB, "scope": "config"}, "memory")):
        error = client.error("vm.setMemory", {"vm": "web1", **params})
        assert error.name == "InvalidParams" and error.data["param"] == param, (params, error)
    for params in ({}, {"memory": 600 * MIB}):
        error = client.error("vm.setMemory", {"vm": "web1", "maxMemory": 2048 * MIB, "scope": "live", **params})
        assert error.name == "WrongState", (params, error)
    assert (memory(client), memory(client, True)) == before


def test_cpus_are_set_for_what_runs_and_for_what_is_defined(client):
    answer = client.call("vm.setCpus", {"vm": "web1", "cpus": 3})
    assert answer["live"] and answer["config"]
    assert cpus(client) == cpus(client, True) == (3, 4)
    assert client.call("vm.status", {"vm": "web1"})["cpus"] == 3
    answer = client.call("vm.setCpus", {"vm": "web1", "cpus": 8, "maxCpus": 8, "scope": "config"})
    assert answer["config"] and not answer["live"]
    assert cpus(client) == (3, 4) and cpus(client, True) == (8, 8)
    answer = client.call("vm.setCpus", {"vm": "web1", "maxCpus": 2})
    assert answer["config"] and not answer["live"] and cpus(client, True) == (2, 2)
    for params in ({}, {"cpus": 5}, {"cpus": 3, "maxCpus": 2, "scope": "config"}, {"cpus": 0}):
        error = client.error("vm.setCpus", {"vm": "web1", **params})
        assert error.name == "InvalidParams" and error.data["param"] == "cpus", (params, error)
    for params in ({}, {"cpus": 2}):
        error = client.error("vm.setCpus", {"vm": "web1", "maxCpus": 4, "scope": "live", **params})
        assert error.name == "WrongState", (params, error)
    assert cpus(client) == (3, 4) and cpus(client, True) == (2, 2)


def test_a_scope_that_is_not_there_is_refused(client):
    client.call("vm.destroy", {"vm": "web1"})
    error = client.error("vm.setMemory", {"vm": "web1", "memory": 600 * MIB, "scope": "live"})
    assert error.name == "WrongState" and error.data["state"] == "off"
    answer = client.call("vm.setMemory", {"vm": "web1", "memory": 600 * MIB})
    assert answer["config"] and not answer["live"] and memory(client, True)[0] == 600 * MIB
    assert client.call("vm.setCpus", {"vm": "web1", "cpus": 1})["config"] and cpus(client, True) == (1, 4)


def test_a_screen_is_a_png(client):
    answer = client.call("vm.screenshot", {"vm": "web1"})
    data = base64.b64decode(answer["data"], validate=True)
    assert data.startswith(b"\x89PNG\r\n\x1a\n") and answer["mimeType"] == "image/png" and answer["scale"] == 1
    assert struct.unpack(">II", data[16:24]) == (answer["width"], answer["height"])


def test_what_has_no_alias_is_taken_out_of_the_definition_only(client):
    for verb, params in (("detachDisk", {"disk": "vda"}), ("detachNetwork", {"network": MAC})):
        error = client.error(f"vm.{verb}", {"vm": "web1", **params})
        assert error.name == "WrongState" and "scope config" in error.data["needs"], (verb, error)
    assert [disk["target"] for disk in client.call("vm.status", {"vm": "web1"})["disks"]] == ["vda"]


def test_a_vm_that_is_not_there(client):
    for verb, params in (("setMemory", {"memory": MIB}), ("setCpus", {"cpus": 1}), ("screenshot", {}), ("consoleTicket", {})):
        error = client.error(f"vm.{verb}", {"vm": "nobody", **params})
        assert error.name == "NotFound" and error.data["id"] == "nobody", (verb, error)
    error = client.error("vm.consoleTicket", {"vm": "web1"})
    assert error.name == "NotFound" and error.data["kind"] == "console"


def network_bounds(client, inactive=False):
    node = described(client, inactive).find("devices/interface/bandwidth")
    return {} if node is None else {each.tag: dict(each.attrib) for each in node}


def test_only_the_bounds_that_are_given_change(client):
    answer = client.call("vm.tune", {"vm": "web1", "networks": [{"network": MAC.upper(), "receive": 100000, "receiveBurst": 2048}]})
    assert answer["live"] and answer["config"]
    assert network_bounds(client) == network_bounds(client, True) == {"inbound": {"average": "100", "burst": "2"}}
    client.call("vm.tune", {"vm": "web1", "networks": [{"network": MAC, "send": 7000}], "scope": "config"})
    assert network_bounds(client) == {"inbound": {"average": "100", "burst": "2"}}
    assert network_bounds(client, True) == {"inbound": {"average": "100", "burst": "2"}, "outbound": {"average": "7"}}
    client.call("vm.tune", {"vm": "web1", "networks": [{"network": MAC, "receive": 0, "receiveBurst": 0}]})
    assert network_bounds(client) == {} and network_bounds(client, True) == {"outbound": {"average": "7"}}


def test_a_bound_that_cannot_be_changes_nothing(client):
    before = network_bounds(client)
    for params in ({}, {"networks": [{"network": MAC, "receive": 1001}]}, {"cpuQuota": 10}, {"cpuShares": 1},
                   {"disks": [{"disk": "vda", "bytes": -1}]}, {"disks": [{"bytes": 1}]}):
        assert client.error("vm.tune", {"vm": "web1", **params}).name == "InvalidParams", params
    for bound, value in (("receive", 1001), ("sendBurst", 1000), ("receive", 1000 << 32)):  # the last is 0 in 32 bits
        error = client.error("vm.tune", {"vm": "web1", "networks": [{"network": MAC, bound: value}]})
        assert error.data["param"] == f"networks[0].{bound}", error
    for params, kind in (({"disks": [{"disk": "vdz", "bytes": 1}]}, "disk"),
                         ({"networks": [{"network": "vnet9", "receive": 1000}]}, "network")):
        error = client.error("vm.tune", {"vm": "web1", **params})
        assert error.name == "NotFound" and error.data["kind"] == kind, (params, error)
    assert network_bounds(client) == before
