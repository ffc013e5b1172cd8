# SPDX-License-Identifier: Apache-2.0
"""image.merge: an image and its base become one, which shows what the image did."""
import contextlib
import json
import os
import signal
import subprocess
import time

import pytest

from rig import reader
from rig.chains import (MIB, checksum, guest_writes, import_image, layers, opened_by_a_guest, photograph, record_of,
                        shows)
from rig.images import data_path

SIZE = 3 * MIB


@pytest.fixture(params=["raw", "qcow2"])
def chain(request, agent, client, tmp_path):
    """'web1' over 'base', a raw or a qcow2, in 'fast'; gives what web1 shows as a raw file."""
    import_image(client, "fast", "base", tmp_path, request.param, SIZE)
    overlay(agent, client, "web1", "base", 9)
    return photograph(agent.folder / "fast", "web1", tmp_path / "web1.raw")


def overlay(agent, client, image, base, byte, size=SIZE):
    client.call("image.update", {"repository": "fast", "image": base, "immutable": True})
    client.call("image.create", {"repository": "fast", "image": image, "size": size, "base": base})
    guest_writes(agent.folder / "fast", image, byte, byte * 65536)


def status(client, image="web1"):
    return client.call("image.status", {"repository": "fast", "image": image})


def merge(client, image="web1", **more):
    return client.run("image.merge", {"repository": "fast", "image": image, **more})


def untouched(agent, client, raw, base="base"):
    fast = agent.folder / "fast"
    assert status(client)["state"] == status(client, base)["state"] == "optimized"
    assert status(client)["base"] == base and status(client)["generation"] == 1 and shows(fast, "web1", raw)
    assert record_of(fast, base)["version"] == 1 and reader.leftovers(fast) == []
    assert client.call("repository.check", {"repository": "fast"})["problems"] == []


def test_the_image_goes_on_in_the_place_of_its_base(agent, client, chain):
    fast, form = agent.folder / "fast", status(client, "base")["format"]
    ended = merge(client)
    assert ended["status"] == "done", ended
    after = status(client)
    assert (after["base"], after["format"], after["size"], after["state"], after["generation"], after["mutable"]) == (
        None, form, SIZE, "optimized", 2, True)
    assert reader.images(fast) == ["web1"] and shows(fast, "web1", chain)
    assert sorted(os.listdir(fast / "images" / "web1")) == sorted([record_of(fast, "web1")["data"], "image.json", "lock"])
    assert os.stat(data_path(fast, "web1")).st_nlink == 1
    assert client.run("image.verify", {"repository": "fast", "image": "web1"})["status"] == "done"
    assert client.call("repository.check", {"repository": "fast"})["problems"] == []


def test_it_keeps_its_checksum_and_an_immutable_one_is_merged_too(agent, client, chain):
    value = checksum(client, "fast", "web1")
    client.call("image.update", {"repository": "fast", "image": "web1", "immutable": True})
    assert merge(client)["status"] == "done"
    assert status(client)["checksum"]["value"] == value and checksum(client, "fast", "web1") == value


