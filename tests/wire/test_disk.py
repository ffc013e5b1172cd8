# SPDX-License-Identifier: Apache-2.0
"""Disks that fill, are read-only, or go away under a copy.  Needs root, for mounts of its own."""
import os
import shutil
import subprocess

import pytest

from rig import reader
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
                               "bytesPerSecond": 1 << 20}, id="doomed")
    shutil.rmtree(agent.folder / "fast")
    client.call("task.throttle", {"task": "doomed", "bytesPerSecond": 0})
    ended = client.call("task.wait", {"task": "doomed"})
    assert ended["status"] == "failed", ended
    assert ended["error"]["data"]["name"] in ("RepositoryUnavailable", "BackendFailed", "ImageNotFound"), ended["error"]
    assert client.error("image.status", {"repository": "fast", "image": "web1"}).name in (
        "ImageNotFound", "RepositoryUnavailable")
    assert client.call("host.ping") == {}
    assert same(data_path(agent.folder / "slow", "web1"), raw)


def test_a_source_truncated_under_the_copy_is_an_error_not_zeros(agent, client, tmp_path):
    raw = random_raw(tmp_path / "web1.raw", 16 << 20, holes=False)
    client.call("image.import", {"repository": "fast", "image": "web1", "path": str(raw), "sourceFormat": "raw"}, id="t")
    client.call("task.throttle", {"task": "t", "bytesPerSecond": 65536})
    os.truncate(raw, 1 << 20)
    client.call("task.throttle", {"task": "t", "bytesPerSecond": 0})
    ended = client.call("task.wait", {"task": "t"})
    if ended["status"] == "done":  # it had been read to its end before it was cut
        assert os.path.getsize(data_path(agent.folder / "fast", "web1")) == 16 << 20
    else:
        assert ended["status"] == "failed"
        assert client.call("image.status", {"repository": "fast", "image": "web1"})["state"] == "broken"
