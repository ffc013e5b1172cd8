# SPDX-License-Identifier: Apache-2.0
"""image.copy, import, export and resume: every pair of formats, compared by qemu-img."""
import os
import subprocess

import pytest

from rig.images import data_path, qcow2, random_raw, same

SIZE = 9 << 20


@pytest.fixture
def sources(client, tmp_path):
    """'raw' and 'qcow2' in 'slow', of the same contents; gives the raw file."""
    raw = random_raw(tmp_path / "source.raw", SIZE)
    packed = qcow2(tmp_path / "source.qcow2", raw)
    for form, path in (("raw", raw), ("qcow2", packed)):
        ended = client.run("image.import", {"repository": "slow", "image": form, "path": str(path), "sourceFormat": form,
                                            "userData": {"from": form}})
        assert ended["status"] == "done", ended
    return raw


@pytest.mark.parametrize("source", ["raw", "qcow2"])
@pytest.mark.parametrize("target", ["raw", "qcow2"])
def test_every_pair_of_formats_has_equal_contents(agent, client, sources, source, target):
    ended = client.run("image.copy", {"repository": "slow", "image": source, "targetRepository": "fast",
                                      "targetImage": "c", "format": target, "verify": True})
    assert ended["status"] == "done", ended
    status = client.call("image.status", {"repository": "fast", "image": "c"})
    assert (status["format"], status["size"], status["generation"]) == (target, SIZE, 1)
    assert status["userData"] == {"from": source} and status["copy"] is None
    assert same(data_path(agent.folder / "fast", "c"), sources, target)


@pytest.mark.parametrize("source", ["raw", "qcow2"])
def test_a_copy_is_as_sparse_as_its_source(agent, client, sources, source):
    client.run("image.copy", {"repository": "slow", "image": source, "targetRepository": "fast", "targetImage": "c",
                              "format": "raw"})
    status = client.call("image.status", {"repository": "fast", "image": "c"})
    assert status["allocated"] <= os.stat(sources).st_blocks * 512


def test_a_copy_answers_as_soon_as_the_target_exists(agent, client, sources):
    assert client.call("copyImage", {"repository": "slow", "image": "raw", "targetRepository": "fast",
                                     "bytesPerSecond": 65536}, id="slowly") == {"repository": "fast", "image": "raw"}
    status = client.call("image.status", {"repository": "fast", "image": "raw"})
    assert status["state"] == "broken" and status["generation"] == 0
    copy = status["copy"]
    assert copy["active"] is True and copy["task"] == "slowly" and copy["total"] == SIZE
    assert copy["source"] == {"repository": "slow", "image": "raw"} and copy["onCrash"] == "leave"
    assert client.error("image.update", {"repository": "slow", "image": "raw", "userData": {}}).name == "ImageInUse"
    client.call("task.abort", {"task": "slowly"})


@pytest.mark.parametrize("source", ["raw", "qcow2"])
@pytest.mark.parametrize("target", ["raw", "qcow2"])
def test_an_aborted_copy_is_resumed_to_equal_contents(agent, client, sources, source, target):
    client.call("image.copy", {"repository": "slow", "image": source, "targetRepository": "fast", "targetImage": "c",
                               "format": target, "bytesPerSecond": 1 << 20}, id="part")
    client.call("event.subscribe", {"topics": ["task.progress"], "subject": "part"})
    client.event(lambda event: event["params"]["data"]["progress"]["done"] > 0)
    client.call("task.abort", {"task": "part"})
    client.call("task.wait", {"task": "part"})
    client.call("image.resume", {"repository": "fast", "image": "c"}, id="rest")
    client.call("task.throttle", {"task": "rest", "bytesPerSecond": 0})
    assert client.call("task.wait", {"task": "rest"})["status"] == "done"
    assert same(data_path(agent.folder / "fast", "c"), sources, target)


def test_a_source_that_changed_is_not_continued_from(agent, client, sources, tmp_path):
    client.call("image.copy", {"repository": "slow", "image": "raw", "targetRepository": "fast",
                               "bytesPerSecond": 65536}, id="part")
    client.call("task.abort", {"task": "part"})
    client.call("task.wait", {"task": "part"})
    client.call("image.fence", {"repository": "slow", "image": "raw"})
    error = client.error("image.resume", {"repository": "fast", "image": "raw"})
    assert error.name == "Conflict" and "generation" in error.message
    client.call("repository.disconnect", {"repository": "slow"})
    error = client.error("image.resume", {"repository": "fast", "image": "raw"})
    assert error.name == "RepositoryNotFound" and "slow" in error.message


def test_a_copy_with_a_base_stores_only_what_differs(agent, client, sources, tmp_path):
    client.run("image.copy", {"repository": "slow", "image": "raw", "targetRepository": "fast", "targetImage": "base"})
    client.call("image.update", {"repository": "fast", "image": "base", "immutable": True})
    changed = tmp_path / "changed.raw"
    changed.write_bytes(sources.read_bytes())
    with open(changed, "r+b") as file:
        file.seek(2 << 20)
        file.write(os.urandom(65536))
    client.run("image.import", {"repository": "slow", "image": "changed", "path": str(changed), "sourceFormat": "raw"})
    ended = client.run("image.copy", {"repository": "slow", "image": "changed", "targetRepository": "fast",
                                      "targetImage": "layer", "base": "base"})
    assert ended["status"] == "done", ended
    status = client.call("image.status", {"repository": "fast", "image": "layer"})
    assert status["base"] == "base" and status["format"] == "qcow2" and status["allocated"] < 2 << 20
    assert same(data_path(agent.folder / "fast", "layer"), changed, "qcow2")
    flat = client.run("image.copy", {"repository": "fast", "image": "layer", "targetRepository": "slow",
                                     "targetImage": "flat", "format": "raw"})
    assert flat["status"] == "done"
    assert same(data_path(agent.folder / "slow", "flat"), changed)


@pytest.mark.parametrize("source", ["raw", "qcow2"])
@pytest.mark.parametrize("target", ["raw", "qcow2"])
def test_an_export_appears_whole_and_replaces_nothing(client, sources, tmp_path, source, target):
    path = tmp_path / "out"
    export = {"repository": "slow", "image": source, "path": str(path), "format": target}
    assert client.run("image.export", export)["status"] == "done"
    assert same(path, sources, target)
    assert client.error("image.export", export).name == "AlreadyExists"
    assert sorted(os.listdir(tmp_path)).count("out") == 1 and not [n for n in os.listdir(tmp_path) if "partial" in n]


def test_an_export_that_fails_leaves_nothing(client, sources, tmp_path):
    error = client.error("image.export", {"repository": "slow", "image": "raw", "path": str(tmp_path / "no" / "where")})
    assert str(tmp_path / "no") in error.message
    client.call("image.export", {"repository": "slow", "image": "raw", "path": str(tmp_path / "cut")}, id="x")
    client.call("task.wait", {"task": "x"})
    assert not [name for name in os.listdir(tmp_path) if "partial" in name]


def test_a_block_device_can_be_imported(agent, client, sources):
    done = subprocess.run(["losetup", "--find", "--show", "--read-only", str(sources)], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("no loop devices here: " + done.stderr.strip())
    device = done.stdout.strip()
    try:
        assert client.run("image.import", {"repository": "fast", "image": "dev", "path": device,
                                           "sourceFormat": "raw"})["status"] == "done"
        assert same(data_path(agent.folder / "fast", "dev"), sources)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)
