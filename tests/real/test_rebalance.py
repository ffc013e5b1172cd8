# SPDX-License-Identifier: Apache-2.0
"""Rebalances: glusterd's own, told the same by every host, whoever is killed meanwhile."""
import json

import pytest

from rig.backend import operations_of
from rig.gluster import wait_for

FILES = 500


def operation(client, volume):
    """The one of that volume, as glusterd tells it now."""
    found = operations(client, volume)
    assert len(found) == 1, found
    return found[0]


def operations(client, volume):
    """Without what a dead brick leaves to be healed."""
    told = client.call("gluster.getOperationStatuses", {"volume": volume, "fresh": True})["operations"]
    return [each for each in told if each["kind"] != "heal"]


def wait_ended(client, volume):
    def ended():
        return [each for each in operations_of(client, volume)
                if each["kind"] != "heal" and each["status"] not in ("running", "pending", "unknown")]
    wait_for(ended, f"the end of {volume}'s operation")
    return operation(client, volume)


@pytest.fixture
def volume(pool):
    """Of two sets of copies, the second one new and empty; and its mount."""
    name = "spread"
    bricks = [pool.brick(number % 3, name, number) for number in range(6)]
    pool.make_volume(name, bricks[:3], "replica", "3", options=[("network.ping-timeout", "100")])
    folder = pool.hosts[0].mount(name)
    written = pool.hosts[0].fill(folder, FILES)
    pool.run("volume", "add-brick", name, *bricks[3:], "force")
    yield name, folder, written
    pool.hosts[0].unmount(name)
    pool.remove_volume(name)


def test_a_rebalance_is_told_by_every_host_whoever_is_killed(pool, host_agents, agents, volume):
    name, folder, written = volume
    first, second, third = agents
    with pool.paused_bricks(pool.brick(0, name, 3)):
        begun = first.call("volume.rebalance", {"volume": name})
        assert begun["volume"] == name and begun["kind"] == "rebalance"
        host_agents[0].kill()  # who began it is gone; it goes on
        refused = second.error("gluster.startVolumeRebalance", {"volume": name})
        assert (refused.name, refused.data["operation"]) == ("WrongState", begun["operation"])
        for host in pool.hosts:
            wait_host(third, name, host, "running")
        running = operation(third, name)
        assert (running["operation"], running["kind"], running["status"]) == \
            (begun["operation"], "rebalance", "running")
        assert {each["host"] for each in running["hosts"]} == {host.address for host in pool.hosts}
        pool.kill_brick(pool.brick(2, name, 2))
        lost = pool.hosts[1]
        lost.kill_glusterd()
        wait_host(third, name, lost, "unknown")
        assert second.error("volume.operations", {"fresh": True}).name == "BackendUnavailable"
        lost.start_glusterd()
        # A process may well give up when a brick dies; and its glusterd knows of that, too.
        wait_for(lambda: host_status(third, name, lost) in ("running", "failed"), "what its glusterd tells")
        assert operation(second, name)["operation"] == begun["operation"]
    wait_for(lambda: not any(host.moves_files(name) for host in pool.hosts), "the end of all processes")
    if host_status(third, name, lost) == "running":
        # glusterd 10.3 mostly does not hear the end of a process that it found when it started.
        lost.kill_glusterd()
        lost.start_glusterd()
    pool.wait_connected()
    ended = wait_ended(second, name)
    # What counts is that no file gives up.
    assert ended["operation"] == begun["operation"] and ended["status"] in ("completed", "failed")
    assert ended["files"] == sum(each["files"] for each in ended["hosts"]) > 0
    assert operation(third, name) == ended
    with host_agents[0].start().connect() as newborn:
        assert operations(newborn, name) == [ended]
    pool.restart_bricks(name, 6)
    pool.wait_healed(name)
    assert pool.hosts[0].checksums(folder) == written


def host_status(client, volume, host):
    """None: it is not told of."""
    return next((each["status"] for found in operations_of(client, volume) if found["kind"] != "heal"
                 for each in found["hosts"] if each["host"] == host.address), None)


def wait_host(client, volume, host, status):
    wait_for(lambda: host_status(client, volume, host) == status, f"{host.name} to be {status}")


def told_statuses(client, operation):
    events = client.call("event.history", {"topics": ["volume.operation"]})["events"]
    return [event["data"]["status"] for event in events if event["data"]["operation"] == operation]


def test_a_rebalance_is_stopped_and_one_of_the_layout_moves_nothing(pool, host_agents, agents, volume):
    name, folder, written = volume
    first, second, third = agents
    assert first.error("volume.stopRebalance", {"volume": name}).data["state"] == "idle"
    assert first.error("volume.rebalance", {"volume": "nosuch"}).name == "NotFound"
    assert first.error("volume.rebalance", {"volume": name, "fixLayout": True, "force": True}).name == "InvalidParams"
    # The command line follows it to its end, though no task stands behind it.
    done = host_agents[1].cli("volume", "rebalance", "--volume", name, "--fix-layout", "--wait", "--format", "json",
                              check=0)
    ended = json.loads(done.stdout)
    assert (ended["kind"], ended["status"], ended["files"]) == ("fixLayout", "completed", 0)
    # It has ended by itself: that is told, and stays told.
    assert third.call("volume.stopRebalance", {"volume": name}) == ended == operation(first, name)
    with pool.paused_bricks(pool.brick(0, name, 3)):
        begun = second.call("volume.rebalance", {"volume": name, "force": True})
        for host in pool.hosts:
            wait_host(third, name, host, "running")
        stopped = third.call("volume.stopRebalance", {"volume": name})
    assert (stopped["operation"], stopped["status"]) == (begun["operation"], "stopped")
    assert operations(first, name) == []
    # glusterd has forgotten it, and still its end is an event.
    wait_for(lambda: told_statuses(third, begun["operation"])[-1:] == ["stopped"], "the event of its end")
    assert third.error("volume.stopRebalance", {"volume": name}).data["state"] == "idle"
    assert pool.hosts[0].checksums(folder) == written
