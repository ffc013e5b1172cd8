# SPDX-License-Identifier: Apache-2.0
"""image.checksum and image.verify: equal whatever the format, and honest about damage."""
import hashlib
import os

import pytest

from rig.images import data_path, qcow2, random_raw, written_to

MIB = 1 << 20


def expected_checksum(path):
    """sha256-tree-1m, written from its description in storage/checksum.h."""
    root, size = hashlib.sha256(), os.path.getsize(path)
    with open(path, "rb") as file:
        while leaf := file.read(MIB):
            root.update(hashlib.sha256(leaf).digest())
    root.update(size.to_bytes(8, "big"))
    return root.hexdigest()


@pytest.fixture
def raw(agent, client, tmp_path):
    """'web1' in 'fast' as raw and 'web2' as qcow2, of the same contents; gives the raw file."""
    raw = random_raw(tmp_path / "web1.raw", 5 * MIB + 4096)
    packed = qcow2(tmp_path / "web1.qcow2", raw)
    for image, path, form in (("web1", raw, "raw"), ("web2", packed, "qcow2")):
        ended = client.run("image.import", {"repository": "fast", "image": image, "path": str(path), "sourceFormat": form})
        assert ended["status"] == "done", ended
    return raw


def test_the_checksum_is_the_same_for_raw_qcow2_and_an_independent_reckoning(client, raw):
    values = {}
    for image in ("web1", "web2"):
        ended = client.run("image.checksum", {"repository": "fast", "image": image})
        assert ended["status"] == "done" and ended["result"]["checksum"]["algorithm"] == "sha256-tree-1m"
        values[image] = ended["result"]["checksum"]["value"]
        status = client.call("image.status", {"repository": "fast", "image": image})
        assert status["checksum"]["value"] == values[image] and status["generation"] == 2
    assert values["web1"] == values["web2"] == expected_checksum(raw)


def test_it_answers_early_with_the_image(client, raw):
    assert client.call("image.checksum", {"repository": "fast", "image": "web1"}, id="c") == {
        "repository": "fast", "image": "web1"}
    assert client.call("task.wait", {"task": "c"})["result"]["checksum"]["value"]


@pytest.mark.parametrize("image", ["web1", "web2"])
def test_a_sound_image_is_verified(client, raw, image):
    ended = client.run("image.verify", {"repository": "fast", "image": image})
    assert ended["status"] == "done", ended
    client.run("image.checksum", {"repository": "fast", "image": image})
    ended = client.run("image.verify", {"repository": "fast", "image": image})
    assert ended["status"] == "done" and "equal" in str(ended["steps"])


