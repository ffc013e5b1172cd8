# SPDX-License-Identifier: Apache-2.0
"""Copies between each two file systems and formats, with and without a base: equal by QEMU and by our checksum.

Needs root, for mounts of its own.
"""
import itertools
import shutil
import subprocess

import pytest

from rig.images import data_path, qcow2, random_raw, same

SIZE = (5 << 20) + 512 * 3  # no whole MiB, and no whole block
KINDS = ("ext4", "xfs", "tmpfs")


@pytest.fixture(scope="module")
def disks(tmp_path_factory):
    """A mount point for each kind."""
    folder = tmp_path_factory.mktemp("disks")
    for kind in KINDS:
        mount = folder / kind
        mount.mkdir()
        if kind == "tmpfs":
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256m", kind, str(mount)], check=True)
            continue
        with open(folder / f"{kind}.disk", "wb") as file:
            file.truncate(512 << 20)
        subprocess.run([f"mkfs.{kind}", "-q", str(folder / f"{kind}.disk")], check=True)
        subprocess.run(["mount", "-o", "loop", str(folder / f"{kind}.disk"), str(mount)], check=True)
    yield folder
    for kind in KINDS:
        subprocess.run(["umount", "-l", str(folder / kind)], check=False)


def checksum(client, repository, image):
    ended = client.run("image.checksum", {"repository": repository, "image": image})
    assert ended["status"] == "done", ended
    return ended["result"]["checksum"]["value"]


@pytest.mark.parametrize("one,other", itertools.product(KINDS, KINDS))
def test_a_copy_is_equal_whatever_holds_it(agent, client, disks, tmp_path, one, other):
    """Each format to each; and over a base that has half of it."""
    folders = {"from": disks / one / "from", "to": disks / other / "to"}
    for repository, path in folders.items():
        client.call("repository.connect", {"repository": repository, "kind": "dir", "path": str(path), "create": True})
    raw = random_raw(tmp_path / "web1.raw", SIZE, seed=7)
    half = tmp_path / "half.raw"
    shutil.copyfile(raw, half)
    with open(half, "r+b") as file:
        file.seek(2 << 20)
        file.write(b"x" * (1 << 20))
    for form, path in (("raw", raw), ("qcow2", qcow2(tmp_path / "web1.qcow2", raw))):
        assert client.run("image.import", {"repository": "from", "image": form, "path": str(path),
                                           "sourceFormat": form})["status"] == "done"
    for form in ("raw", "qcow2"):
        client.run("image.import", {"repository": "to", "image": f"base-{form}", "path": str(half), "sourceFormat": "raw",
                                    "format": form})
        client.call("image.update", {"repository": "to", "image": f"base-{form}", "immutable": True})
    # A layer over a half of it, and one more over that, which holds nothing of its own.
    client.run("image.import", {"repository": "from", "image": "half", "path": str(half), "sourceFormat": "raw"})
    client.call("image.update", {"repository": "from", "image": "half", "immutable": True})
    assert client.run("image.copy", {"repository": "from", "image": "raw", "targetRepository": "from", "targetImage": "layer",
                                     "base": "half"})["status"] == "done"
    client.call("image.snapshot", {"repository": "from", "image": "layer", "snapshot": "below"})
    sums = set()
    for form, more in itertools.product(("raw", "qcow2", "layer"), ({"format": "raw"}, {"format": "qcow2"}, {"base": "base-raw"},
                                                           {"base": "base-qcow2"}, {"format": "qcow2", "verify": True})):
        ended = client.run("image.copy", {"repository": "from", "image": form, "targetRepository": "to",
                                          "targetImage": "copy", **more})
        assert ended["status"] == "done", (form, more, ended)
        status = client.call("image.status", {"repository": "to", "image": "copy"})
        assert status["state"] == "optimized" and status["format"] == more.get("format", "qcow2")
        assert same(data_path(folders["to"], "copy"), raw, status["format"]), (form, more)
        if status["format"] == "qcow2":
            subprocess.run(["qemu-img", "check", "-q", data_path(folders["to"], "copy")], check=True)
        if "base" in more:
            assert status["allocated"] < 4 << 20, "what the base has was stored again"
        sums.add(checksum(client, "to", "copy"))
        client.call("image.remove", {"repository": "to", "image": "copy"})
    sums |= {checksum(client, "from", form) for form in ("raw", "qcow2", "layer", "below")}
    # QEMU's sizes are whole sectors, and so is this one.
    assert len(sums) == 1, sums
    for repository, path in folders.items():
        client.call("repository.disconnect", {"repository": repository})
        shutil.rmtree(path)
