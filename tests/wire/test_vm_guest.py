# SPDX-License-Identifier: Apache-2.0
"""What is asked of guests, on libvirt's test driver: its one domain 'test' has a guest with two file systems."""
import pytest

from rig.backend import wait_for_backend


@pytest.fixture
def client(make_agent):
    with make_agent(arguments=["--libvirt", "test:///default"]).connect() as connection:
        wait_for_backend(connection, "libvirt")
        yield connection


def thawed(event):
    data = event["params"].get("data") or {}
    return event["params"].get("topic") == "vm.changed" and (data.get("change") or {}).get("event") == "thawed"


def test_a_guest_is_frozen_until_it_is_thawed(client):
    frozen = client.call("vm.freeze", {"vm": "test", "timeout": 600})
    assert frozen["fileSystems"] == 2 and frozen["frozenUntil"]
    status = client.call("vm.status", {"vm": "test"})
    assert abs(seconds(status["frozenUntil"]) - seconds(frozen["frozenUntil"])) <= 0.001
    error = client.error("vm.freeze", {"vm": "test"})
    assert error.name == "WrongState" and error.data["state"] == "frozen"
    assert client.call("vm.thaw", {"vm": "test"}) == {"vm": "test", "fileSystems": 2, "frozenUntil": None}
    assert client.call("vm.status", {"vm": "test"})["frozenUntil"] is None
    assert client.call("vm.thaw", {"vm": "test"})["fileSystems"] == 0
    assert "freeze" not in client.call("vm.xml", {"vm": "test"})["xml"]


def seconds(time):
    return float(time.rstrip("Z").rpartition(":")[2])


def test_a_guest_that_nobody_thaws_is_thawed_at_its_deadline(client):
    client.call("event.subscribe", {"topics": ["vm.changed"]})
    client.call("vm.freeze", {"vm": "test", "timeout": 1})
    told = client.event(thawed)
    assert told["params"]["data"]["change"]["reason"] == "deadline"
    assert told["params"]["data"]["frozenUntil"] is None
    assert "freeze" not in client.call("vm.xml", {"vm": "test"})["xml"]
    assert client.call("vm.freeze", {"vm": "test", "mountPoints": ["/boot"]})["fileSystems"] == 1


def test_a_thaw_beside_a_freeze_leaves_no_frozen_guest_without_its_deadline(client):
    for _ in range(20):
        requests = [client.request(verb, {"vm": "test"}) for verb in ("vm.freeze", "vm.thaw")]
        replies = [client.wait(request) for request in requests]
        assert all("result" in reply for reply in replies), replies
        deadline = client.call("vm.status", {"vm": "test"})["frozenUntil"]
        noted = "freeze" in client.call("vm.xml", {"vm": "test"})["xml"]
        frozen = client.call("vm.thaw", {"vm": "test"})["fileSystems"] > 0
        assert (deadline is not None, noted) == (frozen, frozen), replies


def test_what_cannot_be_frozen_leaves_nothing_behind(client):
    client.call("vm.destroy", {"vm": "test"})
    assert client.error("vm.freeze", {"vm": "test"}).name == "WrongState"
    assert client.error("vm.thaw", {"vm": "test"}).name == "WrongState"
    assert client.call("vm.start", {"vm": "test"})["frozenUntil"] is None
    assert client.call("vm.freeze", {"vm": "test"})["fileSystems"] == 2


def test_a_password_is_set_and_told_to_nobody(client):
    client.call("event.subscribe", {"topics": ["*"]})
    assert client.call("vm.setPassword", {"vm": "test", "user": "root", "password": "hush-hush"}) == {}
    history = str(client.call("event.history", {"limit": 1000})) + str(client.call("task.list"))
    assert "vm.setPassword" in history and "hush-hush" not in history
    assert client.error("vm.setPassword", {"vm": "test", "user": "root"}).name == "InvalidParams"


def test_what_a_guest_tells(client):
    # The test driver has no such call; tests/real asks a real guest.
    assert client.error("vm.guestInfo", {"vm": "test"}).name == "BackendFailed"
