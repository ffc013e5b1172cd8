# SPDX-License-Identifier: Apache-2.0
"""SIGKILL at each durable system call of a small operation (strace --inject), then the truth.

For each call and each n: an agent runs under strace, which kills it at its n-th such call.  A new
agent must then say of every image exactly what an independent reader of the disk says, the source
must be untouched, an incomplete copy must be resumable to equal contents, and what was left about
must be reported by repository.check and freed by repository.fix.  The sweep of a call ends when n
is past its last use: so the number of kills is the number of durable acts, and it must not be 0.
"""
import os
import shutil
import signal

import pytest

from rig import reader
from rig.client import RpcError
from rig.images import data_path, qcow2, random_raw, same

SIZE = 3 << 20
CALLS = ["fsync", "fdatasync", "renameat2", "unlinkat", "mkdirat", "pwrite64", "ftruncate", "openat2"]


@pytest.fixture
def prepared(tmp_path, make_agent):
    """A repository 'slow' with the image 'web1', made once and copied for each kill."""
    raw = random_raw(tmp_path / "web1.raw", SIZE)
    agent = make_agent("seed", repositories=["slow", "fast"])
    with agent.connect() as client:
        assert client.run("image.import", {"repository": "slow", "image": "web1", "path": str(raw),
                                           "sourceFormat": "raw"})["status"] == "done"
        client.call("image.create", {"repository": "fast", "image": "old", "size": 1 << 20})
    agent.kill()
    return agent.folder, raw


def copy(client, raw):
    return client.run("image.copy", {"repository": "slow", "image": "web1", "targetRepository": "fast"})


def import_(client, raw):
    return client.run("image.import", {"repository": "fast", "image": "web1", "path": str(raw), "sourceFormat": "raw"})


def create(client, raw):
    return client.call("image.create", {"repository": "fast", "image": "web1", "size": SIZE})


def remove(client, raw):
    return client.call("image.remove", {"repository": "fast", "image": "old"})


def update(client, raw):
    return client.call("image.update", {"repository": "fast", "image": "old", "userData": {"a": 1}})


def check_truth(agent, raw, operation):
    """Everything that must hold after a kill, whatever it interrupted."""
    fast = agent.folder / "fast"
    with agent.connect() as client:
        listed = client.call("image.list", {"repository": "fast"})["images"]
        assert [image["image"] for image in listed] == reader.images(fast)
        for image in listed:
            truth = reader.state(fast, image["image"])
            assert image["state"] == truth["state"], (image, truth)
            assert image["generation"] == truth["generation"], (image, truth)
        assert same(data_path(agent.folder / "slow", "web1"), raw), "the source was changed"
        problems = client.call("repository.check", {"repository": "fast"})["problems"]
        reported = " ".join(str(problem) for problem in problems)
        for leftover in reader.leftovers(fast):
            assert leftover in reported, f"{leftover} is left about unreported: {problems}"
        states = {image["image"]: image for image in listed}
        if "web1" in states and states["web1"]["state"] == "broken":
            image = states["web1"]
            assert image["copy"] and image["copy"]["active"] is False, image
            assert image["generation"] == 0
            ended = client.run("image.resume", {"repository": "fast", "image": "web1"})
            assert ended["status"] == "done", ended
        if "web1" in reader.images(fast):
            image = client.call("image.status", {"repository": "fast", "image": "web1"})
            assert image["state"] == "optimized" and image["generation"] == 1 and image["copy"] is None
            if operation is not create:
                assert same(data_path(fast, "web1"), raw), "the copy differs from its source"
        if "old" in states:
            assert states["old"]["generation"] in (1, 2)
            assert (states["old"]["generation"] == 2) == (states["old"]["userData"] == {"a": 1})
        for problem in client.call("repository.check", {"repository": "fast"})["problems"]:
            if problem["kind"] == "clean":
                client.run("repository.fix", {"repository": "fast", "fix": problem["fix"]})
        assert reader.leftovers(fast) == []


@pytest.mark.parametrize("operation", [copy, import_, create, remove, update], ids=lambda f: f.__name__.strip("_"))
def test_killed_at_each_durable_act_the_truth_is_told(prepared, make_agent, operation):
    seed, raw = prepared
    kills = 0
    for call in CALLS:
        for n in range(1, 60):
            folder = f"{operation.__name__}-{call}-{n}"
            target = seed.parent / folder
            for repository in ("slow", "fast"):
                shutil.copytree(seed / repository, target / repository)
            agent = make_agent(folder, repositories=["slow", "fast"], arguments=["--workers", "1"], start=False,
                               config="[limits]\ncopies = 1\n",
                               wrapper=["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
                                        "-e", f"inject={call}:signal=SIGKILL:when={n}"])
            killed = not run_until_killed(agent, operation, raw)
            agent.wrapper = []
            if killed:
                kills += 1
            agent.start()
            check_truth(agent, raw, operation)
            agent.remove()
            if not killed:
                break
    print(f"{operation.__name__}: {kills} kills")
    assert kills >= 3, f"only {kills} kills: the injection does not work here"


def run_until_killed(agent, operation, raw):
    """True: the operation ran to its end; False: the agent was killed on the way (also at start)."""
    try:
        agent.start()
    except AssertionError:
        status = agent.process.wait()
        agent.kill()
        if status not in (-signal.SIGKILL, 128 + signal.SIGKILL):
            raise
        return False
    children = [int(pid) for pid in open(f"/proc/{agent.process.pid}/task/{agent.process.pid}/children").read().split()]
    try:
        with agent.connect() as client:
            operation(client, raw)
        finished = True
    except (ConnectionError, OSError):
        finished = False
    except RpcError as error:  # strace -f follows children too: it was qemu-img that was killed
        if error.data.get("code") != -signal.SIGKILL:
            raise
        finished = False
    except Exception as error:  # websockets' own names for a closed connection
        if not any(words in str(error).lower() for words in ("closed", "close frame", "valid http response")):
            raise
        finished = False
    for pid in children:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    agent.process.wait()
    agent.kill()
    return finished


@pytest.mark.parametrize("call,n", [("fdatasync", 1), ("renameat2", 2), ("pwrite64", 2)])
def test_a_qcow2_copy_killed_on_the_way_is_resumed_to_equal_contents(prepared, make_agent, call, n, tmp_path):
    seed, raw = prepared
    source = qcow2(tmp_path / "source.qcow2", raw)
    agent = make_agent("qcow2", repositories=["slow", "fast"], start=False,
                       wrapper=["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
                                "-e", f"inject={call}:signal=SIGKILL:when={n}"])

    def import_qcow2(client, raw):
        return client.run("image.import", {"repository": "fast", "image": "web1", "path": str(source),
                                           "sourceFormat": "qcow2", "format": "qcow2"})

    run_until_killed(agent, import_qcow2, raw)
    agent.wrapper = []
    agent.start()
    with agent.connect() as client:
        if "web1" in reader.images(agent.folder / "fast"):
            status = client.call("image.status", {"repository": "fast", "image": "web1"})
            if status["state"] == "broken":
                assert client.run("image.resume", {"repository": "fast", "image": "web1"})["status"] == "done"
            assert same(data_path(agent.folder / "fast", "web1"), raw, "qcow2")
