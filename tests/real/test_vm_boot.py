# SPDX-License-Identifier: Apache-2.0
"""A typed description on real QEMU: it boots, finds its disks, and is saved and restored as it was."""
import re
import xml.etree.ElementTree as ElementTree

import pytest

from rig.backend import wait_for_backend
from rig.gluster import wait_for
from rig.tiny import TinyGuest, check_beats


def image(name, **more):
    return {"repository": "fast", "image": name, **more}


@pytest.fixture(scope="module")
def agent(virt_host, tmp_path_factory):
    """One that has described and started the VM 'life'."""
    agent = virt_host.agent(tmp_path_factory.mktemp("life"), repositories=["fast"])
    with agent.connect() as connection:
        wait_for_backend(connection, "libvirt")
        start_vm(connection)
        virt_host.wait_beats("life", 2)
        virt_host.wait_guest("life")
    yield agent
    agent.close()
    virt_host.remove_guest("life")


def start_vm(client):
    guest = TinyGuest()
    client.call("image.create", image("base", size=32 << 20))
    client.call("image.update", image("base", immutable=True))
    client.call("image.create", image("top", size=32 << 20, format="qcow2", base="base"))
    for name in ("scsi", "medium"):
        client.call("image.create", image(name, size=1 << 20))
    status = client.call("vm.define", {
        "name": "life", "memory": 160 << 20, "cpus": 2, "virtualization": "qemu", "maxCpus": 4, "maxMemory": 192 << 20,
        "disks": [image("top", tuning={"iops": 100000, "bytesPerSecond": 1 << 30}),
                  image("scsi", bus="scsi", readonly=True, serial="S1"),
                  image("medium", device="cdrom", bus="scsi"), {"device": "cdrom"}],
        "networks": [{"kind": "bridge", "source": "br0"}, {"source": "bridged"}, {"kind": "user"}],
        "boot": {"kernel": str(guest.kernel), "initrd": str(guest.initrd),
                 "commandLine": guest.command_line(beat="/dev/vda")},
        "serial": {"kind": "file", "path": "/var/log/libvirt/console-life"}, "tuning": {"ioThreads": 1}})
    assert status["virtualization"] == "qemu" and status["machine"].startswith("pc-q35")
    assert client.call("vm.start", {"vm": "life"})["state"] == "running"


@pytest.fixture
def client(agent):
    with agent.connect() as connection:
        wait_for_backend(connection, "libvirt")
        yield connection


def restart(agent):
    agent.kill()
    agent.start()


def test_a_described_vm_finds_what_it_was_given(virt_host, client):
    shown = virt_host.run_in_guest("life", "cd /sys/block; for each in *; do echo $each $(cat $each/size $each/ro); done\n"
                                   "nproc; cat /sys/class/net/*/address")
    for line in ("vda 65536 0\n", "sda 2048 1\n", "sr0 2048 1\n", "\n2\n"):
        assert line in shown, shown
    status = client.call("vm.status", {"vm": "life"})
    for card in status["networks"]:
        assert card["mac"] in shown
    assert [disk["image"] for disk in status["disks"]] == ["top", "scsi", "medium", None]
    assert status["maxCpus"] == 4
    wait_for(lambda: client.call("vm.status", {"vm": "life"})["guestAgent"] == "connected", "the guest's agent to be told")


def test_slots_are_free_for_what_is_plugged_in_later(client):
    domain = ElementTree.fromstring(client.call("vm.xml", {"vm": "life"})["xml"])
    ports = {int(each.get("index")) for each in domain.findall("devices/controller[@model='pcie-root-port']")}
    taken = {int(each.get("bus"), 16) for each in domain.findall(".//address[@type='pci']")}
    assert len(ports - taken) == 8, (ports, taken)


