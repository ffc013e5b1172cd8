# SPDX-License-Identifier: Apache-2.0
"""Changes of a VM, as its guest sees them: real libvirtd and QEMU, emulated."""
import base64
import re
import struct
import xml.etree.ElementTree as ElementTree

import pytest

from rig.gluster import wait_for
from rig.virt import domain_xml

MIB = 1 << 20
PATIENT = {"timeout": 170}  # seconds that a guest has to let go of a device, however busy the machine
SCREEN = """<graphics type="vnc" autoport="yes" listen="127.0.0.1" passwd="nobody's" passwdValidTo="2010-01-01T00:00:00"/>
    <video><model type="vga"/></video>"""
DRIVE = """<controller type="scsi" model="virtio-scsi"/>
    <disk type="file" device="cdrom"><target dev="sda" bus="scsi"/><readonly/></disk>"""


@pytest.fixture(scope="module")
def guest(virt_host):
    """A running VM that can be changed in all ways: its name."""
    disk = virt_host.make_disk("web1")
    xml = domain_xml("web1", [disk], devices=SCREEN + DRIVE, memory_mib=256).replace("<vcpu>1<", '<vcpu current="1">3<')
    virt_host.start_domain(xml)
    virt_host.wait_console("web1", "guest ready")
    virt_host.wait_guest("web1")
    return "web1"


@pytest.fixture
def client(make_agent, virt_host):
    agent = make_agent(**virt_host.agent_options())
    with agent.connect() as connection:
        wait_for_libvirt(connection)
        connection.agent = agent
        yield connection


def wait_for_libvirt(client):
    client.call("event.subscribe", {"topics": ["host.backend"], "snapshot": True})
    backends = {each["backend"]: each for each in client.call("host.info")["backends"]}
    if backends["libvirt"]["state"] != "available":
        client.event(lambda event: event["params"].get("subject") == "libvirt"
                     and event["params"]["data"]["state"] == "available")


def described(virt_host, vm, *options):
    return ElementTree.fromstring(virt_host.virsh("dumpxml", vm, *options).stdout)


def test_memory_goes_to_the_guest_and_into_the_definition(client, virt_host, guest):
    def total():
        return int(re.search(r"MemTotal: *(\d+) kB", virt_host.run_in_guest(guest, "cat /proc/meminfo")).group(1)) * 1024
    before = total()
    answer = client.call("vm.setMemory", {"vm": guest, "memory": 192 * MIB})
    assert answer["live"] and answer["config"]
    wait_for(lambda: total() <= before - 60 * MIB, "the guest's balloon")
    wait_for(lambda: client.call("vm.status", {"vm": guest})["memory"] == 192 * MIB, "the balloon's event")
    config = described(virt_host, guest, "--inactive")
    assert config.findtext("currentMemory") == str(192 * 1024) and config.findtext("memory") == str(256 * 1024)
    error = client.error("vm.setMemory", {"vm": guest, "memory": 257 * MIB})
    assert error.name == "InvalidParams" and error.data["max"] == 256 * MIB
    client.call("vm.setMemory", {"vm": guest, "memory": 256 * MIB})
    wait_for(lambda: total() == before, "the guest's balloon")


def test_cpus_are_plugged_in_and_put_to_use(client, virt_host, guest):
    def online():
        return virt_host.run_in_guest(guest, "cat /sys/devices/system/cpu/online").strip()
    answer = client.call("vm.setCpus", {"vm": guest, "cpus": 2, "online": True, "scope": "live"})
    assert answer["live"] and not answer["config"] and online() == "0-1"
    assert client.call("vm.status", {"vm": guest})["cpus"] == 2
    error = client.error("vm.setCpus", {"vm": guest, "cpus": 4})
    assert error.name == "InvalidParams" and error.data["max"] == 3
    client.call("vm.setCpus", {"vm": guest, "cpus": 2, "maxCpus": 2, "scope": "config"})
    assert described(virt_host, guest, "--inactive").find("vcpu").text == "2"
    assert described(virt_host, guest).find("vcpu").text == "3"


