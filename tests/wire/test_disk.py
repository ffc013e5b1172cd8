# SPDX-License-Identifier: Apache-2.0
"""Disks that fill, are read-only, or go away under a copy.  Needs root, for mounts of its own."""
import os
import shutil
import subprocess

import pytest

from rig import reader
from rig.chains import begins_with, guest_writes, photograph
from rig.client import RpcError
from rig.images import data_path, random_raw, same


@pytest.fixture
def small_disk(tmp_path):
    """A 24 MiB ext4 on a loop device, mounted; gives its mount point."""
    backing, mount = tmp_path / "disk", tmp_path / "mnt"
    with open(backing, "wb") as file:
        file.truncate(24 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(backing)], check=True)
    mount.mkdir()
    subprocess.run(["mount", "-o", "loop", str(backing), str(mount)], check=True)
    shutil.rmtree(mount / "lost+found")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=False)


def test_a_copy_onto_a_full_disk_fails_truthfully_and_goes_on_when_there_is_space(agent, client, small_disk, tmp_path):
    client.call("repository.connect", {"repository": "small", "kind": "dir", "path": str(small_disk / "r"), "create": True})
    ballast = small_disk / "ballast"
    ballast.write_bytes(os.urandom(12 << 20))
    raw = random_raw(tmp_path / "web1.raw", 16 << 20, holes=False)
    ended = client.run("image.import", {"repository": "small", "image": "web1", "path": str(raw), "sourceFormat": "raw"})
    assert ended["status"] == "failed" and ended["error"]["data"]["name"] == "NoSpace"
    assert "available" in ended["error"]["data"]
    status = client.call("image.status", {"repository": "small", "image": "web1"})
    assert status["state"] == "broken" and status["copy"]["active"] is False
    ballast.unlink()
    assert client.run("image.resume", {"repository": "small", "image": "web1"})["status"] == "done"
    assert same(data_path(small_disk / "r", "web1"), raw)


def test_what_does_not_fit_leaves_nothing_behind(agent, client, small_disk):
    client.call("repository.connect", {"repository": "small", "kind": "dir", "path": str(small_disk / "r"), "create": True})
    error = client.error("image.create", {"repository": "small", "image": "big", "size": 64 << 20, "preallocate": True})
    assert error.name == "NoSpace" and error.data["needed"] > error.data["available"]
    assert reader.images(small_disk / "r") == [] and reader.leftovers(small_disk / "r") == []
    assert client.call("image.create", {"repository": "small", "image": "thin", "size": 64 << 20})["state"] == "optimized"


def test_a_read_only_repository_can_be_read_but_not_changed(agent, client, small_disk, tmp_path):
    repository = small_disk / "r"
    client.call("repository.connect", {"repository": "small", "kind": "dir", "path": str(repository), "create": True})
    raw = random_raw(tmp_path / "web1.raw", 2 << 20)
    client.run("image.import", {"repository": "small", "image": "web1", "path": str(raw), "sourceFormat": "raw"})
    client.call("repository.disconnect", {"repository": "small"})
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    status = client.call("repository.connect", {"repository": "small", "kind": "dir", "path": str(repository)})
    assert status["health"] == "ok"
    assert client.call("image.status", {"repository": "small", "image": "web1"})["state"] == "optimized"
    for method, more in (("image.create", {"image": "new", "size": 4096}), ("image.remove", {"image": "web1"}),
                         ("image.update", {"image": "web1", "userData": {}}), ("image.fence", {"image": "web1"})):
        error = client.error(method, {"repository": "small", **more})
        assert error.name == "RepositoryUnavailable" and "read-only" in error.message, error
    assert client.run("image.copy", {"repository": "small", "image": "web1", "targetRepository": "fast"})["status"] == "done"
    assert same(data_path(agent.folder / "fast", "web1"), raw)


def test_a_repository_that_vanishes_under_a_copy_ends_it_with_an_error(agent, client, tmp_path):
    raw = random_raw(tmp_path / "web1.raw", 16 << 20, holes=False)
    client.run("image.import", {"repository": "slow", "image": "web1", "path": str(raw), "sourceFormat": "raw"})
    client.call("image.copy", {"repository": "slow", "image": "web1", "targetRepository": "fast",
                               "bytesPerSecond": 65536}, id="doomed")
    shutil.rmtree(agent.folder / "fast")
    client.hurry("doomed")
    ended = client.call("task.wait", {"task": "doomed"})
    assert ended["status"] == "failed", ended
    assert ended["error"]["data"]["name"] in ("RepositoryUnavailable", "BackendFailed", "ImageNotFound"), ended["error"]
    assert client.error("image.status", {"repository": "fast", "image": "web1"}).name in (
        "ImageNotFound", "RepositoryUnavailable")
    assert client.call("host.ping") == {}
    assert same(data_path(agent.folder / "slow", "web1"), raw)


