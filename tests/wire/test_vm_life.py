# SPDX-License-Identifier: Apache-2.0
"""The life of a VM on libvirt's test driver, whose one domain is called 'test': each change of state is one event."""
import pytest

from rig.backend import wait_for_backend


@pytest.fixture
def driver(make_agent):
    return make_agent(arguments=["--libvirt", "test:///default"])


@pytest.fixture
def client(driver):
    with driver.connect() as connection:
        wait_for_backend(connection, "libvirt")
        yield connection


def changes(client):
    """What vm.changed has told so far."""
    history = client.call("event.history", {"topics": ["vm.*"], "limit": 1000})["events"]
    return [(each["topic"], each["data"].get("change", {}).get("event"), each["data"].get("state")) for each in history]


def test_a_vm_that_is_there_is_listed_and_shown(client):
    listed = client.call("vm.list")
    assert listed["current"] and [each["vm"] for each in listed["vms"]] == ["test"]
    status = client.call("vm.status", {"vm": "test"})
    assert status == listed["vms"][0] and status["state"] == "running"
    assert client.call("vm.status", {"vm": status["uuid"]}) == status
    assert client.call("vm.list", {"state": "paused"})["vms"] == []
    assert "<name>test</name>" in client.call("vm.xml", {"vm": "test"})["xml"]


def test_by_hand_a_vm_is_a_line_of_a_list(client, driver):
    heading, line = driver.cli("vm", "list").stdout.splitlines()
    assert heading.split() == ["VM", "STATE", "MEMORY", "CPUS", "UUID"]
    assert line.split()[:2] == ["test", "running"]
    assert "state:          running" in driver.cli("vm", "status", "--vm", "test").stdout


def test_each_change_of_state_is_one_event_and_is_known_when_it_is_answered(client):
    for verb, event, state in (("pause", "paused", "paused"), ("resume", "resumed", "running"),
                               ("destroy", "stopped", "shutoff"), ("start", "started", "running"),
                               ("reset", None, "running"), ("pause", "paused", "paused"),
                               ("destroy", "stopped", "shutoff")):
        before = len(changes(client))
        answer = client.call(f"vm.{verb}", {"vm": "test"})
        assert answer["state"] == state
        assert client.call("vm.status", {"vm": "test"}) == answer
        assert changes(client)[before:] == ([("vm.changed", event, state)] if event else [])


def test_a_guest_that_is_asked_to_shut_down_is_waited_for(client):
    answer = client.call("vm.shutdown", {"vm": "test", "timeout": 20})
    assert answer["state"] == "shutoff" and answer["reason"] == "shutdown"
    assert client.error("vm.shutdown", {"vm": "test"}).name == "WrongState"
    assert client.call("vm.start", {"vm": "test"})["state"] == "running"
    assert client.error("vm.start", {"vm": "test"}).name == "WrongState"
    assert client.call("vm.reboot", {"vm": "test"})["vm"] == "test"


def test_a_vm_that_is_not_there(client):
    for verb in ("status", "xml", "start", "pause", "resume", "shutdown", "reboot", "reset", "destroy"):
        error = client.error(f"vm.{verb}", {"vm": "nobody"})
        assert error.name == "NotFound" and error.data["id"] == "nobody", (verb, error)


def test_a_snapshot_of_events_tells_of_each_vm(client):
    client.call("event.subscribe", {"topics": ["vm.changed"], "snapshot": True})
    told = client.event(lambda event: event["params"].get("topic") == "vm.changed")
    assert told["params"]["snapshot"] and told["params"]["data"]["vm"] == "test"


def test_switched_off_is_told_so(make_agent):
    with make_agent().connect() as client:
        for verb, params in (("vm.list", {}), ("vm.status", {"vm": "test"}), ("vm.start", {"vm": "test"})):
            error = client.error(verb, params)
            assert error.name == "BackendUnavailable" and "--libvirt none" in error.data["reason"], error
