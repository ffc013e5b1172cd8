# SPDX-License-Identifier: Apache-2.0
"""SIGKILL at each durable act on the records that a virtual machine needs an image, then the truth.

An agent finds a machine that libvirt has and notes its disk, is told by an administrator that another host's is
gone, and drops the record of one of its own that is gone.  Killed anywhere, the next
agent keeps what is needed, and nothing that is not; the same calls again complete; and what is left about is
found and freed.
"""
import shutil

import pytest

from rig import reader
from rig.chains import MIB
from rig.client import RpcError
from rig.uses import DB, ELSEWHERE, NODE, WEB, note_use, wait_for_users
from test_kill_at_each_act import run_until_killed

CALLS = ["mkdirat", "fsync", "renameat", "unlinkat"]
DATA1 = {"repository": "fast", "image": "data1"}


@pytest.fixture
def seed(tmp_path, make_agent):
    agent = make_agent("seed", repositories=["fast"])
    with agent.connect() as client:
        host = client.call("host.info")["hostId"]
        for image in ("web1", "data1"):
            client.call("image.create", {"repository": "fast", "image": image, "size": MIB})
    agent.kill()
    note_use(agent.folder / "fast", "data1", WEB, "web")
    note_use(agent.folder / "fast", "data1", DB, "db", host=host)
    return agent.folder / "fast"


def operation(client, _):
    wait_for_users(client, "web1", "web")
    if client.call("image.status", DATA1)["uses"]:
        wait_for_users(client, "data1", *(["web"] if ELSEWHERE in str(client.call("image.status", DATA1)) else []))
    assert client.call("image.release", {**DATA1, "host": ELSEWHERE})["uses"] == []
    client.call("image.resize", {**DATA1, "size": 2 * MIB})


def check_truth(agent):
    fast = agent.folder / "fast"
    with agent.connect() as client:
        for image in client.call("image.list", {"repository": "fast"})["images"]:
            assert image["state"] == reader.state(fast, image["image"])["state"]
            for use in image["uses"]:
                assert use["name"] in ("web", "db"), f"half a record: {image}"
        operation(client, None)
        (use,) = client.call("image.status", {"repository": "fast", "image": "web1"})["uses"]
        assert (use["vm"], use["host"]) == (WEB, client.call("host.info")["hostId"])
        with pytest.raises(RpcError, match="ImageInUse"):
            client.call("image.remove", {"repository": "fast", "image": "web1"})
        status = client.call("image.status", DATA1)
        assert (status["uses"], status["state"], status["size"]) == ([], "optimized", 2 * MIB)
        for problem in client.call("repository.check", {"repository": "fast"})["problems"]:
            assert problem["kind"] == "clean", problem
            client.run("repository.fix", {"repository": "fast", "fix": problem["fix"]})
    assert [path.name for path in fast.glob("images/data1/uses/*")] == []
    (record,) = fast.glob("images/web1/uses/*")
    assert reader.read_json(record)["vm"] == WEB


def test_killed_at_each_durable_act_what_a_machine_needs_is_kept(seed, make_agent):
    kills = 0
    for call in CALLS:
        for n in range(1, 40):
            folder = seed.parent.parent / f"{call}-{n}"
            shutil.copytree(seed, folder / "fast")
            node = folder / "node.xml"
            path = folder / "fast" / "images" / "web1" / "data"
            node.write_text(NODE.format(vm=WEB, path=path, base=path))
            agent = make_agent(folder.name, repositories=["fast"], start=False,
                               arguments=["--workers", "1", "--libvirt", f"test://{node}"],
                               wrapper=["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
                                        "-e", f"inject={call}:signal=SIGKILL:when={n}"])
            killed = not run_until_killed(agent, operation, None)
            agent.wrapper = []
            kills += killed
            agent.start()
            check_truth(agent)
            agent.remove()
            if not killed:
                break
    print(f"{kills} kills")
    assert kills >= 8, f"only {kills} kills: the injection does not work here"
