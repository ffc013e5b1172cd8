# SPDX-License-Identifier: Apache-2.0
"""SIGKILL at random moments of snapshot, resize, merge and optimize, one after the other on the same chain.

HOSTLER_KILLS (40 in ./check, 1,000 in 'make soak') is how many kills must have hit a running operation; the
seed of the run is printed and can be given as HOSTLER_SEED.
"""
import os
import random
import time

from rig import reader
from rig.chains import MIB, begins_with, guest_writes, import_image, layers, shows

KILLS = int(os.environ.get("HOSTLER_KILLS", "1000" if os.environ.get("HOSTLER_SOAK") else "20"))
SIZES = [6 * MIB, 7 * MIB, 8 * MIB]


def next_operation(rng, status):
    """What is interrupted goes on, mostly; else anything that suits the image."""
    if status["state"] == "degraded" and rng.random() < 0.7:
        return ("image.merge", {}) if "merge" in status["reason"] else ("image.resize", {"size": status["size"]})
    size = rng.choice(SIZES)
    choices = [("image.snapshot", {"snapshot": f"s{rng.randrange(10**9)}"}),
               ("image.resize", {"size": max(size, status["size"])}), ("image.optimize", {})]
    if status["base"]:
        choices += [("image.merge", {})] * 2
    return rng.choice(choices)


def test_killed_at_random_moments_a_chain_shows_what_it_did(make_agent, tmp_path):
    seed = int(os.environ.get("HOSTLER_SEED", time.time_ns() % 1_000_000))
    print(f"HOSTLER_SEED={seed}")
    rng = random.Random(seed)
    agent = make_agent(repositories=["fast"])
    fast = agent.folder / "fast"
    with agent.connect() as client:
        raw = import_image(client, "fast", "web1", tmp_path, "raw", SIZES[0], seed)
    kills, rounds, seen = 0, 0, set()
    while kills < KILLS:
        rounds += 1
        assert rounds < KILLS * 20, f"only {kills} of {rounds} kills hit anything"
        client = agent.connect()
        status = client.call("image.status", {"repository": "fast", "image": "web1"})
        method, params = next_operation(rng, status)
        id = client.request(method, {"repository": "fast", "image": "web1", **params})
        time.sleep(rng.random() ** 2 * 0.25)
        ended = None
        if not client.replies[f'"{id}"'].empty():
            reply = client.wait(id)
            # An unfinished snapshot shares the data, and stands on the base; a base may be marked by a merge.
            assert "error" not in reply or reply["error"]["data"]["name"] in (
                "WrongState", "ImageInUse", "ImageHasDependents", "ImageBroken"), reply
            ended = client.call("task.status", {"task": id})["status"]
        agent.kill()
        client.closed.wait(30)
        if ended in (None, "running"):
            kills += 1
            seen.add(method)
        agent.start()
        with agent.connect() as client:
            listed = client.call("image.list", {"repository": "fast", "limit": 1000})["images"]
            for image in listed:
                truth = reader.state(fast, image["image"])
                assert (image["state"], image["generation"]) == (truth["state"], truth["generation"]), (image, truth)
            status = next(image for image in listed if image["image"] == "web1")
            assert status["state"] in ("optimized", "degraded"), status
            if status["size"] > os.path.getsize(raw):
                os.truncate(raw, status["size"])
            assert begins_with(fast, "web1", raw, status["size"], tmp_path), (method, params, status)
        if rng.random() < 0.5:  # a guest runs, and is shut down
            byte, offset = rng.randrange(1, 256), rng.randrange(SIZES[0] - MIB) // 512 * 512
            guest_writes(fast, "web1", byte, offset)
            with open(raw, "r+b") as file:
                file.seek(offset)
                file.write(bytes([byte]) * 65536)
    assert len(seen) == 4 or KILLS < 40, seen
    with agent.connect() as client:  # and all of it can be brought to an end
        for _ in range(100):
            problems = client.call("repository.check", {"repository": "fast"})["problems"]
            if not problems:
                break
            answer = client.run("repository.fix", {"repository": "fast", "fix": problems[0]["fix"]})
            if answer["status"] == "done" and answer["result"].get("task"):
                client.call("task.wait", {"task": answer["result"]["task"]})
            if any("resize" in (image["reason"] or "") for image in client.call("image.list", {"repository": "fast", "limit": 1000})["images"]):
                client.call("image.resize", {"repository": "fast", "image": "web1", "size": os.path.getsize(raw)})
        assert problems == []
        status = client.call("image.status", {"repository": "fast", "image": "web1"})
        if status["state"] == "degraded":
            client.call("image.resize", {"repository": "fast", "image": "web1", "size": status["size"]})
        assert shows(fast, "web1", raw) and reader.leftovers(fast) == []
        assert client.run("image.optimize", {"repository": "fast", "image": "web1"})["status"] == "done"
        assert layers(client, "fast", "web1") == ["web1"] and shows(fast, "web1", raw)
    print(f"{kills} kills in {rounds} rounds")
