# SPDX-License-Identifier: Apache-2.0
"""Snapshots and clones of volumes on thin LVM; run in a guest (tests/real/test_gluster_snapshots.py).

Each command of glusterd takes two to four seconds there, so a test goes through a whole life."""
import contextlib
import datetime
import os
import pathlib

import pytest

from rig import thin
from rig.agent import Agent
from rig.gluster import wait_for

# Each takes up to half a minute here.
LONG = bool(os.environ.get("HOSTLER_SOAK"))
SOAK = pytest.mark.skipif(not LONG, reason="in the long form only: make soak")
KILLED_AFTER = ("look", "activate it", "clone it") if LONG else ("activate it",)


@pytest.fixture(scope="module", autouse=True)
def server():
    thin.set_up()
    thin.make_volume("one")
    thin.make_volume("two", bricks=2)


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    agent = Agent(tmp_path_factory.mktemp("agent"), arguments=["--gluster", "auto"])
    yield agent
    assert agent.alive(), agent.log_text()[-3000:]
    agent.close()


@pytest.fixture
def client(host):
    with host.connect() as connection:
        yield connection


def names(client, **of):
    return [each["snapshot"] for each in client.call("volume.snapshots", {"fresh": True, **of})["snapshots"]]


def bricks_online(client, snapshot):
    listed = client.call("volume.snapshots", {"fresh": True})["snapshots"]
    return [each["online"] for each in next(each for each in listed if each["snapshot"] == snapshot)["bricks"]]


def kill_brick(brick):
    path = brick.partition(":/")[2]
    thin.sh(f"pkill -9 -f 'glusterfsd.*brick-name [/]{path} '")  # brackets: not this command itself


@contextlib.contextmanager
def mounted(volume):
    folder = thin.mount(volume)
    try:
        yield folder
    finally:
        thin.sh(f"umount {folder}")


def test_a_snapshot_is_taken_told_of_restored_and_used_up(client):
    with mounted("one") as folder:
        (folder / "a").write_text("before")
        before = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
        # At once: glusterd refuses the one that comes second, until it is through with the first.
        other = client.request("volume.snapshot", {"volume": "one"})
        taken = client.call("volume.snapshot", {"volume": "one", "snapshot": "s1", "description": "the <first> & é"})
        assert taken["snapshot"] == "s1"
        unnamed = client.wait(other)["result"]["snapshot"]
        assert len(unnamed) == 36
        (folder / "a").write_text("after")
    error = client.error("volume.snapshot", {"volume": "one", "snapshot": "s1"})
    assert error.name == "AlreadyExists" and (error.data["kind"], error.data["id"]) == ("snapshot", "s1")

    listed = client.call("volume.snapshots", {"volume": "one", "fresh": True})["snapshots"]
    assert sorted(each["snapshot"] for each in listed) == sorted([unnamed, "s1"])
    first = next(each for each in listed if each["snapshot"] == "s1")
    assert (first["snapshot"], first["uuid"], first["volume"]) == ("s1", taken["uuid"], "one")
    assert first["description"] == "the <first> & é" and first["state"] == "inactive" and first["remaining"] == 254
    assert before <= datetime.datetime.fromisoformat(first["created"].replace("Z", "+00:00"))
    assert [each["online"] for each in first["bricks"]] == [False] and "size" not in first["bricks"][0]
    assert names(client, volume="two") == []

    error = client.error("volume.restore", {"snapshot": "s1"})
    assert error.name == "WrongState" and (error.data["state"], error.data["needs"]) == ("started", "stopped")
    thin.gluster("volume", "stop", "one")
    error = client.error("volume.snapshot", {"volume": "one", "snapshot": "s2"})
    assert error.name == "WrongState" and (error.data["state"], error.data["needs"]) == ("stopped", "started")
    assert client.call("volume.restore", {"snapshot": "s1"}) == {"volume": "one", "snapshot": "s1"}
    thin.gluster("volume", "start", "one")
    with mounted("one") as folder:
        assert (folder / "a").read_text() == "before"
    assert names(client) == [unnamed]
    assert client.call("volume.removeSnapshot", {"snapshot": unnamed}) == {}
    assert names(client) == []
    assert client.error("volume.removeSnapshot", {"snapshot": unnamed}).name == "NotFound"
    assert client.error("volume.restore", {"snapshot": "s1"}).name == "NotFound"


