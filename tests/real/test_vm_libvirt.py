# SPDX-License-Identifier: Apache-2.0
"""A real libvirtd that dies, comes back or falls silent under the agent, and a QEMU that dies: what the agent tells,
and how soon it refuses what nobody would answer."""
import threading

import pytest

from rig.backend import wait_for_backend
from rig.client import TIMEOUT
from rig.virt import domain_xml


@pytest.fixture
def agent(make_agent, virt_host):
    return make_agent(**virt_host.agent_options())


@pytest.fixture
def client(agent, running_guest):
    with agent.connect() as connection:
        wait_for_backend(connection, "libvirt")
        connection.call("event.subscribe", {"topics": ["vm.*", "host.backend"]})
        yield connection


def backend_told(state):
    return lambda event: (event["params"].get("topic") == "host.backend" and event["params"]["subject"] == "libvirt"
                          and event["params"]["data"]["state"] == state)


def change_told(name, change):
    return lambda event: (event["params"].get("topic") == "vm.changed" and event["params"]["subject"] == name
                          and event["params"]["data"].get("change", {}).get("event") == change)


def test_a_libvirtd_that_dies_is_told_of_and_found_again(client, virt_host, running_guest):
    before = client.call("vm.status", {"vm": running_guest})
    assert before["state"] == "running" and before["virtualization"] == "qemu"
    virt_host.kill_libvirtd()
    client.event(backend_told("unavailable"))
    listed = client.call("vm.list")
    assert not listed["current"] and running_guest in [each["vm"] for each in listed["vms"]]
    for verb in ("status", "pause", "xml", "guestInfo"):
        error = client.error(f"vm.{verb}", {"vm": running_guest})
        assert error.name == "BackendUnavailable" and error.data["backend"] == "libvirt", (verb, error)
    virt_host.start_libvirtd()
    client.event(backend_told("available"))
    assert client.call("vm.list")["current"]
    assert client.call("vm.status", {"vm": running_guest}) == before
    assert client.call("vm.pause", {"vm": running_guest})["state"] == "paused"
    assert client.call("vm.resume", {"vm": running_guest})["state"] == "running"


def test_what_has_changed_meanwhile_is_told_when_it_is_back(client, virt_host, running_guest):
    virt_host.start_domain(domain_xml("doomed"), define=False)
    client.event(change_told("doomed", "started"))
    virt_host.kill_libvirtd()
    client.event(backend_told("unavailable"))
    virt_host.kill_qemu("doomed")
    virt_host.start_libvirtd()
    client.event(backend_told("available"))
    assert client.error("vm.status", {"vm": "doomed"}).name == "NotFound"
    history = client.call("event.history", {"topics": ["vm.removed"]})["events"]
    assert [each["data"]["vm"] for each in history] == ["doomed"]


def test_a_silent_libvirtd_is_waited_for_no_longer_than_its_limit(client, agent, virt_host, running_guest):
    virt_host.pause_libvirtd()
    try:
        answers = []
        with agent.connect() as other:
            waiting = threading.Thread(target=lambda: answers.append(other.error("vm.pause", {"vm": running_guest})))
            waiting.start()
            # Nobody else is kept waiting, and polls are answered.
            assert client.call("host.ping") == {}
            assert client.call("vm.status", {"vm": running_guest})["vm"] == running_guest
            client.event(backend_told("unavailable"))
            waiting.join(timeout=TIMEOUT)
            assert [error.name for error in answers] == ["BackendUnavailable"], answers
        assert client.error("vm.pause", {"vm": running_guest}).name == "BackendUnavailable"
    finally:
        virt_host.pause_libvirtd(False)
    client.event(backend_told("available"))
    # libvirtd has gone on with what it was asked, or has not.
    assert client.call("vm.resume", {"vm": running_guest})["state"] == "running"


def test_a_qemu_that_dies_is_a_failure_and_its_vm_can_be_started_again(client, virt_host):
    virt_host.start_domain(domain_xml("dies"))
    try:
        client.event(change_told("dies", "started"))
        virt_host.kill_qemu("dies")
        told = client.event(change_told("dies", "stopped"))["params"]["data"]
        assert (told["state"], told["reason"]) == ("shutoff", "failed")
        assert client.call("vm.start", {"vm": "dies", "paused": True})["state"] == "paused"
        assert client.call("vm.reset", {"vm": "dies"})["state"] == "paused"
        assert client.call("vm.destroy", {"vm": "dies"})["reason"] == "destroyed"
    finally:
        virt_host.remove_guest("dies")


def test_a_qemu_that_hangs_holds_up_its_own_vm_only(agent, client, virt_host, running_guest):
    virt_host.start_domain(domain_xml("hangs"), define=False)
    client.event(change_told("hangs", "started"))
    virt_host.pause_qemu("hangs")
    with agent.connect() as other:
        asked = [other.request("vm.pause", {"vm": "hangs"}) for _ in range(6)]
        assert client.call("vm.pause", {"vm": running_guest})["state"] == "paused"
        assert client.call("vm.resume", {"vm": running_guest})["state"] == "running"
        assert client.call("vm.status", {"vm": "hangs"})["state"] == "running"
        virt_host.kill_qemu("hangs")
        client.event(lambda event: event["params"].get("topic") == "vm.removed")
        for id in asked:
            assert other.wait(id)["error"]["data"]["name"] in ("NotFound", "WrongState", "BackendFailed", "Busy")


def test_an_agent_that_starts_finds_what_runs(agent, client, virt_host, running_guest):
    before = client.call("vm.status", {"vm": running_guest})
    agent.kill()
    agent.start()
    with agent.connect() as newborn:
        wait_for_backend(newborn, "libvirt")
        after = newborn.call("vm.status", {"vm": running_guest})
        assert {**after, "since": None, "reason": None} == {**before, "since": None, "reason": None}