def vnc_password_opens(virt_host, port, password):
    """By VNC's own authentication: DES of 16 bytes, its key's bits turned round."""
    code = r'''
import socket, subprocess, sys
port, password = int(sys.argv[1]), sys.argv[2].encode()
link = socket.create_connection(("127.0.0.1", port))
def take(size):
    found = b""
    while len(found) < size:
        piece = link.recv(size - len(found))
        assert piece
        found += piece
    return found
link.sendall(take(12))
kinds = take(take(1)[0])
assert 2 in kinds, kinds
link.sendall(b"\2")
challenge = take(16)
key = bytes(int(f"{each:08b}"[::-1], 2) for each in password.ljust(8, b"\0")[:8])
done = subprocess.run(["openssl", "enc", "-des-ecb", "-provider", "legacy", "-provider", "default", "-nopad",
                       "-K", key.hex()], input=challenge, capture_output=True, check=True)
link.sendall(done.stdout)
print(int.from_bytes(take(4), "big"))
'''
    done = virt_host.inside("/usr/bin/python3", "-c", code, str(port), password)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip() == "0"


def test_a_ticket_opens_the_screen_and_is_kept_nowhere(client, virt_host, guest):
    client.call("event.subscribe", {"topics": ["*"]})
    answer = client.call("vm.consoleTicket", {"vm": guest, "timeout": 600}, id="ticket")
    password = answer["password"]
    assert answer["kind"] == "vnc" and answer["address"] == "127.0.0.1" and answer["port"] >= 5900 and len(password) == 8
    assert vnc_password_opens(virt_host, answer["port"], password)
    assert not vnc_password_opens(virt_host, answer["port"], "wrong")
    ended = client.call("task.wait", {"task": "ticket"})
    assert ended["status"] == "done" and ended["result"]["port"] == answer["port"] and ended["result"]["password"] is None
    history = client.call("event.history", {"limit": 1000})["events"]
    assert "vm.consoleTicket" in str(history) and password not in str(history)
    assert password not in client.call("vm.xml", {"vm": guest})["xml"]
    given = client.call("vm.consoleTicket", {"vm": guest, "password": "<&\"'>"})
    assert given["password"] is None and vnc_password_opens(virt_host, answer["port"], "<&\"'>")
    assert not vnc_password_opens(virt_host, answer["port"], password)
    told = str(client.call("event.history", {"limit": 1000})["events"]) + client.agent.log_text() + str(client.call("task.list"))
    assert "vm.consoleTicket" in told and password not in told and "<&\"'>" not in told and "<&\\\"'>" not in told
    for bad in ("ninechars", "tab\t", "é"):
        error = client.error("vm.consoleTicket", {"vm": guest, "password": bad})
        assert error.name == "InvalidParams" and error.data["param"] == "password", (bad, error)
    assert client.error("vm.consoleTicket", {"vm": guest, "kind": "spice"}).name == "NotFound"
    error = client.error("vm.consoleTicket", {"vm": guest, "connected": "disconnect"})
    assert error.name == "InvalidParams" and error.data["param"] == "connected"


def test_a_screen_is_a_png_of_its_size(client, guest):
    answer = client.call("vm.screenshot", {"vm": guest})
    data = base64.b64decode(answer["data"], validate=True)
    assert data.startswith(b"\x89PNG\r\n\x1a\n") and answer["scale"] == 1
    assert struct.unpack(">II", data[16:24]) == (answer["width"], answer["height"]) == (720, 400)
    error = client.error("vm.screenshot", {"vm": guest, "screen": 5})
    assert error.name == "NotFound" and error.data["kind"] == "screen", error


