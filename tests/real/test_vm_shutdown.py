# SPDX-License-Identifier: Apache-2.0
"""Guests that are asked to shut down, by their power button and by their agent; and one that does not listen."""
import pytest

from rig.backend import wait_for_backend
from rig.gluster import wait_for

GUEST = "sleepy"


@pytest.fixture(scope="module")
def guest(virt_host):
    virt_host.start_guest(GUEST)
    yield GUEST
    virt_host.remove_guest(GUEST)


@pytest.fixture
def client(make_agent, virt_host, guest):
    with make_agent(**virt_host.agent_options()).connect() as connection:
        wait_for_backend(connection, "libvirt")
        if virt_host.domain_state(guest) != "running":
            connection.call("vm.start", {"vm": guest})
        virt_host.wait_guest(guest)
        virt_host.wait_power_button(guest)
        yield connection


@pytest.mark.parametrize("mode", ["acpi", "agent"])
def test_a_guest_shuts_down_and_is_waited_for(client, guest, mode):
    ended = client.call("vm.shutdown", {"vm": guest, "mode": mode, "timeout": 170})
    assert (ended["state"], ended["reason"]) == ("shutoff", "shutdown")
    assert client.call("vm.status", {"vm": guest}) == ended


@pytest.fixture
def deaf(client, virt_host, guest):
    """To its power button, until it is started anew."""
    virt_host.run_in_guest(guest, "kill -STOP $(pidof acpid)")
    yield guest
    virt_host.virsh("destroy", guest, check=False)


def test_a_guest_that_does_not_listen_goes_on_unless_it_is_forced(client, deaf):
    wish = {"vm": deaf, "mode": "acpi", "timeout": 1}
    error = client.error("vm.shutdown", wish)
    assert error.name == "Timeout" and "'force'" in error.message, error
    assert client.call("vm.status", {"vm": deaf})["state"] == "running"
    ended = client.call("vm.shutdown", {**wish, "force": True})
    assert (ended["state"], ended["reason"]) == ("shutoff", "destroyed")


def test_who_waits_no_longer_leaves_the_guest_alone(client, deaf):
    wish = {"vm": deaf, "mode": "acpi", "timeout": 600, "force": True}
    request = client.request("vm.shutdown", wish, id="waits")
    wait_for(lambda: "it shuts down" in str(client.call("task.status", {"task": "waits"})), "its end to be waited for")
    client.call("task.abort", {"task": "waits"})
    assert client.wait(request)["error"]["data"]["name"] == "TaskAborted"
    assert client.call("vm.status", {"vm": deaf})["state"] == "running"
