# SPDX-License-Identifier: Apache-2.0
"""Bricks leave a volume with all their files: declared, driven by whoever asks, on whatever host, after
whatever kill; and in single moves."""
import pytest

from rig.backend import operations_of
from rig.gluster import wait_for

FILES = 1000


@pytest.fixture(scope="module")
def shrinking(pool):
    """A volume, its mount, and what is in it.  Two of its bricks are to leave, each by one of the tests."""
    name = "shrinking"
    pool.make_volume(name, [pool.brick(min(number, 2), name, number) for number in range(4)],
                     options=[("network.ping-timeout", "100"), ("cluster.rebal-throttle", "lazy")])
    folder = pool.hosts[0].mount(name)
    yield name, folder, pool.hosts[0].fill(folder, FILES)
    pool.hosts[0].unmount(name)
    pool.remove_volume(name)


def operations(client, volume):
    return client.call("volume.operations", {"volume": volume, "fresh": True})["operations"]


def bricks_of(client, volume):
    volumes = client.call("volume.list", {"fresh": True})["volumes"]
    return [each["brick"] for listed in volumes if listed["volume"] == volume for each in listed["bricks"]]


def wait_status(client, volume, status):
    wait_for(lambda: [each["status"] for each in operations_of(client, volume)] == [status], f"a removal {status}")


def test_bricks_are_set_offline_whatever_is_killed_and_whoever_asks(pool, host_agents, agents, shrinking):
    name, folder, written = shrinking
    first, second, third = agents
    brick, others = pool.brick(2, name, 3), [pool.brick(0, name, 0), pool.brick(1, name, 1)]
    leave, stay = ({"volume": name, "bricks": [brick], "offline": offline} for offline in (True, False))
    assert first.call("brick.setOffline", stay)["state"] == "serving"
    with pool.paused_bricks(*others):
        begun = first.call("brick.setOffline", leave, id="first")
        wait_status(third, name, "running")
        assert begun["state"] == "removing" and begun["operation"] == operations(third, name)[0]["operation"]
        assert second.call("brick.setOffline", leave, id="second") == begun  # one removal, which two drive
        refused = third.error("brick.setOffline", {**leave, "bricks": others[:1]})
        assert (refused.name, refused.data["operation"]) == ("WrongState", begun["operation"])
        cancelled = third.call("brick.setOffline", stay)
        assert (cancelled["state"], operations(third, name)) == ("serving", [])
        for client, task in ((first, "first"), (second, "second")):
            status = client.call("task.wait", {"task": task})
            assert (status["status"], status["error"]["data"]["name"]) == ("failed", "WrongState"), status
            assert "cancelled" in status["error"]["message"]
    # The cancelled one's process would be in the way of the next one's: the same file, moved by two.
    wait_for(lambda: not pool.hosts[2].moves_files(name), "the end of the cancelled removal's process")
    with pool.paused_bricks(*others):
        begun = first.call("brick.setOffline", leave)
        host_agents[0].kill()
        pool.hosts[2].kill_glusterd()
        wait_status(second, name, "unknown")
        assert second.call("brick.setOffline", leave, id="goes on")["operation"] == begun["operation"]
        pool.hosts[2].start_glusterd()
        wait_status(second, name, "running")
        assert operations(second, name)[0]["operation"] == begun["operation"] and brick in bricks_of(second, name)
        # glusterd 10.3 does not hear of the end of a process that it found when it started: it then tells for ever
        # that this runs or, if it sees the connection end first, that it failed, though no file has.  When it starts
        # after that end it begins a process of its own.
        pool.hosts[2].kill_glusterd()
    wait_for(lambda: not pool.hosts[2].moves_files(name), "the end of the removal's process")
    pool.hosts[2].start_glusterd()
    status = second.call("task.wait", {"task": "goes on"})
    assert status["status"] == "done" and status["result"]["state"] == "absent", status
    assert status["progress"]["unit"] == "files"
    assert brick not in bricks_of(second, name) and operations(second, name) == []
    assert second.run("brick.setOffline", leave)["result"]["state"] == "absent"
    refused = second.error("brick.setOffline", stay)
    assert (refused.name, refused.data["state"]) == ("WrongState", "absent")
    assert pool.hosts[0].checksums(folder) == written


