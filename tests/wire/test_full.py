# SPDX-License-Identifier: Apache-2.0
"""Copies onto disks that are full from each position on.  Needs root, for mounts of its own."""
import os
import shutil
import subprocess

import pytest

from rig import reader
from rig.client import RpcError
from rig.images import data_path, random_raw, same

KIB = 1 << 10
SIZE = 1 << 20


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request, tmp_path):
    """A file system of 16 MiB; gives its mount point."""
    mount = tmp_path / "mnt"
    mount.mkdir()
    if request.param == "tmpfs":
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "full", str(mount)], check=True)
    else:
        with open(tmp_path / "disk", "wb") as file:
            file.truncate(16 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(tmp_path / "disk")], check=True)
        subprocess.run(["mount", "-o", "loop", str(tmp_path / "disk"), str(mount)], check=True)
        shutil.rmtree(mount / "lost+found")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=False)


def leave(mount, size):
    """Fills the disk but for about 'size' bytes, by a file that it gives."""
    ballast = mount / "ballast"
    with open(ballast, "wb") as file:
        space = os.statvfs(mount)
        free = space.f_bavail * space.f_frsize - size
        while free > 0:
            try:
                os.posix_fallocate(file.fileno(), 0, free)
                break
            except OSError:  # the file's own metadata take some too
                free -= 4 * KIB
    return ballast


@pytest.mark.parametrize("form", ["raw", "qcow2"])
def test_a_disk_that_is_full_from_any_place_on_leaves_the_truth_and_goes_on(agent, client, disk, tmp_path, form):
    raw = random_raw(tmp_path / "web1.raw", SIZE, holes=False)
    client.run("image.import", {"repository": "slow", "image": "web1", "path": str(raw), "sourceFormat": "raw"})
    client.call("repository.connect", {"repository": "full", "kind": "dir", "path": str(disk / "r"), "create": True})
    ends = []
    for left in [*range(0, 64 * KIB, 4 * KIB), *range(64 * KIB, 1536 * KIB, 64 * KIB)]:
        ballast = leave(disk, left)
        try:
            ended = client.run("image.copy", {"repository": "slow", "image": "web1", "targetRepository": "full", "format": form})
            error = ended["error"]
        except RpcError as refused:  # before there was an image to answer with
            error = {"data": refused.data, "message": refused.message}
            assert reader.images(disk / "r") == [], error
        images = reader.images(disk / "r")
        if error:
            assert error["data"]["name"] == "NoSpace", (left, error)
            assert error["data"]["available"] is not None
        ends.append("full" if error and not images else "broken" if error else "done")
        ballast.unlink()
        if not images:
            assert reader.leftovers(disk / "r") == [], left
            continue
        status = client.call("image.status", {"repository": "full", "image": "web1"})
        if error:
            assert status["state"] == "broken" and status["copy"]["active"] is False, (left, status)
            assert client.run("image.resume", {"repository": "full", "image": "web1"})["status"] == "done", left
        assert same(data_path(disk / "r", "web1"), raw, form), left
        client.call("image.remove", {"repository": "full", "image": "web1"})
    assert ends[0] == "full" and ends[-1] == "done" and "broken" in ends, ends
