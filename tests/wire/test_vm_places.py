# SPDX-License-Identifier: Apache-2.0
"""Which image a VM's disk is: told by its path, whoever has defined the VM, and whenever its repository is connected."""
import uuid

from rig.backend import wait_for_backend

NODE = """<node><domain type='test'><name>vm</name><uuid>{uuid}</uuid><memory>131072</memory><vcpu>1</vcpu>
<os><type arch='i686'>hvm</type></os><devices><disk type='file' device='disk'><source file='{path}'/>
<target dev='vda' bus='virtio'/></disk></devices></domain>
<cpu><mhz>1000</mhz><model>i686</model><active>1</active></cpu><memory>8192000</memory></node>"""


def place(client):
    (disk,) = client.call("vm.status", {"vm": "vm"})["disks"]
    return disk["repository"], disk["image"]


def place_told(event):
    if event["params"].get("topic") != "vm.changed":
        return None
    (disk,) = event["params"]["data"]["disks"]
    return disk["repository"], disk["image"]


def test_a_disk_in_a_repository_has_its_images_name(make_agent, tmp_path):
    node, later = tmp_path / "node.xml", tmp_path / "later"
    node.write_text(NODE.format(uuid=uuid.uuid4(), path=later / "images/web1/data"))
    agent = make_agent(repositories=["fast"], arguments=["--libvirt", f"test://{node}"])
    with agent.connect() as client:
        wait_for_backend(client, "libvirt")
        assert place(client) == (None, None)
        client.call("event.subscribe", {"topics": ["vm.changed"]})
        client.call("repository.connect", {"repository": "later", "kind": "dir", "path": str(later), "create": True})
        client.event(lambda event: place_told(event) == ("later", "web1"))
        assert place(client) == ("later", "web1")
        error = client.error("repository.disconnect", {"repository": "later"})
        assert error.name == "WrongState" and error.data["needs"] == "no running VM" and "'vm'" in error.message
        client.call("vm.destroy", {"vm": "vm"})
        client.call("repository.disconnect", {"repository": "later"})
        client.event(lambda event: place_told(event) == (None, None))
        assert place(client) == (None, None)