@pytest.fixture
def images(client, virt_host):
    """A repository of the host's, 'fast', and its name."""
    client.call("repository.connect", {"repository": "fast", "kind": "dir", "path": str(virt_host.own / "fast"), "create": True})
    return "fast"


def uses(client, image):
    return [each["name"] for each in client.call("image.status", {"repository": "fast", "image": image})["uses"]]


def guest_disks(virt_host, guest):
    """Their sizes, by name."""
    listed = virt_host.run_in_guest(guest, 'for each in /sys/block/vd*; do echo "${each##*/} $(cat "$each/size")"; done')
    return {name: int(sectors) * 512 for name, sectors in (line.split() for line in listed.splitlines())}


def test_a_disk_comes_grows_and_goes(client, virt_host, guest, images):
    client.call("image.create", {"repository": images, "image": "more", "size": 8 * MIB, "format": "qcow2"})
    params = {"vm": guest, "disk": {"repository": images, "image": "more", "serial": "more+1"}}
    answer = client.call("vm.attachDisk", params)
    assert answer["device"] == "vdb" and answer["live"] and answer["config"]
    wait_for(lambda: guest_disks(virt_host, guest).get("vdb") == 8 * MIB, "the disk in the guest")
    assert "more+1" in virt_host.run_in_guest(guest, "cat /sys/block/vdb/serial")
    assert uses(client, "more") == [guest]
    shown = next(each for each in client.call("vm.status", {"vm": guest})["disks"] if each["target"] == "vdb")
    assert (shown["repository"], shown["image"]) == (images, "more")
    error = client.error("vm.attachDisk", params)
    assert error.name == "AlreadyExists" and error.data["id"] == "vdb"
    assert client.error("image.remove", {"repository": images, "image": "more"}).name == "ImageInUse"

    assert client.call("vm.resizeDisk", {"vm": guest, "disk": "vdb", "size": 12 * MIB})["live"]
    wait_for(lambda: guest_disks(virt_host, guest)["vdb"] == 12 * MIB, "the larger disk in the guest")
    status = client.call("image.status", {"repository": images, "image": "more"})
    assert status["size"] == 12 * MIB and status["state"] == "optimized"
    error = client.error("vm.resizeDisk", {"vm": guest, "disk": "vdb", "size": 8 * MIB})
    assert error.name == "InvalidParams" and error.data["param"] == "size"

    answer = client.call("vm.detachDisk", {"vm": guest, "repository": images, "image": "more", **PATIENT})
    assert answer["device"] == "vdb" and answer["live"] and answer["config"]
    assert "vdb" not in guest_disks(virt_host, guest) and uses(client, "more") == []
    assert client.error("vm.detachDisk", {"vm": guest, "disk": "vdb"}).name == "NotFound"
    client.call("image.remove", {"repository": images, "image": "more"})


def test_what_one_side_has_the_other_gets_by_the_same_call(client, virt_host, guest, images):
    client.call("image.create", {"repository": images, "image": "half", "size": 8 * MIB})
    params = {"vm": guest, "disk": {"repository": images, "image": "half"}}
    answer = client.call("vm.attachDisk", {**params, "scope": "live"})
    assert answer["live"] and not answer["config"]
    assert described(virt_host, guest, "--inactive").find("devices/disk/target[@dev='vdb']") is None
    answer = client.call("vm.attachDisk", params)
    assert answer["config"] and answer["device"] == "vdb"
    client.call("vm.detachDisk", {"vm": guest, "disk": "vdb", "scope": "config"})
    assert uses(client, "half") == [guest]  # it runs with it
    client.call("vm.detachDisk", {"vm": guest, "disk": "vdb", **PATIENT})
    assert uses(client, "half") == []