def test_a_source_truncated_under_the_copy_is_an_error_not_zeros(agent, client, tmp_path):
    raw = random_raw(tmp_path / "web1.raw", 16 << 20, holes=False)
    client.call("image.import", {"repository": "fast", "image": "web1", "path": str(raw), "sourceFormat": "raw",
                                 "bytesPerSecond": 65536}, id="t")
    os.truncate(raw, 1 << 20)
    client.hurry("t")
    ended = client.call("task.wait", {"task": "t"})
    assert ended["status"] == "failed", ended
    assert client.call("image.status", {"repository": "fast", "image": "web1"})["state"] == "broken"


@pytest.fixture
def sharing_disk(tmp_path):
    """An XFS with reflinks on a loop device, mounted; gives its mount point."""
    backing, mount = tmp_path / "xfs", tmp_path / "shared"
    with open(backing, "wb") as file:
        file.truncate(512 << 20)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", str(backing)], check=True)
    mount.mkdir()
    subprocess.run(["mount", "-o", "loop", str(backing), str(mount)], check=True)
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=False)


def copy_step(ended):
    return next(step["message"] for step in ended["steps"] if step["name"] == "copy")


def test_a_copy_shares_its_blocks_where_the_file_system_can(agent, client, sharing_disk, tmp_path):
    client.call("repository.connect", {"repository": "xfs", "kind": "dir", "path": str(sharing_disk / "r"), "create": True})
    raw = random_raw(tmp_path / "web1.raw", (96 << 20) + 12345, holes=False)
    ended = client.run("image.import", {"repository": "xfs", "image": "web1", "path": str(raw), "sourceFormat": "raw"})
    assert "reflink" not in copy_step(ended), ended  # from another file system
    before = shutil.disk_usage(sharing_disk).free
    ended = client.run("image.copy", {"repository": "xfs", "image": "web1", "targetRepository": "xfs",
                                      "targetImage": "web2", "verify": True})
    assert ended["status"] == "done" and "reflink" in copy_step(ended), ended
    assert before - shutil.disk_usage(sharing_disk).free < 8 << 20
    assert same(data_path(sharing_disk / "r", "web2"), raw)
    with open(data_path(sharing_disk / "r", "web2"), "r+b") as file:  # what is written to one stays its own
        file.write(b"mine")
    assert same(data_path(sharing_disk / "r", "web1"), raw)


def test_a_copy_that_was_begun_by_copying_goes_on_by_sharing_or_copying(agent, client, sharing_disk, tmp_path):
    client.call("repository.connect", {"repository": "xfs", "kind": "dir", "path": str(sharing_disk / "r"), "create": True})
    raw = random_raw(tmp_path / "web1.raw", 32 << 20)
    client.run("image.import", {"repository": "xfs", "image": "web1", "path": str(raw), "sourceFormat": "raw"})
    client.call("image.copy", {"repository": "xfs", "image": "web1", "targetRepository": "xfs", "targetImage": "web2",
                               "bytesPerSecond": 1 << 20}, id="begun")
    client.call("event.subscribe", {"topics": ["task.progress"], "subject": "begun"})
    client.event(lambda event: event["params"]["data"]["progress"]["done"] > 100000)
    client.call("task.abort", {"task": "begun"})
    client.call("task.wait", {"task": "begun"})
    client.call("image.resume", {"repository": "xfs", "image": "web2"}, id="rest")
    client.hurry("rest")
    assert client.call("task.wait", {"task": "rest"})["status"] == "done"
    assert same(data_path(sharing_disk / "r", "web2"), raw)


@pytest.fixture
def full_disk(agent, client, small_disk, tmp_path):
    """'web1' over 'base' in 'small', and no room: gives the repository, what web1 shows, and what takes the room."""
    client.call("repository.connect", {"repository": "small", "kind": "dir", "path": str(small_disk / "r"), "create": True})
    raw = random_raw(tmp_path / "base.raw", 8 << 20, holes=False)
    client.run("image.import", {"repository": "small", "image": "base", "path": str(raw), "sourceFormat": "raw", "format": "qcow2"})
    client.call("image.snapshot", {"repository": "small", "image": "base", "snapshot": "below"})
    client.call("image.resize", {"repository": "small", "image": "base", "size": 12 << 20})
    guest_writes(small_disk / "r", "base", 7, 8 << 20, 4 << 20)
    shown = photograph(small_disk / "r", "base", tmp_path / "shown.raw")
    ballast = small_disk / "ballast"
    with open(ballast, "wb") as file:
        try:
            while True:
                file.write(bytes(4096))
                file.flush()
        except OSError:
            pass
    yield small_disk / "r", shown, ballast


