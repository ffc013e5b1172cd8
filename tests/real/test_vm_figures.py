# SPDX-License-Identifier: Apache-2.0
"""vm.stats of real guests, held against virsh; a QEMU that hangs; a VM that is started again; what QEMU offers."""
import pytest

from rig.backend import wait_for_backend
from rig.gluster import wait_for


@pytest.fixture
def client(make_agent, virt_host, running_guest):
    agent = make_agent(**virt_host.agent_options())
    with agent.connect() as connection:
        wait_for_backend(connection, "libvirt")
        yield connection


@pytest.fixture(scope="module")
def second_guest(virt_host):
    virt_host.start_guest("second")
    return "second"


def figures(client, vm, **params):
    told = client.call("vm.stats", {"vm": vm, **params})
    return told, told["vms"][0]


def with_rates(client, vm):
    """Of a moment, too, in which nothing else was at the VM: libvirt waits for nobody, and then asks no QEMU."""
    found = []

    def are_told():
        found[:] = figures(client, vm, fresh=True)
        return found[0]["intervalMs"] is not None and not found[1]["stale"]
    wait_for(are_told, f"the rates of {vm}")
    return found


def virsh_figures(virt_host, vm):
    lines = virt_host.virsh("domstats", vm).stdout.splitlines()
    return dict(line.strip().split("=", 1) for line in lines if "=" in line)


def test_counters_grow_as_the_guest_writes_and_lie_between_those_of_virsh(client, virt_host, running_guest):
    before = virsh_figures(virt_host, running_guest)
    virt_host.wait_beats(running_guest, 2)
    told, one = with_rates(client, running_guest)
    after = virsh_figures(virt_host, running_guest)
    assert one["state"] == "running" and not one["stale"]
    disk = next(each for each in one["disks"] if each["target"] == "vda")
    n = next(key.split(".")[1] for key, value in after.items() if key.endswith(".name") and value == "vda")
    for member, key in (("writes", "wr.reqs"), ("writeBytes", "wr.bytes"), ("reads", "rd.reqs")):
        assert int(before[f"block.{n}.{key}"]) <= disk[member] <= int(after[f"block.{n}.{key}"]), member
    assert disk["writes"] > int(before[f"block.{n}.wr.reqs"])
    assert disk["capacity"] == int(after[f"block.{n}.capacity"]) and disk["source"] == after[f"block.{n}.path"]
    assert int(before["cpu.time"]) // 10**6 <= one["cpu"]["timeMs"] <= int(after["cpu.time"]) // 10**6
    assert one["vcpus"][0]["state"] == "running" and one["vcpus"][0]["timeMs"] > 0
    assert one["memory"]["current"] == int(after["balloon.current"]) * 1024
    assert 0 < one["memory"]["resident"] and 0 < one["memory"]["usable"] < one["memory"]["current"]

    # Rates, once it has written between two samples.
    def writes():
        disk = next(each for each in with_rates(client, running_guest)[1]["disks"] if each["target"] == "vda")
        return disk["writesPerSecond"] > 0 and disk["writeLatencyMs"] > 0
    wait_for(writes, "a rate of writes")
    assert one["cpu"]["cpusUsed"] > 0


def test_a_hanging_qemu_is_marked_and_the_others_are_told(client, virt_host, running_guest, second_guest):
    virt_host.pause_qemu(second_guest)
    try:
        told = client.call("vm.stats", {"fresh": True})
        vms = {each["vm"]: each for each in told["vms"]}
        stuck = vms[second_guest]
        assert stuck["stale"] and stuck["cpu"]["timeMs"] > 0, stuck
        assert all(disk["writes"] is None for disk in stuck["disks"])
        assert with_rates(client, running_guest)[1]["memory"]["resident"] > 0
        # The next is not held up by it at all.
        assert figures(client, second_guest, fresh=True)[1]["stale"]
    finally:
        virt_host.pause_qemu(second_guest, False)
    wait_for(lambda: not figures(client, second_guest, fresh=True)[1]["stale"], "the VM to be told again")


def test_a_vm_that_was_started_again_has_no_negative_rates(client, second_guest):
    _, before = with_rates(client, second_guest)
    assert before["cpu"]["cpusUsed"] is not None
    client.call("vm.destroy", {"vm": second_guest})
    _, ended = figures(client, second_guest, fresh=True)
    assert ended["state"] == "shutoff" and ended["cpu"] is None and ended["disks"] == []
    client.call("vm.start", {"vm": second_guest})
    _, now = figures(client, second_guest, fresh=True)
    assert now["cpu"]["timeMs"] < before["cpu"]["timeMs"] and now["cpu"]["cpusUsed"] is None
    assert all(disk["readsPerSecond"] is None for disk in now["disks"])


def test_capabilities_tell_what_qemu_offers(client, virt_host):
    virt = client.call("host.capabilities")["virt"]
    while virt["pending"]:
        virt = client.call("host.capabilities")["virt"]
    assert virt["hypervisor"] == "QEMU" and virt["hypervisorVersion"].startswith("7.")
    guest = next(each for each in virt["guests"] if each["architecture"] == "x86_64")
    machines = {each["machine"]: each for each in guest["machines"]}
    assert machines["q35"]["canonical"].startswith("pc-q35-") and machines["pc"]["maxCpus"] == 255
    assert guest["emulator"] == "/usr/bin/qemu-system-x86_64" and "qemu" in guest["virtualization"]
    # The rig hides it: it is there, and cannot be used.
    assert not virt["kvm"]["usable"] and "kvm" in virt["kvm"]["reason"]
    models = {each["model"]: each["usable"] for each in virt["defaults"]["cpu"]["models"]}
    assert models["qemu64"] and not models["Skylake-Server"]


def test_a_disk_is_told_by_its_image_and_a_network_by_its_address(make_agent, virt_host):
    agent = make_agent("named", repositories=["fast"], **virt_host.agent_options())
    with agent.connect() as client:
        wait_for_backend(client, "libvirt")
        client.call("image.create", {"repository": "fast", "image": "named1", "size": 1 << 20})
        client.call("vm.define", {"name": "named", "memory": 64 << 20, "cpus": 2, "guestAgent": False,
                                  "disks": [{"repository": "fast", "image": "named1"}],
                                  "networks": [{"kind": "bridge", "source": "br0"}]})
        try:
            client.call("vm.start", {"vm": "named"})
            # The tap's name is known when libvirt has told that it was started, which may be after it runs.
            wait_for(lambda: client.call("vm.status", {"vm": "named"})["networks"][0]["target"], "its tap to be told")
            one = figures(client, "named", fresh=True)[1]
            status = client.call("vm.status", {"vm": "named"})
            (disk,) = one["disks"]
            assert (disk["repository"], disk["image"], disk["capacity"]) == ("fast", "named1", 1 << 20)
            (network,) = one["networks"]
            assert network["mac"] == status["networks"][0]["mac"] and network["received"]["bytes"] is not None
            assert [vcpu["vcpu"] for vcpu in one["vcpus"]] == [0, 1]
            told = {link["name"]: link for link in client.call("host.capabilities")["interfaces"]}
            assert told[network["name"]]["kind"] == "tap" and told[network["name"]]["master"] == "br0"
            assert network["name"] in told["br0"]["bridge"]["interfaces"]
        finally:
            client.call("vm.destroy", {"vm": "named"})
            client.call("vm.undefine", {"vm": "named"})
