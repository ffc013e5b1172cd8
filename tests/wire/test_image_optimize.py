# SPDX-License-Identifier: Apache-2.0
"""image.optimize: the same contents in one file of the image's own, and nothing else is changed."""
import os

import pytest

from rig import reader
from rig.chains import (MIB, checksum, guest_writes, import_image, layers, opened_by_a_guest, photograph, record_of,
                        shows)
from rig.images import data_path

SIZE = 3 * MIB


@pytest.fixture(params=["raw", "qcow2"])
def image(request, agent, client, tmp_path):
    """'web1' in 'fast', of random contents; gives them as a raw file."""
    return import_image(client, "fast", "web1", tmp_path, request.param, SIZE)


@pytest.fixture(params=["raw", "qcow2"])
def large(request, agent, client, tmp_path):
    """The same, of more than is copied before a bound is heard of."""
    return import_image(client, "fast", "web1", tmp_path, request.param, 96 * MIB)


def status(client, image="web1"):
    return client.call("image.status", {"repository": "fast", "image": image})


def optimize(client, image="web1", **more):
    return client.run("image.optimize", {"repository": "fast", "image": image, **more})


def untouched(agent, client, raw, generation=1):
    fast = agent.folder / "fast"
    assert status(client)["generation"] == generation and status(client)["state"] == "optimized"
    assert shows(fast, "web1", raw) and reader.leftovers(fast) == []