@pytest.mark.parametrize("method,more", [("snapshot", {"snapshot": "s"}), ("optimize", {}), ("merge", {}),
                                         ("resize", {"size": 16 << 20}), ("resize", {"size": 9 << 20, "force": True})],
                         ids=["snapshot", "optimize", "merge", "grow", "shrink"])
def test_without_room_a_change_of_a_chain_fails_truthfully_and_goes_on_with_it(client, full_disk, method, more):
    repository, shown, ballast = full_disk
    call = (f"image.{method}", {"repository": "small", "image": "base", **more})
    try:
        ended = client.run(*call)
        error = ended["error"] and ended["error"]["data"]["name"]
    except RpcError as failed:
        error = failed.name
    assert error in ("NoSpace", None), error
    status = client.call("image.status", {"repository": "small", "image": "base"})
    truth = reader.state(repository, "base")
    assert (status["state"], status["generation"]) == (truth["state"], truth["generation"])
    assert status["state"] in ("optimized", "degraded")
    assert begins_with(repository, "base", shown, status["size"], ballast.parent.parent)
    ballast.unlink()
    if error:
        client.run(*call)
    status = client.call("image.status", {"repository": "small", "image": "base"})
    assert status["state"] == "optimized"
    assert begins_with(repository, "base", shown, status["size"], ballast.parent.parent)
    assert reader.leftovers(repository) == []
    assert client.call("repository.check", {"repository": "small"})["problems"] == []


def test_a_disk_that_fills_and_empties_is_told_by_health_and_metrics(agent, client, small_disk):
    client.call("repository.connect", {"repository": "small", "kind": "dir", "path": str(small_disk / "r"), "create": True})
    assert client.call("repository.status", {"repository": "small"})["warnings"] == []
    client.call("event.subscribe", {"topics": ["repository.health"], "subject": "small"})
    ballast = small_disk / "ballast"
    with open(ballast, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize - (64 << 10))
    told = client.event()["params"]["data"]
    assert told["health"] == "ok" and told["warnings"] == ["almostFull"] and told["reason"], told
    metrics = subprocess.run(["curl", "-s", "--unix-socket", str(agent.socket), "http://localhost/metrics"],
                             check=True, capture_output=True, text=True).stdout
    assert 'hostler_repository_low_space{repository="small",kind="dir"} 1\n' in metrics, metrics
    assert 'hostler_repository_up{repository="fast",kind="dir"} 1\n' in metrics
    ballast.unlink()
    told = client.event()["params"]["data"]
    assert told["health"] == "ok" and told["warnings"] == [] and told["reason"] is None, told


def test_where_data_can_have_no_second_name_nothing_is_begun(client, small_disk, tmp_path):
    repository = small_disk / "r"
    client.call("repository.connect", {"repository": "small", "kind": "dir", "path": str(repository), "create": True})
    raw = random_raw(tmp_path / "base.raw", 2 << 20)
    client.run("image.import", {"repository": "small", "image": "base", "path": str(raw), "sourceFormat": "raw"})
    subprocess.run(["chattr", "+i", data_path(repository, "base")], check=True)  # a link is refused, as where there are none
    error = client.error("image.snapshot", {"repository": "small", "image": "base", "snapshot": "s"})
    assert error.name == "BackendFailed" and "second name" in error.message, error
    client.call("image.update", {"repository": "small", "image": "base", "immutable": True})
    client.call("image.create", {"repository": "small", "image": "over", "size": 2 << 20, "base": "base"})
    ended = client.run("image.merge", {"repository": "small", "image": "over"})
    assert ended["status"] == "failed" and "second name" in ended["error"]["message"], ended
    assert reader.images(repository) == ["base", "over"] and reader.leftovers(repository) == []
    for image in client.call("image.list", {"repository": "small"})["images"]:
        assert image["state"] == "optimized", image
    subprocess.run(["chattr", "-i", data_path(repository, "base")], check=True)
    assert client.run("image.merge", {"repository": "small", "image": "over"})["status"] == "done"
    assert same(data_path(repository, "over"), raw)
