# SPDX-License-Identifier: Apache-2.0
"""image.snapshot: the image goes on as a layer over what it was, and nothing of either changes."""
import os
import subprocess

import pytest

from rig import reader
from rig.chains import (MIB, checksum, guest_writes, import_image, layers, opened_by_a_guest, photograph, record_of,
                        shows)
from rig.images import data_path


@pytest.fixture(params=["raw", "qcow2"])
def image(request, agent, client, tmp_path):
    """'web1' in 'fast', of random contents; gives them as a raw file."""
    return import_image(client, "fast", "web1", tmp_path, request.param)


def status(client, image):
    return client.call("image.status", {"repository": "fast", "image": image})


def snapshot(client, name, image="web1", **more):
    return client.call("image.snapshot", {"repository": "fast", "image": image, "snapshot": name, **more})


def test_the_image_goes_on_as_a_layer_over_its_snapshot(agent, client, image):
    fast = agent.folder / "fast"
    before = status(client, "web1")
    after = snapshot(client, "monday")
    assert (after["base"], after["format"], after["size"], after["mutable"], after["generation"]) == (
        "monday", "qcow2", 3 * MIB, True, before["generation"] + 1)
    taken = status(client, "monday")
    assert (taken["format"], taken["base"], taken["mutable"], taken["state"], taken["generation"]) == (
        before["format"], None, False, "optimized", 1)
    assert shows(fast, "web1", image) and shows(fast, "monday", image)
    guest_writes(fast, "web1", 7, MIB)
    assert shows(fast, "monday", image) and not shows(fast, "web1", image)
    assert os.stat(data_path(fast, "monday")).st_nlink == 1
    assert sorted(os.listdir(fast / "images" / "web1")) == sorted([record_of(fast, "web1")["data"], "image.json", "lock"])
    assert record_of(fast, "monday")["version"] == 1
    assert client.call("repository.check", {"repository": "fast"})["problems"] == []


def test_the_checksum_stays_that_of_both(agent, client, image):
    value = checksum(client, "fast", "web1")
    after = snapshot(client, "monday")
    assert after["checksum"]["value"] == value and status(client, "monday")["checksum"]["value"] == value
    for name in ("web1", "monday"):
        ended = client.run("image.verify", {"repository": "fast", "image": name})
        assert ended["status"] == "done" and "equal" in str(ended["steps"]), ended
    guest_writes(agent.folder / "fast", "web1", 7, 0)
    assert status(client, "web1")["checksum"] is None and checksum(client, "fast", "web1") != value


