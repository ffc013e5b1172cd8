# SPDX-License-Identifier: Apache-2.0
"""Disks of virtual machines in a Gluster volume, where QEMU takes no locks: there the record is all that keeps them."""
from rig.gluster import ADDRESS
from rig.images import random_raw
from rig.uses import WEB, wait_for_users

MIB = 1 << 20
NODE = """<node><domain type='test'><name>web</name><uuid>{vm}</uuid><memory>131072</memory><vcpu>1</vcpu>
<os><type arch='i686'>hvm</type></os><devices><disk type='network' device='disk'><driver name='qemu' type='raw'/>
<source protocol='gluster' name='{name}'><host name='{host}'/></source><target dev='vda' bus='virtio'/></disk></devices>
</domain><cpu><mhz>1000</mhz><model>i686</model><active>1</active></cpu><memory>8192000</memory></node>"""


def test_what_a_machine_may_write_to_is_neither_changed_nor_read_by_others(make_agent, gluster, place, tmp_path):
    node, far = tmp_path / "node.xml", {"repository": "far", "image": "web1"}
    node.write_text(NODE.format(vm=WEB, host=ADDRESS, name=f"{place['volume']}{place['path']}/images/web1/data"))
    raw = random_raw(tmp_path / "web1.raw", 4 * MIB)
    two = make_agent("two", name="two", repositories=["near"], network=gluster.network,
                     arguments=["--libvirt", "none"])
    with two.connect() as client:
        client.call("repository.connect", {"repository": "far", "create": True, **place})
        assert client.run("image.import", {**far, "path": str(raw), "sourceFormat": "raw"})["status"] == "done"
    one = make_agent("one", name="one", repositories=["near"], network=gluster.network,
                     arguments=["--libvirt", f"test://{node}"])
    with one.connect() as client, two.connect() as other:
        client.call("repository.connect", {"repository": "far", **place})
        wait_for_users(client, "web1", "web")
        (use,) = other.call("image.status", far)["uses"]
        assert (use["vm"], use["host"], use["writable"]) == (WEB, client.call("host.info")["hostId"], True)
        export = {**far, "path": str(tmp_path / "out.raw")}
        for who, words in ((client, "on this host"), (other, "on host")):
            for method, params in (("image.remove", {}), ("image.resize", {"size": 8 * MIB}), ("image.optimize", {})):
                error = who.error(method, {**far, **params})
                assert error.name == "ImageInUse" and words in error.message, (method, error)
            ended = who.run("image.export", export)
            assert ended["error"]["data"]["name"] == "ImageInUse", ended
            ended = who.run("image.verify", far)
            assert ended["error"]["data"]["name"] == "ImageInUse", ended
        client.call("vm.destroy", {"vm": "web"})
        assert client.error("image.remove", far).name == "ImageInUse"
        assert client.run("image.export", export)["status"] == "done"
        assert (tmp_path / "out.raw").read_bytes() == raw.read_bytes()
        assert client.call("image.status", far)["state"] == "optimized"
        assert client.call("repository.check", {"repository": "far"})["problems"] == []
        assert other.call("image.release", {**far, "vm": "web"})["uses"] == []
        other.call("image.remove", far)