def test_a_removal_goes_in_single_moves_and_a_commit_loses_nothing(pool, agents, shrinking):
    name, folder, written = shrinking
    first, second, third = agents
    brick, others = pool.brick(2, name, 2), [pool.brick(0, name, 0), pool.brick(1, name, 1)]
    this, declared = {"volume": name, "bricks": [brick]}, {"volume": name, "bricks": [brick], "offline": True}
    assert first.error("brick.commit", this).data["state"] == "idle"
    assert first.error("brick.remove", {"volume": name, "bricks": ["h:/x"]}).data["kind"] == "brick"
    assert first.error("brick.remove", {"volume": name, "bricks": bricks_of(first, name)}).name == "WrongState"
    wait_for(lambda: not pool.hosts[2].moves_files(name), "the end of another removal's process")
    with pool.paused_bricks(*others):
        begun = first.call("brick.remove", this)
        wait_status(second, name, "running")
        assert begun["kind"] == "removal" and operations(second, name)[0]["bricks"] == [brick]
        refused = second.error("brick.remove", this)
        assert (refused.name, refused.data["operation"]) == ("WrongState", begun["operation"])
        assert second.error("volume.rebalance", {"volume": name}).data["operation"] == begun["operation"]
        refused = third.error("brick.commit", {"volume": name})
        assert (refused.name, refused.data["state"]) == ("WrongState", "running")
    # All files have left: either way is open still.
    wait_status(third, name, "waitingForCommit")
    assert third.call("brick.setOffline", {**declared, "offline": False})["state"] == "serving"
    assert operations(first, name) == [] and second.call("brick.cancel", this)["volume"] == name
    assert second.error("brick.cancel", {"volume": name}).data["state"] == "idle"
    second.call("brick.remove", this)
    wait_status(third, name, "waitingForCommit")
    found = first.run("brick.setOffline", declared)
    assert (found["status"], found["result"]["state"]) == ("done", "absent")
    assert brick not in [each["brick"] for each in first.call("brick.commit", this)["bricks"]]  # it is committed
    assert pool.hosts[0].checksums(folder) == written


def test_files_are_given_up_by_force_only(pool, agents):
    client = agents[0]
    copies, single = ([pool.brick(number, name, number) for number in range(3)] for name in ("copies", "single"))
    pool.make_volume("copies", copies, "replica", "3")
    less = {"volume": "copies", "bricks": copies[2:], "replica": 2}
    refused = client.error("brick.remove", less)
    assert (refused.name, refused.data["param"]) == ("InvalidParams", "force")
    # Declared, it waits until no copy is the only good one.
    folder = pool.hosts[0].mount("copies")
    pool.kill_brick(copies[1])
    pool.hosts[0].fill(folder, 50)
    assert client.call("brick.setOffline", {**less, "offline": True}, id="copies")["state"] == "serving"
    heal = []
    wait_for(lambda: heal[:] or heal.extend(each for each in operations_of(client, "copies") if each["remaining"]),
             "something to heal")
    assert (heal[0]["operation"], heal[0]["kind"], heal[0]["status"]) == ("heal-copies", "heal", "pending")
    assert client.call("task.status", {"task": "copies"})["status"] == "running"
    assert bricks_of(client, "copies") == copies
    pool.restart_bricks("copies", 3)
    status = client.call("task.wait", {"task": "copies"})
    assert (status["status"], status["result"]["state"]) == ("done", "absent"), status
    assert bricks_of(client, "copies") == copies[:2]
    assert client.call("brick.remove", {"volume": "copies", "bricks": copies[1:2], "replica": 1, "force": True}) == \
        {"volume": "copies", "operation": None, "kind": "removal"}
    assert len(pool.hosts[0].checksums(folder)) == 50
    pool.hosts[0].unmount("copies")
    pool.remove_volume("copies")
    pool.make_volume("single", single, options=[("network.ping-timeout", "100"), ("cluster.rebal-throttle", "lazy")])
    folder = pool.hosts[0].mount("single")
    written = pool.hosts[0].fill(folder, 500)
    pool.hosts[0].unmount("single")
    with pool.paused_bricks(single[0]):
        client.call("brick.remove", {"volume": "single", "bricks": single[2:]})
        pool.kill_brick(single[1])
    wait_status(client, "single", "failed")
    pool.restart_bricks("single", 3)
    refused = client.error("brick.commit", {"volume": "single"})
    assert refused.data["state"] == "failed" and pool.hosts[2].address in refused.message
    refused = client.error("brick.setOffline", {"volume": "single", "bricks": single[2:], "offline": True})
    assert refused.data["state"] == "failed"
    left = client.call("brick.commit", {"volume": "single", "force": True})
    assert [each["brick"] for each in left["bricks"]] == single[:2]
    folder = pool.hosts[0].mount("single")
    assert set(pool.hosts[0].checksums(folder).items()) < set(written.items())
    pool.hosts[0].unmount("single")
    pool.remove_volume("single")
