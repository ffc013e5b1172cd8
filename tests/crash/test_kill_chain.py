# SPDX-License-Identifier: Apache-2.0
"""SIGKILL at each durable system call of what changes a chain of images, then the truth.

For each verb, call and n: an agent runs under strace, which kills it (or the program of QEMU that it
runs) at its n-th such call.  Whatever was interrupted, a new agent and an independent reader must say
the same of each image, the image must show what it showed before, and so must all below it that can
be used; the same call again must complete it; and what is left about must be found and freed.
"""
import shutil

import pytest

from rig import reader
from rig.chains import MIB, begins_with, guest_writes, import_image, layers, photograph, shows, virtual_size
from test_kill_at_each_act import run_until_killed

CALLS = ["fsync", "fdatasync", "renameat", "renameat2", "linkat", "unlinkat", "ftruncate", "pwrite64", "pwritev"]


@pytest.fixture
def seed(tmp_path, make_agent):
    """'web1' in 'fast' over 'middle' over 'bottom', and 'web1' in 'alone', a raw image; and what they show.  Copied
    for each kill."""
    agent = make_agent("seed", repositories=["fast", "alone"])
    with agent.connect() as client:
        import_image(client, "fast", "bottom", tmp_path, "raw", size=2 * MIB)
        for over, under, byte, size in (("middle", "bottom", 3, 2 * MIB), ("web1", "middle", 20, 3 * MIB)):
            client.call("image.update", {"repository": "fast", "image": under, "immutable": True})
            client.call("image.create", {"repository": "fast", "image": over, "size": size, "base": under})
            guest_writes(agent.folder / "fast", over, byte, byte * 131072)
        contents = {name: photograph(agent.folder / "fast", name, tmp_path / f"{name}.raw")
                    for name in ("bottom", "middle", "web1")}
        raw = import_image(client, "alone", "web1", tmp_path, "raw", size=3 * MIB)
    agent.kill()
    return {"fast": (agent.folder / "fast", contents), "alone": (agent.folder / "alone", {"web1": raw})}


def snapshot(client):
    return client.call("image.snapshot", {"repository": "fast", "image": "web1", "snapshot": "monday"})


def snapshot_is_done(client, fast, contents):
    assert layers(client, "fast", "web1") == ["web1", "monday", *(["middle", "bottom"] if len(contents) > 1 else [])]
    assert shows(fast, "monday", contents["web1"])


def resize(size, **more):
    def operation(client):
        return client.call("image.resize", {"repository": "fast", "image": "web1", "size": size, **more})

    def is_done(client, fast, contents):
        status = client.call("image.status", {"repository": "fast", "image": "web1"})
        assert (status["size"], status["state"]) == (size, "optimized")
        assert virtual_size(fast, "web1") == size
    return operation, is_done


class NotDone(ConnectionError):
    """The task that was answered early has failed: a program of QEMU was killed under it."""


def run(client, method, **params):
    ended = client.run(method, {"repository": "fast", "image": "web1", **params})
    if ended["status"] != "done":
        raise NotDone(ended)


def optimize(client):
    run(client, "image.optimize")


def optimize_is_done(client, fast, contents):
    assert layers(client, "fast", "web1") == ["web1"]


def merge(client):
    """Into the qcow2 below, then into the raw image below that."""
    while needs_merge(client.call("image.status", {"repository": "fast", "image": "web1"})):
        run(client, "image.merge")


def needs_merge(status):
    return status["base"] or status["state"] != "optimized"


def merge_is_done(client, fast, contents):
    assert layers(client, "fast", "web1") == ["web1"] == reader.images(fast)
    assert client.call("image.status", {"repository": "fast", "image": "web1"})["format"] == "raw"


OPERATIONS = {"merge": (merge, merge_is_done), "optimize": (optimize, optimize_is_done), "snapshot": (snapshot, snapshot_is_done), "grow": resize(5 * MIB), "shrink": resize(2 * MIB, force=True)}


def is_whole(fast, contents, size):
    """Whether the image shows what it did, as far as it reaches now."""
    return begins_with(fast, "web1", contents["web1"], size, fast.parent)


def check_states(client, fast, contents):
    """Everything that must hold after a kill, whatever it interrupted; the status of web1."""
    listed = client.call("image.list", {"repository": "fast"})["images"]
    assert [image["image"] for image in listed] == reader.images(fast)
    for image in listed:
        truth = reader.state(fast, image["image"])
        assert (image["state"], image["generation"]) == (truth["state"], truth["generation"]), (image, truth)
    states = {image["image"]: image for image in listed}
    assert states["web1"]["state"] in ("optimized", "degraded"), states["web1"]
    assert is_whole(fast, contents, states["web1"]["size"]), "the image shows something else"
    for name in set(states) & {"middle", "bottom"}:
        assert states[name]["state"] == "broken" or shows(fast, name, contents[name]), name
    problems = client.call("repository.check", {"repository": "fast"})["problems"]
    for leftover in reader.leftovers(fast):
        assert leftover in str(problems), f"{leftover} is left about unreported: {problems}"
    return states["web1"]


def is_unchanged(status):
    return status["generation"] == 1 or status["state"] != "optimized"


def check_end(client, fast):
    """All that is left about can be freed, and then nothing is wrong."""
    for problem in client.call("repository.check", {"repository": "fast"})["problems"]:
        assert problem["kind"] in ("clean", "mend"), problem
        ended = client.run("repository.fix", {"repository": "fast", "fix": problem["fix"]})
        assert ended["status"] == "done", (problem, ended)
    assert reader.leftovers(fast) == []
    assert client.call("repository.check", {"repository": "fast"})["problems"] == []


@pytest.mark.parametrize("name,origin", [(name, origin) for name in OPERATIONS for origin in ("fast", "alone")
                                         if (name, origin) != ("merge", "alone")])
def test_killed_at_each_durable_act_the_contents_are_whole(seed, make_agent, name, origin):
    (fast_seed, contents), (operation, is_done), kills = seed[origin], OPERATIONS[name], 0
    for call in CALLS:
        for n in range(1, 60):
            folder = f"{name}-{call}-{n}"
            fast = fast_seed.parent.parent / folder / "fast"
            shutil.copytree(fast_seed, fast)
            agent = make_agent(folder, repositories=["fast"], arguments=["--workers", "1"], start=False,
                               config="[limits]\ncopies = 1\n",
                               wrapper=["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
                                        "-e", f"inject={call}:signal=SIGKILL:when={n}"])
            finished = run_until_killed(agent, lambda client, _: operation(client), None)
            kills += not finished
            agent.wrapper = []
            agent.start()
            with agent.connect() as client:
                status = check_states(client, fast, contents)
                if (needs_merge if name == "merge" else is_unchanged)(status):
                    operation(client)
                check_end(client, fast)
                is_done(client, fast, contents)
                size = client.call("image.status", {"repository": "fast", "image": "web1"})["size"]
                assert is_whole(fast, contents, size)
            agent.remove()
            if finished:
                break
    print(f"{name} {origin}: {kills} kills")
    assert kills >= 6, f"only {kills} kills: the injection does not work here"
