# SPDX-License-Identifier: Apache-2.0
"""brick.add, replace and reset: no file is lost, and the last good copy is not given away."""
import itertools

import pytest

from rig.gluster import wait_for

numbers = itertools.count(1)
FILES = 60


@pytest.fixture
def name(pool):
    """Of a volume that is gone at the end, with its bricks."""
    volume = f"brick{next(numbers)}"
    yield volume
    pool.run("volume", "stop", volume, "force", check=False)
    pool.run("volume", "delete", volume, check=False)
    for host in pool.hosts:
        host.inside("sh", "-c", f"umount /mnt/{volume}; rm -rf /bricks/{volume}-*")


@pytest.fixture
def replica(pool, name):
    """Three bricks with files: the name, the bricks, where it is mounted, the files' checksums."""
    bricks = [pool.brick(host, name, 0) for host in range(3)]
    pool.make_volume(name, bricks, "replica", "3")
    folder = pool.hosts[0].mount(name)
    return name, bricks, folder, pool.hosts[0].fill(folder, FILES)


def bricks_told(answer):
    return [each["brick"] for each in answer["bricks"]]


def wait_on_brick(pool, name, brick, files):
    """Until the brick itself has all of them.  The healers look once in ten minutes unless they are told."""
    address, path = brick.split(":", 1)
    host = next(host for host in pool.hosts if host.address == address)

    def whole():
        pool.run("volume", "heal", name, check=False)
        return host.inside("test", "-d", path).returncode == 0 and host.checksums(path) == files
    wait_for(whole, f"the files on {brick}")


def modes(pool, folder):
    return pool.hosts[0].inside("sh", "-c", f"find {folder} -type d | xargs stat -c '%a %n'", check=True).stdout


def test_sets_are_added_and_files_stay(pool, agents, name):
    bricks = [pool.brick(host, name, 0) for host in range(2)]
    pool.make_volume(name, bricks)
    folder = pool.hosts[0].mount(name)
    files = pool.hosts[0].fill(folder, FILES)
    before = modes(pool, folder)
    more = [pool.brick(2, name, 0), pool.brick(0, name, 1)]
    answer = agents[1].call("brick.add", {"volume": name, "bricks": more})
    assert (answer["type"], answer["distribute"]) == ("distribute", 4)
    assert bricks_told(answer) == bricks + more
    pool.wait_online(name, 4)
    # The mount has to reach the new bricks first.
    wait_for(lambda: pool.hosts[0].checksums(folder) == files, "the files")
    assert modes(pool, folder) == before
    again = agents[2].error("brick.add", {"volume": name, "bricks": more})
    assert again.name == "AlreadyExists" and again.data == {**again.data, "kind": "brick", "id": more[0]}


def test_a_second_set_is_added_when_forced_or_before_the_first_start(pool, agents, name):
    """Directories lose their modes: told in gluster/brick-verbs.c."""
    sets = [[pool.brick(host, name, number) for host in range(3)] for number in range(3)]
    agents[0].call("volume.create", {"volume": name, "bricks": sets[0], "replica": 3})
    assert agents[1].call("brick.add", {"volume": name, "bricks": sets[1]})["distribute"] == 2
    assert agents[1].call("brick.add", {"volume": name, "bricks": sets[2]})["distribute"] == 3
    agents[2].call("volume.delete", {"volume": name})
    agents[0].call("volume.create", {"volume": name, "bricks": sets[0], "replica": 3, "start": True, "force": True})
    error = agents[1].error("brick.add", {"volume": name, "bricks": sets[1]})
    assert error.name == "WrongState" and error.data["state"] == "one set of bricks" and "force" in error.data["needs"]
    answer = agents[1].call("brick.add", {"volume": name, "bricks": sets[1], "force": True})
    assert (answer["distribute"], bricks_told(answer)) == (2, sets[0] + sets[1])
    for params, param, reason in [
            ({"bricks": sets[2][:1]}, "bricks", "name 2 more, or 1 fewer"),
            ({"bricks": [sets[2][0], sets[2][1], pool.brick(1, name, 9)]}, "bricks", "on one host"),
            ({"bricks": [f"{brick}/x" for brick in sets[0]], "force": True}, "bricks", "neither may lie"),
            ({"bricks": sets[2], "replica": 2}, "replica", "more than 3")]:
        error = agents[0].error("brick.add", {"volume": name, **params})
        assert error.name == "InvalidParams" and error.data["param"] == param and reason in error.data["reason"], error