def test_an_agent_that_starts_finds_whose_its_images_are(virt_host, agent):
    restart(agent)
    with agent.connect() as client:
        wait_for_backend(client, "libvirt")
        assert client.call("vm.status", {"vm": "life"})["state"] == "running"
        for verb, params in (("image.remove", image("base")), ("image.remove", image("top")),
                             ("image.resize", image("scsi", size=1 << 30)), ("image.merge", image("top"))):
            assert client.error(verb, params).name in ("ImageInUse", "ImageHasDependents"), verb
        error = client.error("vm.define", {"name": "other", "memory": 1 << 26, "cpus": 1, "disks": [image("top")]})
        assert error.name == "ImageInUse", error


def saved(client, task):
    told = client.call("task.wait", {"task": task})
    assert told["status"] == "done" and told["result"]["saved"] and told["result"]["state"] == "shutoff", told


def test_a_vm_goes_on_where_it_was_saved(virt_host, client):
    client.call("vm.save", {"vm": "life"}, id="save")
    saved(client, "save")
    assert virt_host.qemu_pids() == {}
    before = virt_host.beats("life")
    client.call("vm.restore", {"vm": "life"}, id="restore")
    told = client.call("task.wait", {"task": "restore"})
    assert told["status"] == "done" and told["result"]["state"] == "running" and not told["result"]["saved"], told
    assert virt_host.wait_beats("life", 2) > before


def where_it_stands(client):
    status = client.call("vm.status", {"vm": "life"})
    return status["state"], status["saved"]


def test_saving_that_is_aborted_in_time_lets_the_vm_run_on(virt_host, client):
    for attempt in range(20):  # a small VM is saved in a moment: it may be too late
        virt_host.pause_qemu("life")
        client.call("vm.save", {"vm": "life"}, id=f"aborted{attempt}")
        client.call("task.abort", {"task": f"aborted{attempt}"})
        virt_host.pause_qemu("life", False)
        told = client.call("task.wait", {"task": f"aborted{attempt}"})
        in_time = any(step.get("message") == "it goes on as it was" for step in told["steps"])
        assert told["status"] == "aborted"
        wait_for(lambda: where_it_stands(client) == (("running", False) if in_time else ("shutoff", True)),
                 "what was told")
        if in_time:
            break
        client.call("vm.start", {"vm": "life"})
    else:
        raise AssertionError("never in time")
    virt_host.wait_beats("life", 2)


def save_and_kill(virt_host, agent):
    """Whether libvirt had been asked by then: else the guest goes on."""
    with agent.connect() as client:
        wait_for_backend(client, "libvirt")
        client.call("vm.save", {"vm": "life"})
    restart(agent)
    goal = virt_host.beats("life") + 3
    wait_for(lambda: virt_host.domain_state("life") == "shut off" or virt_host.beats("life") >= goal,
             "the guest's end, or its going on")
    return virt_host.domain_state("life") == "shut off"


def test_an_agent_that_is_killed_leaves_the_saving_to_libvirt(virt_host, agent):
    assert any(save_and_kill(virt_host, agent) for _ in range(20)), "killed too soon each time"
    with agent.connect() as client:
        wait_for_backend(client, "libvirt")
        client.call("event.subscribe", {"topics": ["vm.changed"], "snapshot": True})
        client.event(lambda event: event["params"].get("topic") == "vm.changed"
                     and event["params"]["data"]["state"] == "shutoff" and event["params"]["data"]["saved"])
        before = virt_host.beats("life")
        assert client.call("vm.start", {"vm": "life"})["state"] == "running"
        assert virt_host.wait_beats("life", 2) > before
        assert len(re.findall("guest ready", virt_host.console("life"))) == 1


def test_images_are_free_when_the_vm_is_undefined(virt_host, agent, client):
    assert client.call("vm.destroy", {"vm": "life"})["state"] == "shutoff"
    client.call("vm.undefine", {"vm": "life"})
    assert check_beats(flatten(virt_host, agent)) > 0
    for name in ("top", "base", "scsi"):
        client.call("image.remove", image(name))


def flatten(virt_host, agent):
    """What 'top' shows, as a raw file."""
    target = agent.folder / "flat"
    virt_host.inside("qemu-img", "convert", "-O", "raw", str(agent.folder / "fast/images/top/data"), str(target), check=True)
    return target