def test_a_snapshot_is_cloned_while_it_is_active(client):
    client.call("volume.snapshot", {"volume": "two", "snapshot": "s3"})
    error = client.error("volume.clone", {"snapshot": "s3", "clone": "copy"})
    assert error.name == "WrongState" and (error.data["state"], error.data["needs"]) == ("inactive", "active")
    assert client.call("volume.activate", {"snapshot": "s3"})["snapshot"] == "s3"
    error = client.error("volume.activate", {"snapshot": "s3"})
    assert error.name == "WrongState" and error.data["state"] == "active"
    active = client.call("volume.snapshots", {"volume": "two", "fresh": True})["snapshots"][0]
    assert active["state"] == "active" and len(active["bricks"]) == 2
    for brick in active["bricks"]:
        assert brick["online"] and brick["pid"] > 0 and brick["volumeGroup"] == "vg" and brick["size"] == 400 << 20
        assert 0 < brick["dataPercent"] < 100

    kill_brick(active["bricks"][0]["brick"])
    wait_for(lambda: not bricks_online(client, "s3")[0], "the end of a brick")
    client.call("volume.deactivate", {"snapshot": "s3"})
    client.call("volume.activate", {"snapshot": "s3"})
    wait_for(lambda: bricks_online(client, "s3") == [True, True], "the bricks")

    copy = client.call("volume.clone", {"snapshot": "s3", "clone": "copy"})
    assert copy["volume"] == "copy"
    made = next(each for each in client.call("volume.list", {"fresh": True})["volumes"] if each["volume"] == "copy")
    assert (made["uuid"], made["state"], made["replica"]) == (copy["uuid"], "created", 2)
    error = client.error("volume.clone", {"snapshot": "s3", "clone": "one"})
    assert error.name == "AlreadyExists" and (error.data["kind"], error.data["id"]) == ("volume", "one")
    assert names(client) == ["s3"]

    assert client.call("volume.deactivate", {"snapshot": "s3"})["uuid"] == active["uuid"]
    error = client.error("volume.deactivate", {"snapshot": "s3"})
    assert error.name == "WrongState" and error.data["state"] == "inactive"
    client.call("volume.removeSnapshot", {"snapshot": "s3"})
    for method in ("volume.activate", "volume.deactivate", "volume.removeSnapshot"):
        error = client.error(method, {"snapshot": "s3"})
        assert error.name == "NotFound" and (error.data["kind"], error.data["id"]) == ("snapshot", "s3"), method
    thin.gluster("volume", "delete", "copy")  # frees its place; never started


@SOAK
def test_glusterds_limit_is_told(client):
    thin.gluster("snapshot", "config", "two", "snap-max-hard-limit", "1")
    client.call("volume.snapshot", {"volume": "two", "snapshot": "only"})
    error = client.error("volume.snapshot", {"volume": "two", "snapshot": "second"})
    assert error.name == "LimitExceeded" and error.data["max"] == 1 and "maximum limit of 1" in error.data["text"]
    thin.gluster("snapshot", "config", "two", "snap-max-hard-limit", "256")
    client.call("volume.removeSnapshot", {"snapshot": "only"})


def begin_clone(host, client, params, after):
    """Calls volume.clone, and returns its task when the step 'after' is done."""
    task = client.request("volume.clone", params)
    wait_for(lambda: any(task in line and f"step '{after}'" in line for line in host.log_text().split("\n")),
             f"step '{after}'")
    return task


def test_a_clone_of_a_volume_can_be_asked_for_again_wherever_the_agent_was_killed(host):
    with mounted("one") as folder:
        for after in KILLED_AFTER:
            clone = f"clone-{after.split()[0]}"
            params = {"volume": "one", "clone": clone}
            (folder / "a").write_text("at first")
            with host.connect() as client:
                begin_clone(host, client, params, after)
                host.restart()
            (folder / "a").write_text("now")
            with host.connect() as client:
                left = client.call("volume.snapshots", {"volume": "one", "fresh": True})["snapshots"]
                assert [each["snapshot"][:-8] for each in left] in ([f"hostler-clone-{clone}-"], []), left
                assert left or after != "activate it"  # it may not be there yet, or no more
                for each in left:
                    assert each["description"] == f"taken by hostler to clone one as {clone}"
                done = after == "clone it" and not left
                answer = None if done else client.call("volume.clone", params)
                made = next(each for each in client.call("volume.list", {"fresh": True})["volumes"] if each["volume"] == clone)
                assert done or answer == {"volume": clone, "uuid": made["uuid"]}
                assert thin.gluster("snapshot", "list", "one").stdout == "No snapshots present\n"
            # Made whole by the first call, or else by the second: of what was there when it was called.
            data = pathlib.Path(made["bricks"][0]["brick"].partition(":")[2], "a").read_text()
            assert data in (("now",) if after == "look" else ("at first", "now")), (after, data)


@SOAK
def test_a_clone_that_is_aborted_or_cannot_be_made_leaves_no_snapshot(host, client):
    task = begin_clone(host, client, {"volume": "one", "clone": "never"}, "take a snapshot")
    client.call("task.abort", {"task": task})
    assert client.wait(task)["error"]["data"]["name"] == "TaskAborted"
    client.call("task.wait", {"task": task})
    assert names(client) == []
    kill_brick("10.77.1.1:/run/bricks/two1/brick")
    error = client.error("volume.clone", {"volume": "two", "clone": "never"})
    assert error.name == "WrongState" and error.data["needs"] == "all bricks online"
    assert names(client) == []
    assert client.error("volume.clone", {"volume": "two", "clone": "one"}).name == "AlreadyExists"
    error = client.error("volume.clone", {"volume": "nosuch", "clone": "never"})
    assert error.name == "NotFound" and (error.data["kind"], error.data["id"]) == ("volume", "nosuch")