def test_replicas_are_raised_and_the_new_copies_are_whole(pool, agents, name):
    bricks = [pool.brick(host, name, 0) for host in range(2)]
    pool.make_volume(name, bricks)
    folder = pool.hosts[2].mount(name)
    files = pool.hosts[2].fill(folder, FILES)
    copies = [pool.brick(host, name, 1) for host in (1, 2)]
    answer = agents[0].call("brick.add", {"volume": name, "bricks": copies, "replica": 2})
    assert (answer["distribute"], answer["replica"], answer["arbiter"]) == (2, 2, 0)
    assert bricks_told(answer) == [bricks[0], copies[0], bricks[1], copies[1]]
    pool.wait_online(name, 4)
    pool.wait_healed(name)
    arbiters = [pool.brick(host, name, 2) for host in (2, 0)]
    params = {"volume": name, "bricks": arbiters, "replica": 3, "arbiter": 1}
    # glusterd 10.3 compares with the hosts of all sets.
    strict = agents[1].error("brick.add", params)
    assert strict.name == "InvalidParams" and "'force'" in strict.data["reason"]
    pool.kill_brick(bricks[0])
    pool.wait_dead(name, 3)
    down = agents[1].error("brick.add", {**params, "force": True})
    assert down.name == "WrongState" and (down.data["state"], down.data["bricks"]) == ("bricks down", [bricks[0]])
    agents[0].call("volume.start", {"volume": name, "force": True})
    pool.wait_online(name, 4)
    answer = agents[1].call("brick.add", {**params, "force": True})
    assert (answer["distribute"], answer["replica"], answer["arbiter"]) == (2, 3, 1)
    pool.wait_online(name, 6)
    pool.wait_healed(name)
    wait_for(lambda: pool.hosts[2].checksums(folder) == files, "the files")
    on_bricks = pool.hosts[1].checksums(f"/bricks/{name}-1") | pool.hosts[2].checksums(f"/bricks/{name}-1")
    assert on_bricks == files


def test_a_brick_is_replaced_and_the_new_one_is_whole(pool, agents, replica):
    name, bricks, folder, files = replica
    new = pool.brick(1, name, 5)
    params = {"volume": name, "brick": bricks[1], "newBrick": new}
    answer = agents[2].call("brick.replace", params)
    assert bricks_told(answer) == [bricks[0], new, bricks[2]]
    wait_on_brick(pool, name, new, files)
    assert pool.hosts[0].checksums(folder) == files
    again = agents[0].error("brick.replace", params)
    assert again.name == "AlreadyExists" and again.data["id"] == new
    gone = agents[0].error("brick.replace", {**params, "newBrick": pool.brick(1, name, 6)})
    assert gone.name == "NotFound" and (gone.data["kind"], gone.data["id"]) == ("brick", bricks[1])
    shared = agents[0].error("brick.replace", {**params, "brick": new, "newBrick": pool.brick(0, name, 6)})
    assert shared.name == "InvalidParams" and shared.data["param"] == "newBrick"


def test_the_last_good_copy_is_not_replaced_unless_forced(pool, agents, replica):
    name, bricks, _, _ = replica
    params = {"volume": name, "brick": bricks[0], "newBrick": pool.brick(0, name, 5)}
    pool.kill_brick(bricks[1])
    pool.wait_dead(name, 2)

    def refused(verb, **more):
        error = agents[1].error(verb, {**params, **more})
        return error.name == "WrongState" and error.data.get("bricks") == [bricks[1]]
    assert refused("brick.replace")
    del params["newBrick"]
    assert refused("brick.reset", action="start")
    # The dead one itself can be spared.
    answer = agents[1].call("brick.replace", {"volume": name, "brick": bricks[1], "newBrick": pool.brick(1, name, 5)})
    assert bricks_told(answer)[1] == pool.brick(1, name, 5)
    pool.kill_brick(bricks[2])
    forced = {"volume": name, "brick": bricks[0], "newBrick": pool.brick(0, name, 5), "force": True}
    assert bricks_told(agents[0].call("brick.replace", forced))[0] == pool.brick(0, name, 5)


def test_a_brick_that_the_others_are_healed_from_is_kept(pool, agents, replica):
    name, bricks, folder, _ = replica
    pool.run("volume", "set", name, "cluster.self-heal-daemon", "off")
    pool.kill_brick(bricks[1])
    wait_for(lambda: bricks[1] not in pool.brick_pids(name), "the death of a brick")
    pool.hosts[0].fill(folder, 5, "meanwhile")
    agents[0].call("volume.start", {"volume": name, "force": True})
    pool.wait_online(name, 3)
    params = {"volume": name, "brick": bricks[0], "newBrick": pool.brick(0, name, 5)}
    error = agents[0].error("brick.replace", params)
    assert error.name == "WrongState" and error.data["state"] == "healing" and error.data["entries"] > 0
    pool.run("volume", "set", name, "cluster.self-heal-daemon", "on")
    wait_for(lambda: pool.run("volume", "heal", name, check=False).returncode == 0, "the healers")
    pool.wait_healed(name)
    assert bricks_told(agents[0].call("brick.replace", params))[0] == params["newBrick"]


