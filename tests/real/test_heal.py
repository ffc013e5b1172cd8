# SPDX-License-Identifier: Apache-2.0
"""volume.healInfo and volume.heal: what bricks missed, made good; and copies that contradict each other."""
import itertools

import pytest

from rig.client import RpcError
from rig.gluster import wait_for

numbers = itertools.count(1)


@pytest.fixture
def client(agents):
    return agents[0]


@pytest.fixture
def made(pool):
    """made(NAME, bricks, *kind): a started volume; gone after the test."""
    volumes = []

    def make(name, bricks, *kind, options=()):
        name = f"{name}{next(numbers)}"
        bricks = [pool.brick(index, name, 0) for index in range(bricks)]
        pool.make_volume(name, bricks, *kind, options=options)
        volumes.append(name)
        return name, bricks

    yield make
    for name in volumes:
        for host in pool.hosts:
            if host.inside("mountpoint", "-q", f"/mnt/{name}").returncode == 0:
                host.unmount(name)
        pool.remove_volume(name)


def kill(pool, volume, brick):
    pool.kill_brick(brick)
    wait_for(lambda: brick not in pool.brick_pids(volume), "the end of a brick")


def info(client, volume, **more):
    return client.call("volume.healInfo", {"volume": volume, "fresh": True, **more})["bricks"]


def refusal(client, method, params):
    with pytest.raises(RpcError) as failure:
        client.call(method, params)
    return failure.value


@pytest.mark.parametrize("kind", (("replica", "3"), ("disperse", "3", "redundancy", "1")), ids=("replica", "disperse"))
def test_what_a_dead_brick_missed_is_counted_and_then_healed(pool, client, made, kind):
    volume, bricks = made("heal", 3, *kind)
    host = pool.hosts[0]
    folder = host.mount(volume)
    kill(pool, volume, bricks[2])
    written = host.fill(folder, 30, "missed")
    first, second, dead = info(client, volume, limit=5)
    # The files, and the two folders they are in.
    for brick in (first, second):
        assert (brick["connected"], brick["entries"], brick["pending"]) == (True, 33, 33)
        assert (brick["splitBrain"], brick["healing"]) == (0, 0)
        assert len(brick["files"]) == 5 and brick["truncated"]
        assert all(each["path"] is None or each["path"].startswith("/") for each in brick["files"])
    assert first["brick"] == bricks[0]
    assert dead == {"brick": bricks[2], "peer": dead["peer"], "connected": False, "entries": None, "pending": None,
                    "splitBrain": None, "healing": None, "files": [], "truncated": False}
    peers = {each["host"]: each["peer"] for each in client.call("peer.list")["peers"]}
    assert (second["peer"], dead["peer"]) == tuple(peers[pool.hosts[i].address] for i in (1, 2))
    every = {each["path"] for each in info(client, volume, limit=100)[0]["files"]} - {None}
    assert {f"/{name}" for name in written} <= every
    assert info(client, volume, limit=0)[0]["files"] == []

    pool.restart_bricks(volume, 3)
    wait_for(lambda: begun(client, volume, full=kind[0] == "disperse"), "the beginning of healing")
    wait_for(lambda: all(each["entries"] == 0 for each in info(client, volume, limit=0)), "zero to heal")
    if kind[0] == "replica":
        for index in range(3):
            assert pool.hosts[index].checksums(f"/bricks/{volume}-0") == written
    assert host.checksums(folder) == written


def begun(client, volume, **more):
    """The daemon of the host may still look for its bricks: then it is WrongState or glusterd's own failure."""
    try:
        assert client.call("volume.heal", {"volume": volume, **more}) == {"resolved": None}
    except RpcError as failure:
        assert failure.name in ("WrongState", "BackendFailed"), failure
        return False
    return True


@pytest.fixture
def split(pool, made):
    """A volume whose two bricks contradict each other about three files; the second's are bigger."""
    volume, bricks = made("split", 2, "replica", "2", options=[
        ("cluster.quorum-type", "none"), ("cluster.self-heal-daemon", "off"), ("cluster.data-self-heal", "off"),
        ("cluster.metadata-self-heal", "off"), ("cluster.entry-self-heal", "off")])
    host = pool.hosts[0]

    def write(text):
        folder = host.mount(volume)
        for name in ("one", "two", "three"):
            host.inside("sh", "-c", f"echo {text} > {folder}/{name}", check=True)
        host.unmount(volume)
    write("same")
    for brick, text in ((bricks[1], "short"), (bricks[0], "longer")):
        kill(pool, volume, brick)
        write(text)
        pool.restart_bricks(volume, 2)
    return volume, bricks


