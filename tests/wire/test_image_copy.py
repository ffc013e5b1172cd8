# SPDX-License-Identifier: Apache-2.0
"""image.copy, import, export and resume: every pair of formats, compared by qemu-img."""
import os
import signal
import subprocess

import pytest

from rig.images import data_path, qcow2, random_raw, same, written_to

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
    message = next(step["message"] for step in ended["steps"] if step["name"] == "copy")
    read, written = message.split(": read by ")[1].split(", written by ")
    # What was just imported may be in the page cache, or not any more.
    for method, form in ((read, source), (written, target)):
        assert method.startswith(("O_DIRECT", "the page cache")), message
        assert method.endswith("at the places of its map") == (form == "qcow2"), message


def nbd_servers(agent):
    children = open(f"/proc/{agent.process.pid}/task/{agent.process.pid}/children").read().split()
    threads = [c for t in os.listdir(f"/proc/{agent.process.pid}/task")
               for c in open(f"/proc/{agent.process.pid}/task/{t}/children").read().split()]
    return {int(pid) for pid in children + threads
            if open(f"/proc/{pid}/comm").read().strip() == "qemu-nbd"}


def test_a_qemu_nbd_that_is_killed_under_a_copy_leaves_one_to_be_resumed(agent, client, sources):
    client.call("image.create", {"repository": "fast", "image": "base", "size": SIZE})
    client.call("image.update", {"repository": "fast", "image": "base", "immutable": True})
    client.call("image.copy", {"repository": "slow", "image": "raw", "targetRepository": "fast", "base": "base",
                               "bytesPerSecond": 65536}, id="t")
    client.call("event.subscribe", {"topics": ["task.progress"]})
    while not client.event()["params"]["data"]["progress"]["done"]:
        pass
    servers = nbd_servers(agent)
    assert len(servers) == 1, servers
    os.kill(servers.pop(), signal.SIGKILL)
    ended = client.call("task.wait", {"task": "t"})
    assert ended["status"] == "failed" and ended["error"]["data"]["name"] == "BackendFailed", ended
    assert client.call("image.status", {"repository": "fast", "image": "raw"})["state"] == "broken"
    client.call("image.resume", {"repository": "fast", "image": "raw"}, id="rest")
    client.hurry("rest")
    assert client.call("task.wait", {"task": "rest"})["status"] == "done"
    assert same(data_path(agent.folder / "fast", "raw"), sources, "qcow2")
    subprocess.run(["qemu-img", "check", "-q", data_path(agent.folder / "fast", "raw")], check=True)
    assert nbd_servers(agent) == set()


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
                               "format": target, "bytesPerSecond": 65536}, id="part")
    client.call("event.subscribe", {"topics": ["task.progress"], "subject": "part"})
    client.event(lambda event: event["params"]["data"]["progress"]["done"] > 0)
    client.call("task.abort", {"task": "part"})
    client.call("task.wait", {"task": "part"})
    client.call("image.resume", {"repository": "fast", "image": "c"}, id="rest")
    client.hurry("rest")
    assert client.call("task.wait", {"task": "rest"})["status"] == "done"
    assert same(data_path(agent.folder / "fast", "c"), sources, target)


def part_of_a_copy(client):
    client.call("image.copy", {"repository": "slow", "image": "raw", "targetRepository": "fast",
                               "bytesPerSecond": 65536}, id="part")
    client.call("task.abort", {"task": "part"})
    client.call("task.wait", {"task": "part"})


def test_a_source_of_which_only_something_else_is_said_is_continued_from(agent, client, sources):
    part_of_a_copy(client)
    client.call("image.update", {"repository": "slow", "image": "raw", "userData": {"more": True}})
    client.call("image.resume", {"repository": "fast", "image": "raw"}, id="rest")
    client.hurry("rest")
    assert client.call("task.wait", {"task": "rest"})["status"] == "done"
    assert same(data_path(agent.folder / "fast", "raw"), sources)


