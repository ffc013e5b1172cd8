# SPDX-License-Identifier: Apache-2.0
"""SIGKILL at random moments of work on a volume: what the other agent then sees is always right.

HOSTLER_KILLS is how many kills must really have hit a running operation; the seed is printed, and can be
given as HOSTLER_SEED.
"""
import os
import random
import time

from rig.client import RpcError
from rig.gluster import wait_for
from rig.images import random_raw

KILLS = int(os.environ.get("HOSTLER_KILLS", "12"))
SIZE = 6 << 20
ALLOWED = {"abandoned creation", "removed image", "incomplete copy", "left-over temporary file",
           "left-over copy record", "left-over data", "stray file"}


def test_killed_at_random_moments_no_state_is_ever_wrong(pair, place, tmp_path):
    seed = int(os.environ.get("HOSTLER_SEED", time.time_ns() % 1_000_000))
    print(f"HOSTLER_SEED={seed}")
    rng = random.Random(seed)
    raw = random_raw(tmp_path / "web1.raw", SIZE, seed=seed)
    one, two = pair
    with one.connect() as client:
        client.call("repository.connect", {"repository": "far", "create": True, **place})
        client.run("image.import", {"repository": "near", "image": "source", "path": str(raw), "sourceFormat": "raw"})
        wanted = client.run("image.checksum", {"repository": "near", "image": "source"})["result"]["checksum"]["value"]
    watcher = two.connect()
    watcher.call("repository.connect", {"repository": "far", **place})

    def statuses():
        return {s["image"]: s for s in watcher.call("image.list", {"repository": "far"})["images"]}

    def operation():
        image = f"i{rng.randrange(3)}"
        there = statuses().get(image)
        if not there:
            return "image.copy", {"repository": "near", "image": "source", "targetRepository": "far",
                                  "targetImage": image, "format": rng.choice(["raw", "raw", "qcow2"])}
        if there["state"] == "broken" and there["format"] == "raw" and rng.random() < 0.7:
            return "image.resume", {"repository": "far", "image": image}
        return "image.remove", {"repository": "far", "image": image}

    kills = rounds = 0
    while kills < KILLS:
        rounds += 1
        assert rounds < KILLS * 20, f"only {kills} of {rounds} kills hit anything"
        client = one.connect()
        method, params = operation()
        id = client.request(method, params)
        try:
            client.wait(id, timeout=rng.random() * 0.2)
            if method != "image.remove":
                client.call("task.wait", {"task": id, "timeoutMs": rng.randrange(1, 400)})
        except (AssertionError, RpcError):
            pass
        try:
            running = client.call("task.status", {"task": id})["status"] == "running"
        except RpcError:
            running = False
        kills += running
        one.restart()
        check_all(watcher, statuses, wanted)
    watcher.close()


def check_all(watcher, statuses, wanted):
    """Once the bricks have dropped the dead agent's locks."""
    wait_for(lambda: not any(s["copy"] and s["copy"]["active"] for s in statuses().values()), "the locks of the dead to go")
    for image, status in statuses().items():
        if status["state"] != "optimized":
            assert status["state"] == "broken" and status["copy"], status
            continue
        ended = watcher.run("image.checksum", {"repository": "far", "image": image})
        assert ended["status"] == "done", ended
        assert ended["result"]["checksum"]["value"] == wanted, status
    for problem in watcher.call("repository.check", {"repository": "far"})["problems"]:
        assert problem["problem"] in ALLOWED, problem
        if problem["kind"] == "clean":
            try:
                watcher.call("repository.fix", {"repository": "far", "fix": problem["fix"]})
            except RpcError as error:  # the agent that comes back may be looking at it
                assert error.name in ("ImageInUse", "Conflict"), error