def test_a_split_brain_is_told_and_resolved(pool, client, split):
    volume, bricks = split
    for brick in info(client, volume):
        assert (brick["entries"], brick["splitBrain"], brick["pending"]) == (3, 3, 0)
    listed = info(client, volume, splitBrain=True)
    paths = {each["path"] for brick in listed for each in brick["files"]} - {None}
    assert paths <= {"/one", "/two", "/three"} and all(len(brick["files"]) == 3 for brick in listed)

    def resolve(**more):
        return client.call("volume.heal", {"volume": volume, **more})["resolved"]
    assert resolve(resolve="bigger-file", file="/one") == 1
    assert resolve(resolve="source-brick", brick=bricks[0], file="/two") == 1
    assert resolve(resolve="source-brick", brick=bricks[0]) == 1
    assert all(brick["entries"] == 0 for brick in info(client, volume))
    folder = pool.hosts[0].mount(volume)
    texts = [pool.hosts[0].inside("cat", f"{folder}/{name}").stdout for name in ("one", "two", "three")]
    assert texts == ["longer\n", "short\n", "short\n"]

    again = refusal(client, "volume.heal", {"volume": volume, "resolve": "latest-mtime", "file": "/one"})
    assert again.name == "WrongState" and again.data["state"] == "not in split-brain"
    unknown = refusal(client, "volume.heal", {"volume": volume, "resolve": "latest-mtime", "file": "/nosuch"})
    assert unknown.name == "NotFound" and (unknown.data["kind"], unknown.data["id"]) == ("file", "/nosuch")
    stranger = refusal(client, "volume.heal", {"volume": volume, "resolve": "source-brick", "brick": "h:/nosuch"})
    assert stranger.name == "NotFound" and (stranger.data["kind"], stranger.data["id"]) == ("brick", "h:/nosuch")
    disabled = refusal(client, "volume.heal", {"volume": volume})
    assert disabled.name == "WrongState" and disabled.data["needs"] == "cluster.self-heal-daemon on"


def test_what_cannot_be_healed_is_refused_plainly(pool, client, made):
    plain, _ = made("plain", 1)
    dispersed, bricks = made("ec", 3, "disperse", "3", "redundancy", "1")
    for method in ("volume.heal", "volume.healInfo"):
        distributed = refusal(client, method, {"volume": plain})
        assert distributed.name == "InvalidParams" and distributed.data["param"] == "volume"
        assert "distribute" in distributed.message
        missing = refusal(client, method, {"volume": "nosuch"})
        assert missing.name == "NotFound" and (missing.data["kind"], missing.data["id"]) == ("volume", "nosuch")
    for params, param in (({"resolve": "bigger-file"}, "file"), ({"resolve": "source-brick", "file": "/x"}, "brick"),
                          ({"resolve": "bigger-file", "file": "/x", "brick": bricks[0]}, "brick"),
                          ({"resolve": "bigger-file", "file": "x"}, "file"), ({"file": "/x"}, "file"),
                          ({"resolve": "bigger-file", "file": "/x", "full": True}, "full"),
                          ({"resolve": "source-brick", "brick": "nowhere"}, "brick"),
                          ({"resolve": "bigger-file", "file": "/x"}, "resolve")):
        refused = refusal(client, "volume.heal", {"volume": dispersed, **params})
        assert refused.name == "InvalidParams" and refused.data["param"] == param, params
    refused = refusal(client, "volume.healInfo", {"volume": dispersed, "splitBrain": True})
    assert refused.name == "InvalidParams" and refused.data["param"] == "splitBrain"
    pool.run("volume", "stop", dispersed)
    for method in ("volume.heal", "volume.healInfo"):
        stopped = refusal(client, method, {"volume": dispersed})
        assert stopped.name == "WrongState" and (stopped.data["state"], stopped.data["needs"]) == ("stopped", "started")