def test_a_source_that_a_guest_writes_to_meanwhile_makes_no_copy(agent, client, sources):
    client.call("image.copy", {"repository": "slow", "image": "raw", "targetRepository": "fast",
                               "bytesPerSecond": 65536}, id="part")
    with open(data_path(agent.folder / "slow", "raw"), "r+b") as file:
        file.write(b"a guest ran")
    client.hurry("part")
    ended = client.call("task.wait", {"task": "part"})
    assert ended["status"] == "failed" and ended["error"]["data"]["name"] == "Conflict", ended
    assert client.call("image.status", {"repository": "fast", "image": "raw"})["state"] == "broken"


@pytest.mark.parametrize("form", ["raw", "qcow2"])
def test_the_disk_of_a_running_guest_is_not_copied_and_a_disk_that_is_copied_starts_no_guest(agent, client, sources, form):
    copy = {"repository": "slow", "image": form, "targetRepository": "fast", "targetImage": "c"}
    path = data_path(agent.folder / "slow", form)
    with written_to(path, form):
        error = client.error("image.copy", copy)
        assert error.name == "ImageInUse" and "guest" in error.message, error
    assert client.call("image.list", {"repository": "fast"})["images"] == []
    client.call("image.copy", {**copy, "bytesPerSecond": 65536}, id="slowly")
    client.call("event.subscribe", {"topics": ["task.progress"]})
    while not client.event()["params"]["data"]["progress"]["done"]:  # until then it may not have been opened
        pass
    guest = subprocess.run(["qemu-io", "-f", form, "-c", "write 0 512", path], capture_output=True, text=True)
    assert guest.returncode != 0 and "lock" in guest.stderr, guest
    client.hurry("slowly")
    assert client.call("task.wait", {"task": "slowly"})["status"] == "done"
    assert same(data_path(agent.folder / "fast", "c"), sources, form)


def test_a_source_that_changed_is_not_continued_from(agent, client, sources):
    part_of_a_copy(client)
    with open(data_path(agent.folder / "slow", "raw"), "r+b") as file:
        file.write(b"a guest ran")
    error = client.error("image.resume", {"repository": "fast", "image": "raw"})
    assert error.name == "Conflict" and "modified" in error.message
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


def test_an_aborted_copy_over_a_base_is_resumed_over_it(agent, client, sources):
    client.run("image.copy", {"repository": "slow", "image": "raw", "targetRepository": "fast", "targetImage": "base"})
    client.call("image.update", {"repository": "fast", "image": "base", "immutable": True})
    client.call("image.copy", {"repository": "slow", "image": "qcow2", "targetRepository": "fast", "targetImage": "layer",
                               "base": "base", "bytesPerSecond": 65536}, id="part")
    client.call("event.subscribe", {"topics": ["task.progress"], "subject": "part"})
    client.event(lambda event: event["params"]["data"]["progress"]["done"] > 0)
    assert client.error("image.remove", {"repository": "fast", "image": "base"}).name in ("ImageInUse", "ImageHasDependents")
    client.call("task.abort", {"task": "part"})
    client.call("task.wait", {"task": "part"})
    assert client.error("image.remove", {"repository": "fast", "image": "base"}).name == "ImageHasDependents"
    client.call("image.resume", {"repository": "fast", "image": "layer"}, id="rest")
    client.hurry("rest")
    assert client.call("task.wait", {"task": "rest"})["status"] == "done"
    assert same(data_path(agent.folder / "fast", "layer"), sources, "qcow2")
    assert client.call("image.status", {"repository": "fast", "image": "layer"})["allocated"] < 1 << 20


def test_a_base_must_be_immutable_there_and_no_larger(client, sources):
    copy = {"repository": "slow", "image": "raw", "targetRepository": "fast", "targetImage": "layer"}
    assert client.error("image.copy", {**copy, "base": "none"}).name == "ImageNotFound"
    client.call("image.create", {"repository": "fast", "image": "base", "size": SIZE * 2})
    assert client.error("image.copy", {**copy, "base": "base"}).name == "WrongState"
    client.call("image.update", {"repository": "fast", "image": "base", "immutable": True})
    assert client.error("image.copy", {**copy, "base": "base"}).data["param"] == "base"
    assert client.error("image.copy", {**copy, "base": "base", "format": "raw"}).data["param"] == "format"
    assert [i["image"] for i in client.call("image.list", {"repository": "fast"})["images"]] == ["base"]