def test_a_chain_of_five_becomes_one_image(agent, client, image, tmp_path):
    fast = agent.folder / "fast"
    for number in range(4):
        client.call("image.snapshot", {"repository": "fast", "image": "web1", "snapshot": f"s{number}"})
        guest_writes(fast, "web1", number + 1, number * 300000 // 512 * 512)
    now, value = photograph(fast, "web1", tmp_path / "now.raw"), checksum(client, "fast", "web1")
    assert len(layers(client, "fast", "web1")) == 5
    ended = optimize(client)
    assert ended["status"] == "done" and ended["progress"]["done"] == SIZE, ended
    after = status(client)
    assert (after["base"], after["format"], after["size"], after["state"], after["generation"]) == (
        None, "qcow2", SIZE, "optimized", 7)
    assert after["checksum"]["value"] == value and shows(fast, "web1", now)
    assert client.run("image.verify", {"repository": "fast", "image": "web1"})["status"] == "done"
    for number in (3, 2, 1, 0):
        client.call("image.remove", {"repository": "fast", "image": f"s{number}"})
    assert checksum(client, "fast", "web1") == value and shows(fast, "web1", now)
    assert sorted(os.listdir(fast / "images" / "web1")) == sorted([record_of(fast, "web1")["data"], "image.json", "lock"])


def test_what_is_zero_takes_no_space_any_more(agent, client, image):
    fast = agent.folder / "fast"
    guest_writes(fast, "web1", 0, 0, SIZE)
    before = status(client)["allocated"]
    assert optimize(client)["status"] == "done"
    after = status(client)
    assert before >= SIZE and after["allocated"] < before / 4, (before, after["allocated"])
    assert after["format"] == record_of(fast, "web1")["format"]


def test_a_snapshot_is_optimized_and_keeps_its_checksum(agent, client, image):
    value = checksum(client, "fast", "web1")
    client.call("image.update", {"repository": "fast", "image": "web1", "immutable": True})
    assert optimize(client)["status"] == "done"
    assert status(client)["checksum"]["value"] == value and status(client)["mutable"] is False
    assert shows(agent.folder / "fast", "web1", image)
    client.call("image.create", {"repository": "fast", "image": "over", "size": SIZE, "base": "web1"})
    assert shows(agent.folder / "fast", "over", image)
    assert client.run("image.verify", {"repository": "fast", "image": "over"})["status"] == "done"


def test_what_others_stand_on_keeps_its_file(agent, client, image):
    client.call("image.snapshot", {"repository": "fast", "image": "web1", "snapshot": "s"})
    error = client.error("image.optimize", {"repository": "fast", "image": "s"})
    assert error.name == "ImageHasDependents" and error.data["dependents"] == ["web1"]
    untouched(agent, client, image, 2)


def test_it_answers_early_with_the_image_and_tells_of_the_change(client, image):
    client.call("event.subscribe", {"topics": ["image.changed"]})
    assert client.call("image.optimize", {"repository": "fast", "image": "web1"}) == {
        "repository": "fast", "image": "web1"}
    event = client.event()["params"]
    assert event["subject"] == "fast/web1" and event["data"]["generation"] == 2


@pytest.mark.parametrize("options", [[], ["-r"]], ids=["written", "read"])
def test_what_a_guest_has_open_is_in_use(agent, client, image, options):
    with opened_by_a_guest(agent.folder / "fast", "web1", *options):
        assert client.error("image.optimize", {"repository": "fast", "image": "web1"}).name == "ImageInUse"
    untouched(agent, client, image)


def begin_slowly(client, agent):
    """An optimization that is under way and will not end by itself: 'o'."""
    client.request("image.optimize", {"repository": "fast", "image": "web1"}, id="o")
    client.request("task.throttle", {"task": "o", "bytesPerSecond": 65536}, id="t")
    assert "result" in client.wait("t") and "result" in client.wait("o")
    folder = agent.folder / "fast" / "images" / "web1"
    for _ in range(6000):
        if len([name for name in os.listdir(folder) if name.startswith("data")]) == 2:
            return
        client.call("host.ping")
    raise AssertionError(os.listdir(folder))


def test_an_abort_leaves_the_image_as_it_was(agent, client, large):
    begin_slowly(client, agent)
    assert client.error("image.update", {"repository": "fast", "image": "web1", "userData": {}}).name == "ImageInUse"
    client.call("task.abort", {"task": "o"})
    assert client.call("task.wait", {"task": "o"})["status"] == "aborted"
    untouched(agent, client, large)
    assert os.listdir(agent.folder / "fast" / "images" / "web1").count("data") == 1
    assert optimize(client)["status"] == "done"
    untouched(agent, client, large, 2)


def test_what_a_killed_one_leaves_is_found_freed_and_replaced(agent, client, large):
    fast = agent.folder / "fast"
    begin_slowly(client, agent)
    agent.kill()
    agent.start()
    with agent.connect() as again:
        assert status(again)["state"] == "optimized" and shows(fast, "web1", large)
        [problem] = again.call("repository.check", {"repository": "fast"})["problems"]
        assert (problem["image"], problem["kind"]) == ("web1", "clean") and reader.leftovers(fast) == ["web1"]
        assert again.run("repository.fix", {"repository": "fast", "fix": problem["fix"]})["status"] == "done"
        untouched(agent, again, large)
        (fast / "images" / "web1" / "data-7").write_text("left over")
        assert optimize(again)["status"] == "done"
        untouched(agent, again, large, 2)


def test_what_is_written_meanwhile_is_not_lost(agent, client, large):
    begin_slowly(client, agent)
    with open(data_path(agent.folder / "fast", "web1"), "r+b") as file:  # whoever does not ask for QEMU's lock
        file.seek(0, os.SEEK_END)
        file.write(b"late")
    client.hurry("o")
    ended = client.call("task.wait", {"task": "o"})
    assert ended["status"] == "failed" and ended["error"]["data"]["name"] == "Conflict", ended
    assert record_of(agent.folder / "fast", "web1")["generation"] == 1 and reader.leftovers(agent.folder / "fast") == []


def test_what_may_not_be_optimized_is_refused(agent, client, image):
    refused = lambda **params: client.error("image.optimize", {"repository": "fast", "image": "web1", **params})  # noqa: E731
    assert refused(image="nobody").name == "ImageNotFound"
    assert refused(ifGeneration=7).name == "Conflict"
    untouched(agent, client, image)
    os.truncate(data_path(agent.folder / "fast", "web1"), 0)
    if status(client)["format"] == "raw":
        assert refused().name == "ImageBroken"
    else:  # only QEMU can tell
        assert optimize(client)["status"] == "failed" and reader.leftovers(agent.folder / "fast") == []


def test_a_long_chain_is_found_and_made_short_by_a_fix(agent, client, image):
    for number in range(8):
        client.call("image.snapshot", {"repository": "fast", "image": "web1", "snapshot": f"s{number}"})
        problems = client.call("repository.check", {"repository": "fast"})["problems"]
        assert len(problems) == (number == 7), (number, problems)
    assert (problems[0]["image"], problems[0]["kind"]) == ("web1", "optimize")
    answer = client.run("repository.fix", {"repository": "fast", "fix": problems[0]["fix"]})["result"]
    assert client.call("task.wait", {"task": answer["task"]})["status"] == "done"
    assert client.call("repository.check", {"repository": "fast"})["problems"] == []
    assert client.error("repository.fix", {"repository": "fast", "fix": problems[0]["fix"]}).name == "Conflict"
    assert status(client)["base"] is None and shows(agent.folder / "fast", "web1", image)


def test_a_size_that_is_no_whole_sector_stays(agent, client, tmp_path):
    raw = import_image(client, "fast", "odd", tmp_path, "raw", MIB + 321)
    value = checksum(client, "fast", "odd")
    assert optimize(client, "odd")["status"] == "done"
    assert status(client, "odd")["size"] == MIB + 321 == os.path.getsize(data_path(agent.folder / "fast", "odd"))
    assert checksum(client, "fast", "odd") == value and shows(agent.folder / "fast", "odd", raw)
