# SPDX-License-Identifier: Apache-2.0
"""image.resize: what is there stays, what is new reads as zeros, what is cut is said to be."""
import json
import os
import pathlib

import pytest

from rig import reader
from rig.chains import (MIB, begins_with, checksum, guest_writes, import_image, opened_by_a_guest, photograph, record_of,
                        shows, virtual_size)
from rig.images import data_path, same

SIZE = 3 * MIB


@pytest.fixture(params=["raw", "qcow2"])
def image(request, agent, client, tmp_path):
    """'web1' in 'fast', of random contents; gives them as a raw file."""
    return import_image(client, "fast", "web1", tmp_path, request.param, SIZE)


def status(client, image="web1"):
    return client.call("image.status", {"repository": "fast", "image": image})


def resize(client, size, image="web1", **more):
    return client.call("image.resize", {"repository": "fast", "image": image, "size": size, **more})


def test_what_is_new_reads_as_zeros(agent, client, image, tmp_path):
    checksum(client, "fast", "web1")
    after = resize(client, 7 * MIB)
    assert (after["size"], after["state"], after["generation"], after["checksum"]) == (7 * MIB, "optimized", 3, None)
    os.truncate(image, 7 * MIB)
    assert shows(agent.folder / "fast", "web1", image)
    guest_writes(agent.folder / "fast", "web1", 9, 7 * MIB - 65536)
    assert client.run("image.copy", {"repository": "fast", "image": "web1", "targetRepository": "slow",
                                     "verify": True})["status"] == "done"
    assert record_of(agent.folder / "fast", "web1")["version"] == 1


def test_to_become_smaller_needs_force(agent, client, image):
    error = client.error("image.resize", {"repository": "fast", "image": "web1", "size": MIB})
    assert error.name == "InvalidParams" and error.data["param"] == "size" and "force" in error.data["reason"]
    assert status(client)["generation"] == 1 and shows(agent.folder / "fast", "web1", image)
    after = resize(client, MIB, force=True)
    assert (after["size"], after["state"], after["generation"]) == (MIB, "optimized", 2)
    os.truncate(image, MIB)
    assert shows(agent.folder / "fast", "web1", image)


def test_what_was_cut_does_not_come_back(agent, client, image):
    guest_writes(agent.folder / "fast", "web1", 9, 2 * MIB, MIB)
    resize(client, 2 * MIB, force=True)
    resize(client, SIZE)
    os.truncate(image, 2 * MIB)
    os.truncate(image, SIZE)
    assert shows(agent.folder / "fast", "web1", image)


def test_its_own_size_is_done_and_keeps_the_checksum(client, image):
    value = checksum(client, "fast", "web1")
    after = resize(client, SIZE)
    assert after["generation"] == 3
    if after["format"] == "raw":
        assert checksum(client, "fast", "web1") == value


def test_an_overlay_may_grow_over_its_base_and_not_shrink_below(agent, client, image, tmp_path):
    client.call("image.update", {"repository": "fast", "image": "web1", "immutable": True})
    client.call("image.create", {"repository": "fast", "image": "over", "size": 5 * MIB, "base": "web1"})
    error = client.error("image.resize", {"repository": "fast", "image": "over", "size": MIB, "force": True})
    assert error.name == "InvalidParams" and "web1" in error.data["reason"]
    guest_writes(agent.folder / "fast", "over", 9, 4 * MIB)
    resize(client, 4 * MIB, "over", force=True)
    resize(client, 6 * MIB, "over")
    os.truncate(image, 6 * MIB)
    assert shows(agent.folder / "fast", "over", image)


def test_a_qcow2_is_of_whole_sectors_and_a_raw_image_of_any_size(client, image):
    form = status(client)["format"]
    assert resize(client, SIZE + 1000)["size"] == SIZE + (1024 if form == "qcow2" else 1000)


@pytest.mark.parametrize("options", [[], ["-r"]], ids=["written", "read"])
def test_what_a_guest_has_open_is_in_use(agent, client, image, options):
    with opened_by_a_guest(agent.folder / "fast", "web1", *options):
        assert client.error("image.resize", {"repository": "fast", "image": "web1", "size": 4 * MIB}).name == "ImageInUse"
    assert status(client)["generation"] == 1 and shows(agent.folder / "fast", "web1", image)
    resize(client, 4 * MIB)