def test_a_copy_that_verify_finds_different_is_copied_again_by_resume(agent, client, sources):
    client.call("image.copy", {"repository": "slow", "image": "raw", "targetRepository": "fast", "verify": True,
                               "bytesPerSecond": 65536}, id="c")
    client.call("event.subscribe", {"topics": ["task.progress"], "subject": "c"})
    client.event(lambda event: event["params"]["data"]["progress"]["done"] > 65536)
    path = data_path(agent.folder / "fast", "raw")
    with open(path, "r+b") as file:
        file.write(b"bad cable")
    client.hurry("c")
    ended = client.call("task.wait", {"task": "c"})
    assert ended["status"] == "failed" and ended["error"]["data"]["name"] == "VerifyFailed", ended
    assert ended["error"]["data"]["offset"] == 0
    status = client.call("image.status", {"repository": "fast", "image": "raw"})
    assert status["state"] == "broken" and status["copy"]["done"] == 0
    client.call("image.resume", {"repository": "fast", "image": "raw"}, id="r")
    client.hurry("r")
    assert client.call("task.wait", {"task": "r"})["status"] == "done"
    assert same(path, sources)


def test_a_resume_that_is_fenced_off_does_nothing(client, sources):
    client.call("image.copy", {"repository": "slow", "image": "raw", "targetRepository": "fast",
                               "bytesPerSecond": 65536}, id="part")
    client.call("task.abort", {"task": "part"})
    client.call("task.wait", {"task": "part"})
    assert client.error("image.resume", {"repository": "fast", "image": "raw", "ifGeneration": 7}).name == "Conflict"
    client.call("image.resume", {"repository": "fast", "image": "raw", "ifGeneration": 0}, id="rest")
    client.hurry("rest")
    assert client.call("task.wait", {"task": "rest"})["status"] == "done"


def test_a_copy_of_an_immutable_image_is_immutable(client, sources):
    client.call("image.update", {"repository": "slow", "image": "raw", "immutable": True})
    client.run("image.copy", {"repository": "slow", "image": "raw", "targetRepository": "fast"})
    assert client.call("image.status", {"repository": "fast", "image": "raw"})["mutable"] is False


def test_a_damaged_qcow2_source_is_an_error_in_qemus_words(agent, client, sources):
    with open(data_path(agent.folder / "slow", "qcow2"), "r+b") as file:
        file.write(b"not a qcow2 any more")
    ended = client.run("image.copy", {"repository": "slow", "image": "qcow2", "targetRepository": "fast"})
    assert ended["status"] == "failed" and "not in qcow2 format" in ended["error"]["message"], ended
    assert client.call("image.status", {"repository": "fast", "image": "qcow2"})["state"] == "broken"


def test_what_a_kill_left_of_a_socket_is_gone_at_the_next_start(agent, client, sources):
    left = agent.run_dir / "nbd" / "hostler-nbd-aBcDeF"
    left.mkdir()
    (left / "socket").touch()
    agent.restart()
    assert os.listdir(agent.run_dir / "nbd") == []
    with agent.connect() as again:
        assert again.run("image.verify", {"repository": "slow", "image": "qcow2"})["status"] == "done"
    assert os.listdir(agent.run_dir / "nbd") == []


@pytest.mark.parametrize("form", ["raw", "qcow2"])
def test_a_throttled_copy_can_be_aborted(client, sources, form):
    client.call("image.copy", {"repository": "slow", "image": form, "targetRepository": "fast", "bytesPerSecond": 1}, id="c")
    client.call("task.abort", {"task": "c"})
    assert client.call("task.wait", {"task": "c"})["status"] == "aborted"


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