def test_a_chain_of_five_is_merged_from_its_top_or_its_bottom(agent, client, chain, tmp_path):
    fast = agent.folder / "fast"
    for number in range(4):
        client.call("image.snapshot", {"repository": "fast", "image": "web1", "snapshot": f"s{number}"})
        guest_writes(fast, "web1", number + 1, number * 400000 // 512 * 512)
    now, value = photograph(fast, "web1", tmp_path / "now.raw"), checksum(client, "fast", "web1")
    middle = photograph(fast, "s1", tmp_path / "s1.raw")
    assert layers(client, "fast", "web1") == ["web1", "s3", "s2", "s1", "s0", "base"]
    error = client.error("image.merge", {"repository": "fast", "image": "s1"})
    assert error.name == "ImageHasDependents" and error.data["dependents"] == ["s2"]
    for gone in ("s3", "s2"):
        assert merge(client)["status"] == "done"
        assert gone not in layers(client, "fast", "web1") and shows(fast, "web1", now)
    assert layers(client, "fast", "web1") == ["web1", "s1", "s0", "base"] and shows(fast, "s1", middle)
    for left in (3, 2, 1):
        assert merge(client)["status"] == "done"
        assert len(layers(client, "fast", "web1")) == left and shows(fast, "web1", now)
    assert checksum(client, "fast", "web1") == value
    error = client.error("image.merge", {"repository": "fast", "image": "web1"})
    assert error.name == "WrongState" and error.data["needs"] == "a base"


def test_an_image_that_is_larger_than_its_base(agent, client, chain, tmp_path):
    fast = agent.folder / "fast"
    client.call("image.resize", {"repository": "fast", "image": "web1", "size": 5 * MIB})
    guest_writes(fast, "web1", 77, 5 * MIB - 65536)
    now = photograph(fast, "web1", tmp_path / "now.raw")
    assert merge(client)["status"] == "done"
    assert status(client)["size"] == 5 * MIB and shows(fast, "web1", now)


def test_a_base_with_other_dependents_is_never_written_into(agent, client, chain, tmp_path):
    overlay(agent, client, "web2", "base", 5)
    base = photograph(agent.folder / "fast", "base", tmp_path / "base.raw")
    error = client.error("image.merge", {"repository": "fast", "image": "web1"})
    assert error.name == "ImageHasDependents" and error.data["dependents"] == ["web2"]
    untouched(agent, client, chain)
    assert shows(agent.folder / "fast", "base", base)


@pytest.mark.parametrize("image", ["web1", "base"])
@pytest.mark.parametrize("options", [[], ["-r"]], ids=["written", "read"])
def test_what_a_guest_has_open_is_in_use(agent, client, chain, image, options):
    with opened_by_a_guest(agent.folder / "fast", image, *options):
        assert client.error("image.merge", {"repository": "fast", "image": "web1"}).name == "ImageInUse"
    untouched(agent, client, chain)
    assert merge(client)["status"] == "done"


def test_what_may_not_be_merged_is_refused_and_left_as_it_is(agent, client, chain):
    refused = lambda **params: client.error("image.merge", {"repository": "fast", "image": "web1", **params})  # noqa: E731
    assert refused(image="nobody").name == "ImageNotFound"
    assert refused(ifGeneration=7).name == "Conflict"
    overlay(agent, client, "over", "web1", 3)
    assert refused().name == "ImageHasDependents"
    client.call("image.remove", {"repository": "fast", "image": "over"})
    client.call("image.update", {"repository": "fast", "image": "web1", "immutable": False})
    os.truncate(data_path(agent.folder / "fast", "base"), 0)
    if status(client, "base")["format"] == "raw":
        assert refused().name == "ImageBroken"


def test_an_overlay_over_another_file_than_its_record_says_is_not_followed(agent, client, chain, tmp_path):
    other = tmp_path / "other.raw"
    other.write_bytes(bytes(SIZE))
    subprocess.run(["qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", str(other),
                    data_path(agent.folder / "fast", "web1")], check=True)
    ended = merge(client)
    assert ended["status"] == "failed" and ended["error"]["data"]["name"] == "Conflict", ended
    assert other.read_bytes() == bytes(SIZE)
    assert status(client)["state"] == status(client, "base")["state"] == "optimized"


def test_it_answers_early_and_tells_of_both_images(client, chain):
    client.call("event.subscribe", {"topics": ["image.*"]})
    assert client.call("image.merge", {"repository": "fast", "image": "web1"}) == {"repository": "fast", "image": "web1"}
    events = [client.event()["params"] for _ in range(4)]
    assert [(event["topic"], event["subject"]) for event in events] == [
        ("image.changed", "fast/base"), ("image.changed", "fast/web1"), ("image.removed", "fast/base"),
        ("image.changed", "fast/web1")]
    assert [event["data"].get("state") for event in events] == ["broken", "degraded", None, "optimized"]


def mark(agent, image, **members):
    fast = agent.folder / "fast"
    record = dict({"data": reader.data_name(record_of(fast, image)), "snapshotOf": None, "resizing": False,
                   "merging": None, "mergedInto": None}, **record_of(fast, image))
    (fast / "images" / image / "image.json").write_text(json.dumps(dict(record, version=2, **members)))


def interrupted_while_writing(agent):
    """As a kill in the middle of it leaves them: some of the image is in the base, over what that held."""
    mark(agent, "base", mergedInto="web1")
    mark(agent, "web1", merging="base")
    guest_writes(agent.folder / "fast", "base", 9, 9 * 65536, 4096)


def interrupted_before_writing(agent):
    mark(agent, "base", mergedInto="web1")


@pytest.mark.parametrize("interrupted", [interrupted_while_writing, interrupted_before_writing])
@pytest.mark.parametrize("by", ["the same call", "repository.fix"])
def test_an_interrupted_one_is_found_and_goes_on(agent, client, chain, interrupted, by):
    fast = agent.folder / "fast"
    interrupted(agent)
    for image in ("web1", "base"):
        assert status(client, image)["state"] == reader.state(fast, image)["state"]
    assert status(client, "base")["state"] == "broken" and status(client)["state"] != "broken"
    assert shows(fast, "web1", chain)
    for method, more in (("image.create", {"image": "x", "size": SIZE, "base": "base"}),
                         ("image.copy", {"image": "base", "targetRepository": "slow"}),
                         ("image.merge", {"image": "base"})):
        assert client.error(method, {"repository": "fast", **more}).name in ("ImageBroken", "ImageHasDependents"), method
    assert client.error("image.remove", {"repository": "fast", "image": "base"}).name == "ImageHasDependents"
    assert client.error("image.snapshot", {"repository": "fast", "image": "web1"}).name in ("WrongState", "ImageBroken")
    guest_writes(fast, "web1", 9, 9 * 65536)  # the same again: it may be written to meanwhile
    [problem] = client.call("repository.check", {"repository": "fast"})["problems"]
    assert (problem["image"], problem["kind"]) == ("web1", "merge"), problem
    if by == "the same call":
        assert merge(client)["status"] == "done"
    else:
        answer = client.run("repository.fix", {"repository": "fast", "fix": problem["fix"]})["result"]
        assert client.call("task.wait", {"task": answer["task"]})["status"] == "done"
        assert client.error("repository.fix", {"repository": "fast", "fix": problem["fix"]}).name == "Conflict"
    assert reader.images(fast) == ["web1"] and shows(fast, "web1", chain) and status(client)["state"] == "optimized"


def has_happened(agent, client, chain):
    """As a kill between the moment and the removal of the base leaves them."""
    fast, folder = agent.folder / "fast", agent.folder / "fast" / "images"
    assert merge(client)["status"] == "done"
    data = record_of(fast, "web1")["data"]
    (folder / "base").mkdir()
    (folder / "base" / "lock").touch()
    os.link(folder / "web1" / data, folder / "base" / "data")
    (folder / "base" / "image.json").write_text(json.dumps(dict(record_of(fast, "web1"), data="data", mutable=False)))
    mark(agent, "base", mergedInto="web1")
    mark(agent, "web1", merging="base")
    (folder / "web1" / "data").write_text("left over")


def test_one_that_has_happened_is_not_done_again(agent, client, chain):
    fast = agent.folder / "fast"
    has_happened(agent, client, chain)
    assert status(client)["state"] == "degraded" and status(client, "base")["state"] == "broken"
    generation = status(client)["generation"]
    ended = merge(client)
    assert ended["status"] == "done", ended
    assert status(client)["generation"] == generation and status(client)["state"] == "optimized"
    assert reader.images(fast) == ["web1"] and reader.leftovers(fast) == [] and shows(fast, "web1", chain)


def test_another_image_that_has_got_the_name_of_the_base_is_left(agent, client, chain):
    has_happened(agent, client, chain)
    client.call("image.remove", {"repository": "fast", "image": "base"})
    client.call("image.create", {"repository": "fast", "image": "base", "size": MIB})
    assert merge(client)["status"] == "done"
    assert status(client, "base")["size"] == MIB and status(client)["state"] == "optimized"
    assert shows(agent.folder / "fast", "web1", chain)


def test_a_base_whose_image_went_on_without_it_is_freed(agent, client, chain):
    interrupted_before_writing(agent)
    assert client.run("image.optimize", {"repository": "fast", "image": "web1"})["status"] == "done"
    [problem] = client.call("repository.check", {"repository": "fast"})["problems"]
    assert (problem["image"], problem["kind"]) == ("base", "clean"), problem
    assert client.run("repository.fix", {"repository": "fast", "fix": problem["fix"]})["status"] == "done"
    assert reader.images(agent.folder / "fast") == ["web1"] and shows(agent.folder / "fast", "web1", chain)


def stop_commit(agent):
    """Stops the program that writes into the base, in the middle of it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        pid = agent.process.pid
        for thread in os.listdir(f"/proc/{pid}/task"):
            for child in open(f"/proc/{pid}/task/{thread}/children").read().split():
                with contextlib.suppress(OSError):
                    if b"commit" in open(f"/proc/{child}/cmdline", "rb").read().split(b"\0"):
                        os.kill(int(child), signal.SIGSTOP)
                        return int(child)
    raise AssertionError("no program wrote into the base")


def test_aborted_while_it_writes_the_image_is_degraded_and_shows_what_it_did(agent, client, chain, tmp_path):
    fast = agent.folder / "fast"
    client.call("image.resize", {"repository": "fast", "image": "web1", "size": 256 * MIB})
    guest_writes(fast, "web1", 3, 4 * MIB, 240 * MIB)
    now = photograph(fast, "web1", tmp_path / "now.raw")
    client.call("image.merge", {"repository": "fast", "image": "web1"}, id="m")
    child = stop_commit(agent)
    assert status(client)["state"] == "degraded" and "under way" in status(client)["reason"]
    assert client.error("image.fence", {"repository": "fast", "image": "web1"}).name == "ImageInUse"
    client.call("task.abort", {"task": "m"})
    assert client.call("task.wait", {"task": "m"})["status"] == "aborted"
    assert not os.path.exists(f"/proc/{child}")
    assert status(client)["state"] == "degraded" and status(client, "base")["state"] == "broken"
    assert shows(fast, "web1", now)
    assert merge(client)["status"] == "done"
    assert reader.images(fast) == ["web1"] and shows(fast, "web1", now) and reader.leftovers(fast) == []


def test_an_abort_at_any_time_leaves_the_image_showing_what_it_did(agent, client, chain):
    client.request("image.merge", {"repository": "fast", "image": "web1"}, id="m")
    client.request("task.abort", {"task": "m"}, id="a")
    client.wait("a")
    client.wait("m")
    ended = client.call("task.wait", {"task": "m"})
    fast = agent.folder / "fast"
    assert ended["status"] in ("aborted", "done") and shows(fast, "web1", chain)
    if ended["status"] == "aborted" and len(reader.images(fast)) == 2:
        assert status(client)["state"] in ("optimized", "degraded")
        assert merge(client)["status"] == "done"
    assert reader.images(fast) == ["web1"] and shows(fast, "web1", chain)