def rot(path, place=3 * MIB + 17):
    """Flips a bit as a disk would: no clock tells of it."""
    times = os.stat(path)
    with open(path, "r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def verdict(client, image, repository="fast"):
    """The name of the error that a verification ends with, or None."""
    ended = client.run("image.verify", {"repository": repository, "image": image})
    return ended["error"]["data"]["name"] if ended["status"] == "failed" else None


def test_bit_rot_is_found_and_the_image_is_broken_until_it_is_sound_again(agent, client, raw):
    client.run("image.checksum", {"repository": "fast", "image": "web1"})
    path = data_path(agent.folder / "fast", "web1")
    rot(path)
    client.call("event.subscribe", {"topics": ["image.changed"], "subject": "fast/web1"})
    assert verdict(client, "web1") == "VerifyFailed"
    assert client.event()["params"]["data"]["state"] == "broken"
    status = client.call("image.status", {"repository": "fast", "image": "web1"})
    assert status["state"] == "broken" and "checksum" in status["reason"] and status["generation"] == 3
    assert client.error("image.copy", {"repository": "fast", "image": "web1", "targetRepository": "slow"}).name == "ImageBroken"
    assert client.error("image.checksum", {"repository": "fast", "image": "web1"}).name == "ImageBroken"
    rot(path)
    assert verdict(client, "web1") is None
    assert client.call("image.status", {"repository": "fast", "image": "web1"})["state"] == "optimized"


def test_bit_rot_of_a_copy_is_found_by_the_checksum_that_it_took_along(agent, client, raw):
    client.run("image.checksum", {"repository": "fast", "image": "web1"})
    client.run("image.copy", {"repository": "fast", "image": "web1", "targetRepository": "slow"})
    rot(data_path(agent.folder / "slow", "web1"))
    assert verdict(client, "web1", "slow") == "VerifyFailed" and verdict(client, "web1") is None


def test_a_mutable_image_that_was_written_to_is_not_called_damaged(agent, client, raw):
    client.run("image.checksum", {"repository": "fast", "image": "web1"})
    with open(data_path(agent.folder / "fast", "web1"), "r+b") as file:
        file.write(b"a guest ran")
    assert verdict(client, "web1") == "Conflict"
    assert client.call("image.status", {"repository": "fast", "image": "web1"})["state"] == "optimized"
    client.run("image.checksum", {"repository": "fast", "image": "web1"})
    assert verdict(client, "web1") is None


def test_a_checksum_of_contents_that_are_gone_is_neither_shown_nor_kept(agent, client, raw):
    client.run("image.checksum", {"repository": "fast", "image": "web1"})
    taken = client.call("image.status", {"repository": "fast", "image": "web1"})["checksum"]
    with open(data_path(agent.folder / "fast", "web1"), "r+b") as file:
        file.write(b"a guest ran")
    assert taken and client.call("image.status", {"repository": "fast", "image": "web1"})["checksum"] is None
    client.run("image.copy", {"repository": "fast", "image": "web1", "targetRepository": "slow"})
    assert client.call("image.status", {"repository": "slow", "image": "web1"})["checksum"] is None
    assert verdict(client, "web1", "slow") is None
    client.call("image.update", {"repository": "fast", "image": "web1", "immutable": True})
    assert verdict(client, "web1") is None


def test_an_immutable_image_that_was_written_to_is_damaged(agent, client, raw):
    client.run("image.checksum", {"repository": "fast", "image": "web1"})
    client.call("image.update", {"repository": "fast", "image": "web1", "immutable": True})
    with open(data_path(agent.folder / "fast", "web1"), "r+b") as file:
        file.write(b"nobody should")
    assert verdict(client, "web1") == "VerifyFailed"


def test_an_image_that_a_guest_writes_to_is_in_use_and_not_damaged(agent, client, raw):
    with written_to(data_path(agent.folder / "fast", "web2")):
        assert verdict(client, "web2") == "ImageInUse"
        ended = client.run("image.checksum", {"repository": "fast", "image": "web2"})
        assert ended["error"]["data"]["name"] == "ImageInUse", ended
    assert client.call("image.status", {"repository": "fast", "image": "web2"})["state"] == "optimized"
    assert verdict(client, "web2") is None


def test_many_checksums_at_once_all_come_to_an_end(client, raw):
    ids = [client.request("image.checksum", {"repository": "fast", "image": "web1"}, id=f"c{i}") for i in range(5)]
    for id in ids:
        client.wait(id)
    ended = [client.call("task.wait", {"task": id}) for id in ids]
    names = {e["error"]["data"]["name"] if e["error"] else None for e in ended}
    assert None in names and names <= {None, "Conflict", "ImageInUse"}, ended
    recorded = client.call("image.status", {"repository": "fast", "image": "web1"})
    assert recorded["generation"] == 1 + sum(e["status"] == "done" for e in ended)


def test_data_that_was_cut_is_damage(agent, client, raw):
    os.truncate(data_path(agent.folder / "fast", "web1"), 2 * MIB)
    assert verdict(client, "web1") == "VerifyFailed"
    assert client.error("image.verify", {"repository": "fast", "image": "nobody"}).name == "ImageNotFound"


def test_a_damaged_qcow2_is_found_by_its_structure(agent, client, raw):
    path = data_path(agent.folder / "fast", "web2")
    with open(path, "r+b") as file:
        file.seek(40)  # the offset of the L1 table
        file.write((7).to_bytes(8, "big"))
    ended = client.run("image.verify", {"repository": "fast", "image": "web2"})
    assert ended["status"] == "failed" and ended["error"]["data"]["name"] == "VerifyFailed", ended
    assert client.call("image.status", {"repository": "fast", "image": "web2"})["state"] == "broken"


def test_a_change_of_the_image_keeps_its_checksum_and_a_copy_takes_it_along(client, raw):
    value = client.run("image.checksum", {"repository": "fast", "image": "web1"})["result"]["checksum"]["value"]
    client.call("image.update", {"repository": "fast", "image": "web1", "userData": {"a": 1}})
    assert client.run("image.copy", {"repository": "fast", "image": "web1", "targetRepository": "slow",
                                     "verify": True})["status"] == "done"
    assert client.call("image.status", {"repository": "slow", "image": "web1"})["checksum"]["value"] == value
    assert client.run("image.verify", {"repository": "slow", "image": "web1"})["status"] == "done"
