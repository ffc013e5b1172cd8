# SPDX-License-Identifier: Apache-2.0
"""SIGKILL at random moments of import, copy, resume and remove, many times on the same repositories.

HOSTLER_KILLS (60 in ./check, 1,000 in 'make soak') is how many kills must really have hit a running
operation; the seed of the run is printed and can be given as HOSTLER_SEED.
"""
import os
import random
import time

from rig import reader
from rig.images import data_path, qcow2, random_raw, same

KILLS = int(os.environ.get("HOSTLER_KILLS", "1000" if os.environ.get("HOSTLER_SOAK") else "30"))
SIZE = 24 << 20


def children_of(folder):
    """Command lines of qemu's programs that work below the folder."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            line = open(f"/proc/{entry}/cmdline", "rb").read() if entry.isdigit() else b""
        except OSError:
            continue
        if line.startswith(b"qemu-") and str(folder).encode() in line:
            found.append(line.replace(b"\0", b" ").decode(errors="replace"))
    return found


def test_killed_at_random_moments_no_state_is_ever_wrong(make_agent, tmp_path):
    seed = int(os.environ.get("HOSTLER_SEED", time.time_ns() % 1_000_000))
    print(f"HOSTLER_SEED={seed}")
    rng = random.Random(seed)
    raw = random_raw(tmp_path / "web.raw", SIZE, seed=seed)
    packed = qcow2(tmp_path / "web.qcow2", raw)
    agent = make_agent(repositories=["slow", "fast"])
    fast = agent.folder / "fast"
    with agent.connect() as client:
        assert client.run("image.import", {"repository": "slow", "image": "base", "path": str(raw),
                                           "sourceFormat": "raw"})["status"] == "done"

    def operations(client):
        names = reader.images(fast)
        image = f"i{rng.randrange(6)}"
        if image not in names:
            if rng.random() < 0.5:
                return "image.import", {"repository": "fast", "image": image, "path": str(packed),
                                        "sourceFormat": "qcow2", "format": rng.choice(["raw", "qcow2"])}
            return "image.copy", {"repository": "slow", "image": "base", "targetRepository": "fast",
                                  "targetImage": image, "format": rng.choice(["raw", "qcow2"])}
        if reader.state(fast, image)["state"] == "broken" and rng.random() < 0.8:
            return "image.resume", {"repository": "fast", "image": image}
        return "image.remove", {"repository": "fast", "image": image}

    kills, rounds, seen = 0, 0, set()
    while kills < KILLS:
        rounds += 1
        assert rounds < KILLS * 20, f"only {kills} of {rounds} kills hit anything"
        client = agent.connect()
        method, params = operations(client)
        id = client.request(method, params)
        time.sleep(rng.random() ** 2 * 0.12)
        ended = None
        if not client.replies[f'"{id}"'].empty():
            reply = client.wait(id)
            assert "error" not in reply or reply["error"]["data"]["name"] in ("ImageInUse", "ImageBroken"), \
                (method, params, reply)
            try:
                ended = client.call("task.status", {"task": id})["status"]
            except Exception:
                ended = "forgotten"
        agent.kill()
        client.closed.wait(30)
        if ended in (None, "running"):
            kills += 1
            seen.add(method)
        agent.start()
        with agent.connect() as client:
            listed = client.call("image.list", {"repository": "fast"})["images"]
            assert [image["image"] for image in listed] == reader.images(fast)
            for image in listed:
                truth = reader.state(fast, image["image"])
                assert (image["state"], image["generation"]) == (truth["state"], truth["generation"]), (image, truth)
                if image["state"] == "optimized":
                    assert same(data_path(fast, image["image"]), raw, image["format"]), image
                else:
                    assert image["copy"] and not image["copy"]["active"], image
    assert seen == {"image.import", "image.copy", "image.resume", "image.remove"} or KILLS < 40, seen
    agent.kill()
    assert children_of(tmp_path) == [], "a child outlived its agent"
    agent.start()
    with agent.connect() as client:  # and all of it can be brought to an end
        for image in client.call("image.list", {"repository": "fast", "state": "broken"})["images"]:
            assert client.run("image.resume", {"repository": "fast", "image": image["image"]})["status"] == "done"
            assert same(data_path(fast, image["image"]), raw, image["format"])
        for problem in client.call("repository.check", {"repository": "fast"})["problems"]:
            client.run("repository.fix", {"repository": "fast", "fix": problem["fix"]})
        assert client.call("repository.check", {"repository": "fast"})["problems"] == []
    assert reader.leftovers(fast) == []
    print(f"{kills} kills in {rounds} rounds")