def test_a_brick_is_reset_and_whole_again(pool, agents, replica):
    name, bricks, _, files = replica
    params = {"volume": name, "brick": bricks[1]}
    early = agents[0].error("brick.reset", {**params, "action": "commit"})
    assert early.name == "WrongState" and early.data["state"] == "online"
    for _ in range(2):
        assert bricks_told(agents[0].call("brick.reset", {**params, "action": "start"})) == bricks
    assert bricks[1] not in pool.brick_pids(name)
    full = agents[1].error("brick.reset", {**params, "action": "commit"})
    assert full.name == "WrongState" and full.data["state"] == "used by a volume"
    path = bricks[1].split(":", 1)[1]
    pool.hosts[1].inside("sh", "-c", f"rm -r {path} && mkdir {path}", check=True)
    # Another host goes on where the first left off.
    commit = {**params, "action": "commit", "newBrick": bricks[1]}
    assert bricks_told(agents[2].call("brick.reset", commit)) == bricks
    wait_on_brick(pool, name, bricks[1], files)
    pool.wait_healed(name)
    agents[0].call("brick.reset", {**params, "action": "start"})
    assert bricks_told(agents[0].call("brick.reset", {**params, "action": "commit", "force": True})) == bricks
    pool.wait_online(name, 3)
    for wrong, param in [({"action": "start", "newBrick": bricks[1]}, "newBrick"),
                         ({"action": "commit", "newBrick": pool.brick(1, name, 5)}, "newBrick"),
                         ({"action": "commit", "brick": "nonsense"}, "brick")]:
        error = agents[0].error("brick.reset", {**params, **wrong})
        assert error.name == "InvalidParams" and error.data["param"] == param, error
    error = agents[0].error("brick.reset", {**params, "brick": pool.brick(1, name, 7), "action": "start"})
    assert error.name == "NotFound" and error.data["kind"] == "brick"


def test_a_dispersed_brick_of_a_host_that_is_down_is_replaced_elsewhere(pool, agents, name):
    bricks = [pool.brick(host, name, 0) for host in range(3)]
    pool.make_volume(name, bricks, "disperse", "3", "redundancy", "1")
    folder = pool.hosts[0].mount(name)
    files = pool.hosts[0].fill(folder, FILES)
    new = pool.brick(1, name, 5)
    params = {"volume": name, "brick": bricks[2], "newBrick": new}
    shared = agents[0].error("brick.replace", params)
    assert shared.name == "InvalidParams" and "on the host of" in shared.data["reason"]
    pool.hosts[2].stop_glusterd()
    try:
        down = agents[0].error("brick.replace", {**params, "newBrick": pool.brick(2, name, 5)})
        assert down.name == "WrongState" and down.data["state"] == "a peer is down"
        answer = agents[0].call("brick.replace", {**params, "force": True})
        assert bricks_told(answer) == [*bricks[:2], new]
        assert pool.hosts[0].checksums(folder) == files
    finally:
        pool.hosts[2].start_glusterd()
        pool.wait_connected()
    pool.wait_healed(name)
    # Two of three are enough, and one of these two is the new one.
    pool.kill_brick(bricks[0])
    assert pool.hosts[0].checksums(folder) == files


def test_single_copies_are_neither_replaced_nor_reset(pool, agents, name):
    bricks = [pool.brick(host, name, 0) for host in range(2)]
    agents[0].call("volume.create", {"volume": name, "bricks": bricks, "start": True})
    new = pool.brick(2, name, 0)
    for verb, more in (("brick.replace", {"newBrick": new}), ("brick.replace", {"newBrick": new, "force": True}),
                       ("brick.reset", {"action": "start"})):
        error = agents[0].error(verb, {"volume": name, "brick": bricks[0], **more})
        assert error.name == "WrongState" and error.data["state"] == "without copies", verb
    agents[0].call("volume.stop", {"volume": name})
    assert bricks_told(agents[0].call("brick.add", {"volume": name, "bricks": [new]})) == [*bricks, new]
    stranger = agents[0].error("brick.add", {"volume": name, "bricks": ["10.77.2.99:/bricks/x"]})
    assert stranger.name == "BackendFailed" and "peer.list" in stranger.message


def test_bricks_of_unknown_volumes_are_not_found(pool, agents):
    brick = pool.brick(0, "nosuch", 0)
    for verb, more in (("brick.add", {"bricks": [brick]}),
                       ("brick.replace", {"brick": brick, "newBrick": pool.brick(0, "nosuch", 1)}),
                       ("brick.reset", {"brick": brick, "action": "start"})):
        error = agents[0].error(verb, {"volume": "nosuch", **more})
        assert error.name == "NotFound" and (error.data["kind"], error.data["id"]) == ("volume", "nosuch")


def test_hosts_that_add_bricks_at_once_all_come_through(pool, agents, name):
    first = [pool.brick(host, name, 0) for host in range(2)]
    agents[0].call("volume.create", {"volume": name, "bricks": first, "start": True})
    new = [pool.brick(host, name, number) for host in range(3) for number in (1, 2)]
    ids = [(agents[number % 3], agents[number % 3].request("brick.add", {"volume": name, "bricks": [brick]}))
           for number, brick in enumerate(new)]
    answers = [client.wait(id) for client, id in ids]
    assert all("result" in answer for answer in answers), answers
    volumes = agents[1].call("volume.list", {"fresh": True})["volumes"]
    mine = next(volume for volume in volumes if volume["volume"] == name)
    assert sorted(bricks_told(mine)) == sorted([*first, *new])