def test_what_may_not_be_resized_is_refused_and_left_as_it_is(agent, client, image, tmp_path):
    refused = lambda **params: client.error(  # noqa: E731
        "image.resize", {"repository": "fast", "image": "web1", "size": 4 * MIB, **params})
    assert refused(image="nobody").name == "ImageNotFound"
    assert refused(ifGeneration=7).name == "Conflict"
    assert refused(size=0).data["param"] == "size"
    client.call("image.update", {"repository": "fast", "image": "web1", "immutable": True})
    assert refused().name == "ImageImmutable"
    client.call("image.create", {"repository": "fast", "image": "over", "size": SIZE, "base": "web1"})
    path = agent.folder / "fast" / "images" / "web1" / "image.json"
    path.write_text(json.dumps(dict(record_of(agent.folder / "fast", "web1"), mutable=True)))
    error = refused()
    assert error.name == "ImageHasDependents" and error.data["dependents"] == ["over"]
    assert shows(agent.folder / "fast", "web1", image)


def test_more_than_a_file_can_hold_is_refused_and_nothing_is_changed(agent, client, image):
    error = client.error("image.resize", {"repository": "fast", "image": "web1", "size": 2**62})
    assert error.name in ("InvalidParams", "BackendFailed"), error
    after = status(client)
    assert (after["size"], after["generation"], after["state"]) == (SIZE, 1, "optimized")
    assert shows(agent.folder / "fast", "web1", image) and record_of(agent.folder / "fast", "web1")["version"] == 1


def interrupted(agent, size):
    """As a kill between the change of the data and its record leaves it."""
    fast = agent.folder / "fast"
    record = dict(record_of(fast, "web1"), version=2, data="data", snapshotOf=None, merging=None, mergedInto=None,
                  resizing=True)
    if record["format"] == "raw":
        os.truncate(data_path(fast, "web1"), size)
    else:
        os.system(f"qemu-img resize -q -f qcow2 {data_path(fast, 'web1')} {size}")
    pathlib.Path(data_path(fast, "web1")).with_name("image.json").write_text(json.dumps(record))


def test_an_interrupted_one_is_degraded_and_shows_what_it_did(agent, client, image, tmp_path):
    fast = agent.folder / "fast"
    value = checksum(client, "fast", "web1")
    interrupted(agent, 5 * MIB)
    guest_writes(fast, "web1", 9, 4 * MIB)  # behind the image's end
    now = status(client)
    assert now["state"] == reader.state(fast, "web1")["state"] == "degraded" and "resize" in now["reason"]
    assert now["size"] == SIZE and begins_with(fast, "web1", image, SIZE, tmp_path)
    assert checksum(client, "fast", "web1") == value
    assert client.run("image.copy", {"repository": "fast", "image": "web1", "targetRepository": "slow", "format": "raw",
                                     "verify": True})["status"] == "done"
    assert same(data_path(agent.folder / "slow", "web1"), image)
    for method, more in (("image.snapshot", {}), ("image.update", {"immutable": True}),
                         ("image.serve", {}), ("image.optimize", {})):
        assert client.error(method, {"repository": "fast", "image": "web1", **more}).name == "WrongState", method
    resize(client, 6 * MIB)
    os.truncate(image, 6 * MIB)
    assert shows(fast, "web1", image) and virtual_size(fast, "web1") == 6 * MIB
    assert status(client)["state"] == "optimized"


def test_the_data_of_an_unfinished_snapshot_are_not_changed(agent, client, image, tmp_path):
    fast = agent.folder / "fast"
    os.link(data_path(fast, "web1"), tmp_path / "second")
    assert client.error("image.resize", {"repository": "fast", "image": "web1", "size": 4 * MIB}).name == "WrongState"
    os.unlink(tmp_path / "second")
    photograph(fast, "web1", tmp_path / "now.raw")
    resize(client, 4 * MIB)