def test_a_guest_that_does_not_let_go_is_told_and_its_image_is_free_when_it_does(client, virt_host, guest, images):
    client.call("image.create", {"repository": images, "image": "held", "size": 8 * MIB})
    client.call("vm.attachDisk", {"vm": guest, "disk": {"repository": images, "image": "held"}})
    wait_for(lambda: "vdb" in guest_disks(virt_host, guest), "the disk in the guest")
    client.call("vm.pause", {"vm": guest})
    for _ in range(2):  # the second asks no guest
        error = client.error("vm.detachDisk", {"vm": guest, "disk": "vdb", "timeout": 1})
        assert error.name == "Timeout" and "may yet" in error.message, error
    assert uses(client, "held") == [guest]
    client.call("vm.resume", {"vm": guest})
    wait_for(lambda: uses(client, "held") == [], "the end of the image's record")
    assert "vdb" not in guest_disks(virt_host, guest)
    wait_for(lambda: [each["target"] for each in client.call("vm.status", {"vm": guest})["disks"]] == ["vda", "sda"],
             "the disk to be told no more")


def test_a_network_card_comes_and_goes(client, virt_host, guest):
    def cards():
        return virt_host.run_in_guest(guest, "cat /sys/class/net/*/address")
    mac = "52:54:00:ab:cd:ef"
    answer = client.call("vm.attachNetwork", {"vm": guest, "network": {"kind": "bridge", "source": "br0", "mac": mac}})
    assert answer["device"] == mac and answer["live"] and answer["config"]
    wait_for(lambda: mac in cards(), "the card in the guest")
    error = client.error("vm.attachNetwork", {"vm": guest, "network": {"kind": "bridge", "source": "br0", "mac": mac}})
    assert error.name == "AlreadyExists" and error.data["id"] == mac
    device = client.call("vm.status", {"vm": guest})["networks"][0]["target"]
    client.call("vm.tune", {"vm": guest, "networks": [{"network": mac, "receive": 1000000}], "scope": "config"})
    bandwidth = described(virt_host, guest, "--inactive").find("devices/interface/bandwidth/inbound")
    assert bandwidth.get("average") == "1000"
    assert client.call("vm.detachNetwork", {"vm": guest, "network": device, **PATIENT})["device"] == mac
    assert mac not in cards() and mac not in virt_host.virsh("dumpxml", guest, "--inactive").stdout
    made = client.call("vm.attachNetwork", {"vm": guest, "network": {"source": "bridged"}})["device"]
    wait_for(lambda: made in cards(), "the card in the guest")
    client.call("vm.detachNetwork", {"vm": guest, "network": made.upper(), **PATIENT})
    error = client.error("vm.attachNetwork", {"vm": guest, "network": {"source": "<\"&'>"}})
    assert error.name in ("NotFound", "BackendFailed") and "<\"&'>" in error.message, error


def test_a_medium_is_inserted_changed_and_taken_out_against_the_guest_only_by_force(client, virt_host, guest, images):
    for name in ("first", "second"):
        client.call("image.create", {"repository": images, "image": name, "size": MIB})
    assert client.call("vm.changeMedia", {"vm": guest, "repository": images, "image": "first"})["device"] == "sda"
    wait_for(lambda: virt_host.run_in_guest(guest, "blockdev --getsize64 /dev/sr0 || true").strip() == str(MIB), "the medium in the guest")
    assert uses(client, "first") == [guest]
    for side in ((), ("--inactive",)):
        source = described(virt_host, guest, *side).find("devices/disk[@device='cdrom']/source")
        assert "first" in source.get("file")
    virt_host.run_in_guest(guest, "sleep 1000 </dev/sr0 >/dev/null 2>&1 &")
    virt_host.run_in_guest(guest, "until pidof sleep >/dev/null; do :; done")
    error = client.error("vm.changeMedia", {"vm": guest, "repository": images, "image": "second"})
    assert error.name == "WrongState" and "force" in error.data["needs"], error
    assert uses(client, "first") == [guest] and uses(client, "second") == []
    client.call("vm.changeMedia", {"vm": guest, "repository": images, "image": "second", "force": True})
    assert uses(client, "first") == [] and uses(client, "second") == [guest]
    client.call("vm.changeMedia", {"vm": guest, "disk": "sda", "force": True})
    assert uses(client, "second") == []
    assert next(each for each in client.call("vm.status", {"vm": guest})["disks"] if each["target"] == "sda")["source"] is None
    assert client.error("vm.resizeDisk", {"vm": guest, "disk": "sda", "size": 2 * MIB}).name in ("InvalidParams", "WrongState")
    assert client.error("vm.changeMedia", {"vm": guest, "disk": "vda"}).name == "InvalidParams"
    assert client.error("vm.changeMedia", {"vm": guest, "disk": "sdz"}).name == "NotFound"
    assert client.error("vm.changeMedia", {"vm": guest, "image": "first"}).name == "InvalidParams"


