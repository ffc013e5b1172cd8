# SPDX-License-Identifier: Apache-2.0
"""SIGKILL in the middle of long copies, by each method that copies: what was recorded is there.

The images are long enough for several records of progress.  After each kill the bytes before the
recorded 'done' must be in the target already, read by QEMU and not by the agent; and the copy is then
resumed to equal contents.  Needs root, for an XFS of its own and for emptying the page cache.
"""
import json
import random
import shutil
import subprocess

import pytest

from rig import reader
from rig.images import data_path, same
from test_kill_at_each_act import run_until_killed

MIB = 1 << 20
SIZE = 224 * MIB
# The n-th of each, of any one thread: chosen to fall into the copy, at its beginning, between its records, and at
# its end.  Only a copy uses io_uring; one that shares blocks does it once, for the flush before its record.
CALLS = {"io_uring_enter": (1, 2, 100, 160, 220), "fsync": (7, 8, 9, 10, 12), "renameat": (3, 4, 5, 6), "pwritev2": (9, 100),
         "ioctl": (2,), "sendto": (40, 90, 130)}


def make_data(path):
    """Data, holes and zeros that are written: half of it is data."""
    source = random.Random(3)
    with open(path, "wb") as file:
        file.truncate(SIZE)
        for offset in range(0, SIZE, MIB):
            kind = source.random()
            if kind < 0.7:
                file.seek(offset)
                file.write(source.randbytes(MIB) if kind < 0.55 else bytes(MIB))
    return path


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """An XFS with reflinks on a loop device."""
    folder = tmp_path_factory.mktemp("disk")
    mount = folder / "mnt"
    mount.mkdir()
    with open(folder / "xfs", "wb") as file:
        file.truncate(2 << 30)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", str(folder / "xfs")], check=True)
    subprocess.run(["mount", "-o", "loop", str(folder / "xfs"), str(mount)], check=True)
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=False)


def cold(path):
    subprocess.run(["sync", str(path)], check=True)
    subprocess.run(["dd", f"if={path}", "iflag=nocache", "count=0", "status=none"], check=True)


def warm(path):
    subprocess.run(["cat", str(path)], stdout=subprocess.DEVNULL, check=True)


METHODS = {  # what image.copy is told beside; what is done to the source before; whether on the XFS
    "direct": ({}, cold, False),
    "cached": ({}, warm, False),
    "filled-qcow2": ({"format": "qcow2"}, cold, False),
    "over-a-base": ({"base": "base"}, warm, False),
    "reflink": ({}, warm, True),
}


@pytest.fixture(params=METHODS)
def seed(request, tmp_path, make_agent, disk):
    more, prepare, shares = METHODS[request.param]
    folder = (disk if shares else tmp_path) / f"seed-{request.param}"
    folder.mkdir()
    raw = make_data(tmp_path / "raw")
    agent = make_agent("seed")
    with agent.connect() as client:
        for repository in ("slow", "fast"):
            client.call("repository.connect", {"repository": repository, "kind": "dir", "path": str(folder / repository),
                                               "create": True})
        client.call("image.create", {"repository": "slow", "image": "web1", "size": SIZE})
        shutil.copyfile(raw, data_path(folder / "slow", "web1"))
        if "base" in more:
            client.call("image.create", {"repository": "fast", "image": "base", "size": SIZE})
            subprocess.run(["dd", f"if={raw}", f"of={data_path(folder / 'fast', 'base')}", "bs=1M", "count=20", "skip=90", "seek=90",
                            "conv=notrunc", "status=none"], check=True)
            client.call("image.update", {"repository": "fast", "image": "base", "immutable": True})
    agent.kill()
    yield folder, raw, more, prepare
    shutil.rmtree(folder)


def assert_recorded_is_there(target, image_format, raw, done, scratch):
    if done == 0:
        return
    form = ["-f", image_format]
    subprocess.run(["qemu-img", "dd", *form, "-O", "raw", "-U", f"if={target}", f"of={scratch}", "bs=1048576",
                    f"count={-(-done // MIB)}"], check=True, stdout=subprocess.DEVNULL)
    with open(scratch, "rb") as one, open(raw, "rb") as other:
        offset = 0
        while offset < done:
            size = min(MIB, done - offset)
            assert one.read(size).ljust(size, b"\0") == other.read(size), f"of {done} recorded bytes, not those from {offset} on"
            offset += size


def test_killed_anywhere_what_was_recorded_is_there_and_the_rest_is_resumed(seed, make_agent, tmp_path):
    folder, raw, more, prepare = seed
    kills, repeated = 0, []
    for call, counts in CALLS.items():
        for n in counts:
            agent = make_agent(f"{call}-{n}", start=False, arguments=["--workers", "1"],
                               config="".join(f"[repository {r}]\nkind = dir\npath = {folder / r}\n" for r in ("slow", "fast")),
                               wrapper=["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
                                        "-e", f"inject={call}:signal=SIGKILL:when={n}"])
            prepare(data_path(folder / "slow", "web1"))

            def copy(client, raw):
                ended = client.run("image.copy", {"repository": "slow", "image": "web1", "targetRepository": "fast",
                                                  "targetImage": "copy", **more})
                assert ended["status"] == "done" or "qemu" in json.dumps(ended["error"]), ended

            run_until_killed(agent, copy, raw)
            agent.wrapper = []
            agent.start()
            with agent.connect() as client:
                if "copy" in reader.images(folder / "fast"):
                    status = client.call("image.status", {"repository": "fast", "image": "copy"})
                    target = data_path(folder / "fast", "copy")
                    if status["state"] == "broken":
                        kills += 1
                        assert status["copy"]["active"] is False, status
                        assert_recorded_is_there(target, status["format"], raw, status["copy"]["done"], tmp_path / "scratch")
                        ended = client.run("image.resume", {"repository": "fast", "image": "copy"})
                        assert ended["status"] == "done", ended
                        repeated.append(status["copy"]["done"])
                    assert same(target, raw, client.call("image.status", {"repository": "fast", "image": "copy"})["format"])
                    client.call("image.remove", {"repository": "fast", "image": "copy"})
            agent.remove()
    print(f"{kills} kills in the middle, resumed from {repeated}")
    assert kills, "no kill in the middle of a copy: they come too early or too late"
