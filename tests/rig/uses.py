# SPDX-License-Identifier: Apache-2.0
"""Records that a virtual machine needs an image, as doc/formats.md has them, and machines that libvirt's test driver has."""
import json

ELSEWHERE = "22222222-2222-4222-8222-222222222222"
WEB = "aaaaaaaa-0000-4000-8000-000000000001"
DB = "aaaaaaaa-0000-4000-8000-000000000002"

NODE = """<node><domain type='test'><name>web</name><uuid>{vm}</uuid><memory>131072</memory><vcpu>1</vcpu>
<os><type arch='i686'>hvm</type></os><devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
<source file='{path}'/><backingStore type='file'><format type='raw'/><source file='{base}'/><backingStore/></backingStore>
<target dev='vda' bus='virtio'/></disk></devices></domain>
<cpu><mhz>1000</mhz><model>i686</model><active>1</active></cpu><memory>8192000</memory></node>"""


def note_use(repository, image, vm, name, host=ELSEWHERE, writable=True):
    """As doc/formats.md has it, by whoever defines a machine."""
    folder = repository / "images" / image / "uses"
    folder.mkdir(exist_ok=True)
    path = folder / f"{vm}-{host}.json"
    path.write_text(json.dumps({"version": 1, "vm": vm, "name": name, "host": host,
                                "since": "2026-11-20T21:15:03.120Z", "writable": writable, "shareable": False}))
    return path


def wait_for_users(client, image, *names):
    """Until these, and no others, have it."""
    answer = client.call("event.subscribe", {"topics": ["image.changed"], "snapshot": True})
    client.event(lambda event: event["params"].get("topic") == "image.changed"
                 and event["params"]["data"]["image"] == image
                 and sorted(use["name"] for use in event["params"]["data"]["uses"]) == sorted(names))
    client.call("event.unsubscribe", {"subscription": answer["subscription"]})
