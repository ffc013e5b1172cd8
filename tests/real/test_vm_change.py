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
SCREEN = """<graphics type="vnc" autoport="yes" listen="127.0.0.1" passwd="nobody's" passwdValidTo="2010-01-01T00:00:00"/>
    <video><model type="vga"/></video>"""


@pytest.fixture(scope="module")
def guest(virt_host):
    """A running VM that can be changed in all ways: its name."""
    disk = virt_host.make_disk("web1")
    xml = domain_xml("web1", [disk], devices=SCREEN, memory_mib=256).replace("<vcpu>1<", '<vcpu current="1">3<')
    virt_host.start_domain(xml)
    virt_host.wait_console("web1", "guest ready")
    virt_host.wait_guest("web1")
    return "web1"


@pytest.fixture
def client(make_agent, virt_host):
    with make_agent(**virt_host.agent_options()).connect() as connection:
        connection.call("event.subscribe", {"topics": ["host.backend"], "snapshot": True})
        backends = {each["backend"]: each for each in connection.call("host.info")["backends"]}
        if backends["libvirt"]["state"] != "available":
            connection.event(lambda event: event["params"].get("subject") == "libvirt"
                             and event["params"]["data"]["state"] == "available")
        yield connection


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
