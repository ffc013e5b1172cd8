# SPDX-License-Identifier: Apache-2.0
"""Under systemd's RestrictSUIDSGID=, as in our own unit, and in some containers, there is no openat2()."""
import os

import pytest

from rig.images import data_path, random_raw, same


@pytest.fixture
def confined(make_agent):
    agent = make_agent(repositories=["slow", "fast"],
                       wrapper=["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=openat2",
                                "-e", "inject=openat2:error=ENOSYS"])
    with agent.connect() as client:
        yield agent, client


def test_images_are_worked_on_without_openat2(confined, tmp_path):
    agent, client = confined
    raw = random_raw(tmp_path / "a.raw", 1 << 20)
    client.run("image.import", {"repository": "slow", "image": "a", "path": str(raw), "sourceFormat": "raw"})
    client.run("image.copy", {"repository": "slow", "image": "a", "targetRepository": "fast", "format": "qcow2"})
    assert same(data_path(agent.folder / "fast", "a"), raw, "qcow2")
    assert [image["state"] for image in client.call("image.list", {"repository": "fast"})["images"]] == ["optimized"]
    client.call("image.remove", {"repository": "fast", "image": "a"})
    assert not os.path.exists(agent.folder / "fast" / "images" / "a")


def test_links_and_files_are_not_taken_for_images_without_openat2(confined, tmp_path):
    agent, client = confined
    client.call("image.create", {"repository": "slow", "image": "real", "size": 1})
    images = agent.folder / "slow" / "images"
    (images / "link").symlink_to("real")
    (images / "out").symlink_to(tmp_path)
    (images / "file").write_text("x")
    for name in ("link", "out", "file"):
        status = client.call("image.status", {"repository": "slow", "image": name})
        assert status["state"] == "broken" and "not followed" in status["reason"], status
    assert client.error("image.status", {"repository": "slow", "image": "none"}).name == "ImageNotFound"