def test_a_chain_of_five_snapshots_shows_each_moment(agent, client, image, tmp_path):
    fast, moments = agent.folder / "fast", {}
    for number in range(5):
        guest_writes(fast, "web1", number + 1, number * 300000 // 512 * 512)
        moments[f"s{number}"] = photograph(fast, "web1", tmp_path / f"s{number}.raw")
        snapshot(client, f"s{number}")
    assert layers(client, "fast", "web1") == ["web1", "s4", "s3", "s2", "s1", "s0"]
    for name, moment in moments.items():
        assert shows(fast, name, moment), name
        assert status(client, name)["state"] == "optimized"
    assert shows(fast, "web1", moments["s4"])
    assert client.run("image.copy", {"repository": "fast", "image": "web1", "targetRepository": "slow",
                                     "format": "raw", "verify": True})["status"] == "done"
    assert shows(agent.folder / "slow", "web1", moments["s4"])


def test_an_image_over_a_base_keeps_that_one_below(agent, client, image):
    client.call("image.update", {"repository": "fast", "image": "web1", "immutable": True})
    client.call("image.create", {"repository": "fast", "image": "over", "size": 4 * MIB, "base": "web1"})
    guest_writes(agent.folder / "fast", "over", 9, 3 * MIB)
    before = checksum(client, "fast", "over")
    snapshot(client, "monday", "over")
    assert layers(client, "fast", "over") == ["over", "monday", "web1"]
    assert checksum(client, "fast", "over") == checksum(client, "fast", "monday") == before
    error = client.error("image.remove", {"repository": "fast", "image": "web1"})
    assert error.name == "ImageHasDependents" and error.data["dependents"] == ["monday"]


def test_the_id_may_be_left_out_and_is_told_as_the_base(client, image):
    after = client.call("image.snapshot", {"repository": "fast", "image": "web1"})
    assert status(client, after["base"])["mutable"] is False


def test_both_changes_are_told(client, image):
    client.call("event.subscribe", {"topics": ["image.*"]})
    snapshot(client, "monday")
    events = [client.event()["params"] for _ in range(2)]
    assert [(event["topic"], event["subject"]) for event in events] == [
        ("image.changed", "fast/monday"), ("image.changed", "fast/web1")]
    assert [event["data"]["state"] for event in events] == ["optimized", "optimized"]


@pytest.mark.parametrize("options", [[], ["-r"]], ids=["written", "read"])
def test_what_a_guest_has_open_is_in_use(agent, client, image, options):
    before = record_of(agent.folder / "fast", "web1")
    with opened_by_a_guest(agent.folder / "fast", "web1", *options):
        assert client.error("image.snapshot", {"repository": "fast", "image": "web1", "snapshot": "s"}).name == "ImageInUse"
    assert record_of(agent.folder / "fast", "web1") == before
    assert reader.images(agent.folder / "fast") == ["web1"] and reader.leftovers(agent.folder / "fast") == []
    snapshot(client, "s")


def test_what_may_have_no_snapshot_is_refused_and_left_as_it_is(agent, client, image):
    refused = lambda **params: client.error("image.snapshot", {"repository": "fast", "image": "web1", **params})  # noqa: E731
    assert refused(image="nobody").name == "ImageNotFound"
    assert refused(repository="none").name == "RepositoryNotFound"
    assert refused(snapshot="web1").data["param"] == "snapshot"
    assert refused(snapshot="s", ifGeneration=7).name == "Conflict"
    client.call("image.create", {"repository": "fast", "image": "taken", "size": MIB})
    assert refused(snapshot="taken").name == "ImageExists"
    os.truncate(data_path(agent.folder / "fast", "taken"), 0)
    assert refused(image="taken", snapshot="s").name == "ImageBroken"
    client.call("image.update", {"repository": "fast", "image": "web1", "immutable": True})
    assert refused(snapshot="s").name == "ImageImmutable"
    assert status(client, "web1")["generation"] == 2 and shows(agent.folder / "fast", "web1", image)
    assert reader.images(agent.folder / "fast") == ["taken", "web1"] and reader.leftovers(agent.folder / "fast") == []


def unfinished(agent, name="s"):
    """As a kill before the image has gone over to its layer leaves it."""
    fast, folder = agent.folder / "fast", agent.folder / "fast" / "images" / name
    record = record_of(fast, "web1")
    folder.mkdir()
    (folder / "lock").touch()
    os.link(data_path(fast, "web1"), folder / "data")
    (folder / "image.json").write_text(
        '{"version":2,"format":"%s","size":%d,"mutable":false,"complete":true,"base":null,"generation":1,'
        '"created":"2026-11-20T21:15:03.120Z","userData":{},"checksum":null,"checksumTaken":null,"checksumOf":null,'
        '"damage":null,"data":"data","snapshotOf":"web1","merging":null,"mergedInto":null}'
        % (record["format"], record["size"]))


def test_an_unfinished_one_is_broken_and_finished_by_the_same_call(agent, client, image, tmp_path):
    fast = agent.folder / "fast"
    unfinished(agent)
    assert status(client, "s")["state"] == reader.state(fast, "s")["state"] == "broken"
    assert "not finished" in status(client, "s")["reason"] and status(client, "web1")["state"] == "optimized"
    assert client.error("image.copy", {"repository": "fast", "image": "s", "targetRepository": "slow"}).name == "ImageBroken"
    assert client.error("image.snapshot", {"repository": "fast", "image": "web1", "snapshot": "web1"}).name
    guest_writes(fast, "web1", 5, 0)  # the image goes on meanwhile
    now = photograph(fast, "web1", tmp_path / "now.raw")
    snapshot(client, "s")
    guest_writes(fast, "web1", 6, 0)
    assert status(client, "s")["state"] == "optimized" and shows(fast, "s", now)
    assert client.error("image.snapshot", {"repository": "fast", "image": "web1", "snapshot": "s"}).name == "ImageExists"


def test_an_unfinished_one_is_found_and_removed_and_the_image_is_untouched(agent, client, image):
    fast = agent.folder / "fast"
    unfinished(agent)
    [problem] = client.call("repository.check", {"repository": "fast"})["problems"]
    assert (problem["image"], problem["kind"]) == ("s", "mend"), problem
    assert client.run("repository.fix", {"repository": "fast", "fix": problem["fix"]})["status"] == "done"
    assert reader.images(fast) == ["web1"] and shows(fast, "web1", image)
    assert status(client, "web1")["state"] == "optimized"


def test_an_unfinished_one_is_whole_when_its_image_is_removed(agent, client, image):
    unfinished(agent)
    client.call("image.remove", {"repository": "fast", "image": "web1"})
    assert status(client, "s")["state"] == "optimized" and shows(agent.folder / "fast", "s", image)


def test_a_size_that_is_no_whole_sector_becomes_one(agent, client, tmp_path):
    raw = import_image(client, "fast", "odd", tmp_path, "raw", size=MIB + 1000)
    checksum(client, "fast", "odd")
    after = snapshot(client, "s", "odd")
    assert after["size"] == MIB + 1024 and after["checksum"] is None
    assert status(client, "s")["size"] == MIB + 1000 and status(client, "s")["checksum"]
    subprocess.run(["truncate", "-s", str(MIB + 1024), str(raw)], check=True)
    assert shows(agent.folder / "fast", "odd", raw)


def test_a_second_agent_finds_the_image_locked(agent, client, image, make_agent):
    other = make_agent("other", config=f"[repository fast]\nkind = dir\npath = {agent.folder / 'fast'}\n")
    ids = [client.request("image.snapshot", {"repository": "fast", "image": "web1", "snapshot": f"a{i}"}) for i in range(8)]
    with other.connect() as second:
        replies = [second.wait(second.request("image.snapshot", {"repository": "fast", "image": "web1",
                                                                 "snapshot": f"b{i}"})) for i in range(8)]
    replies += [client.wait(id) for id in ids]
    done = sum("result" in reply for reply in replies)
    names = {reply["error"]["data"]["name"] for reply in replies if "error" in reply}
    assert done >= 1 and names <= {"ImageInUse"}, names
    assert status(client, "web1")["generation"] == 1 + done and len(layers(client, "fast", "web1")) == 1 + done
    assert shows(agent.folder / "fast", "web1", image)