def test_disks_are_bounded_and_cpus_where_the_host_can(client, virt_host, guest):
    def bounds(*side):
        node = described(virt_host, guest, *side).find("devices/disk/iotune")
        return {} if node is None else {each.tag: int(each.text) for each in node}
    client.call("vm.tune", {"vm": guest, "disks": [{"disk": "vda", "readBytes": MIB, "writeIops": 100, "writeIopsBurst": 200}]})
    assert bounds() == bounds("--inactive") == {"read_bytes_sec": MIB, "write_iops_sec": 100, "write_iops_sec_max": 200}
    client.call("vm.tune", {"vm": guest, "disks": [{"disk": "vda", "writeBytes": 2 * MIB}], "scope": "live"})
    assert bounds() == {"read_bytes_sec": MIB, "write_bytes_sec": 2 * MIB, "write_iops_sec": 100, "write_iops_sec_max": 200}
    for wrong in ({"bytes": MIB}, {"readBytesBurst": 1}, {"readIopsBurst": 10}, {"writeIops": 0}):
        error = client.error("vm.tune", {"vm": guest, "disks": [{"disk": "vda", **wrong}]})
        assert error.name == "InvalidParams", (wrong, error)
        assert "_sec" not in error.message, error  # by our names, not by libvirt's
    client.call("vm.tune", {"vm": guest, "disks": [{"disk": "vda", "readBytes": 0, "writeBytes": 0, "writeIops": 0, "writeIopsBurst": 0}]})
    assert bounds() == {} and bounds("--inactive") == {}
    error = client.error("vm.tune", {"vm": guest, "cpuQuota": 50000, "scope": "live"})
    assert error.name == "WrongState" and "control groups" in error.data["needs"], error
    client.call("vm.tune", {"vm": guest, "cpuQuota": 50000, "cpuShares": 512, "scope": "config"})
    assert described(virt_host, guest, "--inactive").findtext("cputune/quota") == "50000"


def test_bounds_of_what_only_one_side_has_change_neither(client, virt_host, guest):
    mac = "52:54:00:ab:cd:01"
    client.call("vm.attachNetwork", {"vm": guest, "network": {"kind": "bridge", "source": "br0", "mac": mac}, "scope": "live"})
    bounds = {"disks": [{"disk": "vda", "readIops": 100}], "networks": [{"network": mac, "receive": 1000}]}
    for scope in ("both", "config"):
        error = client.error("vm.tune", {"vm": guest, "scope": scope, **bounds})
        assert error.name == "NotFound" and error.data["id"] == mac and "definition" in error.message, error
    for side in ((), ("--inactive",)):
        assert described(virt_host, guest, *side).find("devices/disk/iotune") is None, side
    client.call("vm.detachNetwork", {"vm": guest, "network": mac, **PATIENT})


