# SPDX-License-Identifier: Apache-2.0
"""Chains of images in a Gluster volume: snapshot, resize, merge and optimize, by libgfapi and QEMU's own driver.

One short chain, for each program of QEMU takes about ten seconds to let go of a volume."""
import json

import pytest

from rig import reader
from rig.gluster import ADDRESS
from rig.images import data_path, random_raw, same

SIZE = 4 << 20


@pytest.fixture
def chain(pair, gluster, place, tmp_path):
    return Chain(pair[0], gluster, place, tmp_path / "expected.raw")


class Chain:
    """'web1' in the repository 'far', and a raw file of what it is to show."""

    def __init__(self, agent, gluster, place, raw):
        self.agent, self.gluster, self.place, self.raw = agent, gluster, place, random_raw(raw, SIZE)

    def images(self):
        """As a brick has them: each of the replicas has all."""
        return self.gluster.brick(self.place["volume"], 0) / self.place["path"].strip("/") / "images"

    def guest_writes(self, byte, offset, size=65536):
        record = json.loads((self.images() / "web1" / "image.json").read_text())
        done = self.gluster.inside(
            "qemu-io", "-f", record["format"], "-c", f"write -P {byte} {offset} {size}",
            f"gluster://{ADDRESS}/{self.place['volume']}{self.place['path']}/images/web1/{reader.data_name(record)}")
        assert done.returncode == 0, done.stderr
        with open(self.raw, "r+b") as file:
            file.seek(offset)
            file.write(bytes([byte]) * size)

    def run(self, client, method, **more):
        ended = client.run(method, {"repository": "far", "image": "web1", **more})
        assert ended["status"] == "done", ended

    def check(self, client, copy):
        """What it shows, by way of a copy; and that all is as it should be."""
        self.run(client, "image.copy", targetRepository="near", targetImage=copy, format="raw", verify=True)
        assert same(data_path(self.agent.folder / "near", copy), self.raw), copy
        for image in client.call("image.list", {"repository": "far"})["images"]:
            assert image["state"] == "optimized", image
        assert client.call("repository.check", {"repository": "far"})["problems"] == []


def test_a_chain_in_a_volume_is_changed_as_one_in_a_directory(chain):
    with chain.agent.connect() as client:
        client.call("repository.connect", {"repository": "far", "create": True, **chain.place})
        assert client.run("image.import", {"repository": "far", "image": "web1", "path": str(chain.raw),
                                           "sourceFormat": "raw"})["status"] == "done"
        after = client.call("image.snapshot", {"repository": "far", "image": "web1", "snapshot": "first"})
        assert (after["base"], after["format"]) == ("first", "qcow2")
        with open(chain.raw, "r+b") as file:
            file.truncate(SIZE + (2 << 20))
        assert client.call("image.resize", {"repository": "far", "image": "web1",
                                             "size": SIZE + (2 << 20)})["size"] == SIZE + (2 << 20)
        chain.guest_writes(9, SIZE + (1 << 20))
        chain.run(client, "image.merge")
        status = client.call("image.status", {"repository": "far", "image": "web1"})
        assert (status["base"], status["format"]) == (None, "raw")
        chain.check(client, "merged")
        client.call("image.resize", {"repository": "far", "image": "web1", "size": SIZE, "force": True})
        with open(chain.raw, "r+b") as file:
            file.truncate(SIZE)
        client.call("image.snapshot", {"repository": "far", "image": "web1", "snapshot": "last"})
        chain.guest_writes(5, 3 << 20)
        chain.run(client, "image.optimize")
        chain.check(client, "optimized")
        assert client.call("image.status", {"repository": "far", "image": "web1"})["base"] is None
        assert sorted(path.name for path in (chain.images() / "web1").iterdir() if not path.name.startswith("data")) == [
            "image.json", "lock"]
        assert len(list((chain.images() / "web1").glob("data*"))) == 1


def test_an_image_of_an_odd_size_is_optimized(chain):
    with open(chain.raw, "r+b") as file:
        file.truncate(SIZE + 321)
    with chain.agent.connect() as client:
        client.call("repository.connect", {"repository": "far", "create": True, **chain.place})
        assert client.run("image.import", {"repository": "far", "image": "web1", "path": str(chain.raw),
                                           "sourceFormat": "raw"})["status"] == "done"
        chain.run(client, "image.optimize")
        assert client.call("image.status", {"repository": "far", "image": "web1"})["size"] == SIZE + 321
        chain.check(client, "odd")
