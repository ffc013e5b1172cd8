# SPDX-License-Identifier: Apache-2.0
"""What is asked of a real guest through its agent; and that a frozen one is thawed in time, whoever has died."""
import pytest

from rig.backend import wait_for_backend
from rig.gluster import wait_for


@pytest.fixture
def agent(make_agent, virt_host):
    return make_agent(**virt_host.agent_options())


@pytest.fixture
def client(agent, virt_host, running_guest):
    virt_host.wait_guest(running_guest)
    with agent.connect() as connection:
        wait_for_backend(connection, "libvirt")
        yield connection


def thawed_told(name):
    return lambda event: (event["params"].get("topic") == "vm.changed" and event["params"]["subject"] == name
                          and event["params"]["data"].get("change", {}).get("event") == "thawed")


def test_a_guest_tells_of_itself(client, virt_host, running_guest):
    wait_for(lambda: client.call("vm.status", {"vm": running_guest})["guestAgent"] == "connected", "its agent to be told")
    told = client.call("vm.guestInfo", {"vm": running_guest})
    assert told["vm"] == running_guest
    guest = told["guest"]
    assert {each["name"] for each in guest["interfaces"]} >= {"lo"}
    assert [each["mountpoint"] for each in guest["fileSystems"]] and guest["hostname"]
    client.call("vm.setPassword", {"vm": running_guest, "user": "root", "password": "s3cret"})


def test_a_guest_is_frozen_and_thawed(client, virt_host, running_guest):
    frozen = client.call("vm.freeze", {"vm": running_guest, "timeout": 300})
    assert frozen["fileSystems"] >= 1
    assert virt_host.guest_agent(running_guest, "guest-fsfreeze-status") == "frozen"
    assert client.error("vm.freeze", {"vm": running_guest}).data["state"] == "frozen"
    assert client.call("vm.thaw", {"vm": running_guest})["fileSystems"] == frozen["fileSystems"]
    assert virt_host.guest_agent(running_guest, "guest-fsfreeze-status") == "thawed"
    assert client.call("vm.status", {"vm": running_guest})["frozenUntil"] is None


def test_a_frozen_guest_is_thawed_by_an_agent_that_has_just_started(agent, client, virt_host, running_guest):
    client.call("vm.freeze", {"vm": running_guest, "timeout": 10})
    agent.kill()
    assert virt_host.guest_agent(running_guest, "guest-fsfreeze-status") == "frozen"
    agent.start()
    with agent.connect() as newborn:
        newborn.call("event.subscribe", {"topics": ["vm.changed"], "snapshot": True})
        told = newborn.event(thawed_told(running_guest))["params"]["data"]
        assert told["change"]["reason"] == "deadline" and told["frozenUntil"] is None
    assert virt_host.guest_agent(running_guest, "guest-fsfreeze-status") == "thawed"


def test_a_guest_that_does_not_answer_is_told_so_and_not_frozen_for_ever(client, virt_host, running_guest):
    # Nothing more is asked of it, and the answer does not count: it may come too late.
    virt_host.guest_agent(running_guest, "guest-exec", check=False, path="/bin/sh", arg=[
        "-c", "sleep 1; kill -STOP $(pidof qemu-ga); echo agent stopped >/dev/console"])
    virt_host.wait_console(running_guest, "agent stopped\n")
    error = client.error("vm.freeze", {"vm": running_guest, "timeout": 60})
    assert error.name == "WrongState" and error.data["needs"] == "a guest agent that answers", error
    assert "freeze" not in client.call("vm.xml", {"vm": running_guest})["xml"]