def test_a_disk_of_a_vm_that_is_off(client, virt_host, images):
    client.call("image.create", {"repository": images, "image": "root", "size": 8 * MIB})
    client.call("image.create", {"repository": images, "image": "data", "size": 8 * MIB, "format": "qcow2"})
    client.call("vm.define", {"name": "off1", "memory": 64 * MIB, "cpus": 1, "disks": [{"repository": images, "image": "root"}]})
    answer = client.call("vm.attachDisk", {"vm": "off1", "disk": {"repository": images, "image": "data"}})
    assert answer["config"] and not answer["live"] and answer["device"] == "vdb" and uses(client, "data") == ["off1"]
    assert client.call("vm.resizeDisk", {"vm": "off1", "disk": "vdb", "size": 9 * MIB})["config"]
    assert client.call("image.status", {"repository": images, "image": "data"})["size"] == 9 * MIB
    client.call("vm.detachDisk", {"vm": "off1", "disk": "vdb"})
    assert uses(client, "data") == []
    error = client.error("vm.attachDisk", {"vm": "off1", "disk": {"repository": images, "image": "nothing"}})
    assert error.name == "ImageNotFound"
    client.call("vm.undefine", {"vm": "off1"})


def test_a_change_that_is_half_done_says_so(client, virt_host, guest):
    virt_host.inside("mount", "-o", "remount,bind,ro", "/etc/libvirt", check=True)
    try:
        error = client.error("vm.setMemory", {"vm": guest, "memory": 250 * MIB})
    finally:
        virt_host.inside("mount", "-o", "remount,bind,rw", "/etc/libvirt", check=True)
    assert error.name == "BackendFailed" and error.data["done"] == ["live"] and "its definition is not for good" in error.message
    assert str(250 * 1024) not in virt_host.path(f"/etc/libvirt/qemu/{guest}.xml").read_text()
    answer = client.call("vm.setMemory", {"vm": guest, "memory": 256 * MIB})
    assert answer["live"] and answer["config"]


def test_an_image_is_free_though_the_agent_was_killed_before_the_guest_let_go(make_agent, virt_host, guest):
    agent = make_agent(**virt_host.agent_options())
    with agent.connect() as client:
        wait_for_libvirt(client)
        client.call("repository.connect", {"repository": "fast", "kind": "dir", "path": str(virt_host.own / "fast"), "create": True})
        client.call("image.create", {"repository": "fast", "image": "late", "size": 8 * MIB})
        client.call("vm.attachDisk", {"vm": guest, "disk": {"repository": "fast", "image": "late"}})
        wait_for(lambda: "vdb" in guest_disks(virt_host, guest), "the disk in the guest")
        client.call("vm.pause", {"vm": guest})
        assert client.error("vm.detachDisk", {"vm": guest, "disk": "vdb", "timeout": 1}).name == "Timeout"
    agent.restart()
    with agent.connect() as client:
        wait_for_libvirt(client)
        assert client.error("image.remove", {"repository": "fast", "image": "late"}).name == "ImageInUse"
        client.call("vm.resume", {"vm": guest})
        wait_for(lambda: uses(client, "late") == [], "the guest to let go")
        assert "'vdb'" not in virt_host.virsh("dumpxml", guest).stdout
        client.call("image.remove", {"repository": "fast", "image": "late"})


def test_a_vm_that_is_off_has_let_go_though_its_definition_names_the_alias(client, virt_host):
    disk = virt_host.make_disk("named", 1 << 20)
    client.call("vm.define", {"name": "named", "memory": 64 * MIB, "cpus": 1})
    client.call("vm.start", {"vm": "named"})
    virt_host.virsh("attach-device", "named", "/dev/stdin", "--persistent", input=f'''<disk type="file" device="disk">
      <source file="{disk}"/><target dev="vdb" bus="virtio"/><alias name="ua-data"/></disk>''')
    client.request("vm.detachDisk", {"vm": "named", "disk": "vdb", "scope": "live", "timeout": 600}, id="detach")

    def asks():
        steps = client.call("task.status", {"task": "detach"})["steps"]
        return any(each["name"] == "ask the guest" and each["outcome"] == "complete" for each in steps)
    wait_for(asks, "the question to the guest")
    client.call("vm.destroy", {"vm": "named"})
    answer = client.wait("detach").get("result")
    assert answer and answer["live"] and not answer["config"] and "ua-data" in virt_host.virsh("dumpxml", "named").stdout
    client.call("vm.undefine", {"vm": "named"})


def test_a_machine_of_our_own_has_room_for_what_comes_later(client, virt_host, images):
    for name in ("root", "more"):
        client.call("image.create", {"repository": images, "image": f"q35-{name}", "size": MIB})
    client.call("vm.define", {"name": "q35", "memory": 64 * MIB, "cpus": 1, "maxCpus": 2,
                              "disks": [{"repository": images, "image": "q35-root"}]})
    client.call("vm.start", {"vm": "q35"})
    answer = client.call("vm.attachDisk", {"vm": "q35", "disk": {"repository": images, "image": "q35-more"}})
    assert answer["live"] and answer["config"] and answer["device"] == "vdb"
    assert client.call("vm.attachNetwork", {"vm": "q35", "network": {"kind": "user"}})["live"]
    assert client.call("vm.setCpus", {"vm": "q35", "cpus": 2})["live"]
    ticket = client.call("vm.consoleTicket", {"vm": "q35"})
    assert vnc_password_opens(virt_host, ticket["port"], ticket["password"]) and ticket["serial"].startswith("/dev/pts/")
    for verb, params in (("attachDisk", {"disk": {"device": "cdrom"}}), ("setCpus", {"cpus": 1})):
        error = client.error(f"vm.{verb}", {"vm": "q35", **params})
        assert error.name == "WrongState", (verb, error)
    # Nobody is in it who could let go.
    error = client.error("vm.detachDisk", {"vm": "q35", "disk": "vdb", "timeout": 1})
    assert error.name == "Timeout" and error.data["done"] == ["config"], error
    client.call("vm.destroy", {"vm": "q35"})
    wait_for(lambda: uses(client, "q35-more") == [], "the end of the image's record")
    assert uses(client, "q35-root") == ["q35"]
    client.call("vm.undefine", {"vm": "q35"})


def test_a_resize_whose_agent_was_killed_is_ended_by_the_same_call(make_agent, virt_host, guest):
    agent = make_agent(**virt_host.agent_options())
    params = {"vm": guest, "disk": "vdb", "size": 10 * MIB}
    with agent.connect() as client:
        wait_for_libvirt(client)
        client.call("repository.connect", {"repository": "fast", "kind": "dir", "path": str(virt_host.own / "fast"), "create": True})
        client.call("image.create", {"repository": "fast", "image": "grown", "size": 8 * MIB})
        client.call("vm.attachDisk", {"vm": guest, "disk": {"repository": "fast", "image": "grown"}})
        virt_host.pause_qemu(guest)  # it hears of the resize, and does nothing yet
        client.request("vm.resizeDisk", params, id="resize")
        wait_for(lambda: ["have QEMU change data", "running"] in [[each["name"], each["outcome"]] for each in
                                                                  client.call("task.status", {"task": "resize"})["steps"]],
                 "the resize")
        assert client.call("image.status", {"repository": "fast", "image": "grown"})["state"] == "degraded"
    agent.kill()
    virt_host.pause_qemu(guest, False)
    agent.start()
    with agent.connect() as client:
        wait_for_libvirt(client)
        assert client.call("vm.resizeDisk", params)["live"]
        status = client.call("image.status", {"repository": "fast", "image": "grown"})
        assert status["state"] == "optimized" and status["size"] == 10 * MIB
        wait_for(lambda: guest_disks(virt_host, guest).get("vdb") == 10 * MIB, "the larger disk in the guest")
        client.call("vm.detachDisk", {"vm": guest, "disk": "vdb", **PATIENT})
