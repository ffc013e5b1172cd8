# SPDX-License-Identifier: Apache-2.0
"""The rig of virtual machines itself: what other tests take for granted."""
import shutil

import pytest

from rig.gluster import wait_for
from rig.tiny import BLOCK, beat_place, check_beats, count_beats, read_beats
from rig.virt import are_spoilt, consoles


def test_a_guest_outlives_its_libvirtd(virt_host, running_guest):
    pid = virt_host.qemu_pids()[running_guest]
    virt_host.kill_libvirtd()
    virt_host.wait_beats(running_guest, 2)
    virt_host.start_libvirtd()
    assert virt_host.domain_state(running_guest) == "running"
    assert virt_host.qemu_pids() == {running_guest: pid}
    virt_host.wait_guest(running_guest)


def test_a_copy_of_a_disk_is_told_from_a_mixture(virt_host, running_guest, tmp_path):
    shown = virt_host.wait_beats(running_guest, 3)
    virt_host.virsh("suspend", running_guest)
    copy = shutil.copy(virt_host.own / f"{running_guest}.raw", tmp_path / "copy")
    virt_host.virsh("resume", running_guest)
    assert check_beats(copy) >= shown
    with open(copy, "r+b") as file:  # a block that the next beat leaves alone is now of another moment
        count, blocks = read_beats(file)
        place = next(place for place in (beat_place(n, blocks) for n in range(1, count + 1))
                     if place != beat_place(count + 1, blocks))
        file.seek(BLOCK * (1 + place))
        file.write(bytes(BLOCK))
    with pytest.raises(AssertionError, match=f"block {place} is unknown"):
        check_beats(copy)


def test_a_freeze_holds_the_file_system_and_not_the_disk_beside_it(virt_host, running_guest):
    data = virt_host.own / f"{running_guest}-data.raw"
    virt_host.run_in_guest(running_guest, "beat /data/beat 5 >/run/beats 2>&1 & echo $! >/run/pid\n"
                           "until [ -s /run/beats ]; do sleep 0.1; done")
    virt_host.virsh("domfsfreeze", running_guest)
    virt_host.wait_console(running_guest, "freeze\n")
    frozen = data.read_bytes()
    virt_host.wait_beats(running_guest, 3)
    assert data.read_bytes() == frozen
    virt_host.virsh("domfsthaw", running_guest)
    virt_host.wait_console(running_guest, "thaw\n")
    wait_for(lambda: data.read_bytes() != frozen, "the file system to be written to")
    virt_host.run_in_guest(running_guest, "kill $(cat /run/pid)")


def test_a_guest_follows_the_power_button_and_its_agent(virt_host):
    virt_host.start_guest("off", machine="q35", define=False)
    virt_host.wait_power_button("off")
    virt_host.virsh("shutdown", "off", "--mode", "acpi")
    virt_host.wait_console("off", "power button\n")
    wait_for(lambda: virt_host.domain_state("off") is None, "the end of a transient domain")


def test_hosts_are_strangers_but_for_what_they_share(virt_pair):
    one, two = virt_pair.hosts
    for folder, seen in ((virt_pair.shared, True), (virt_pair.own, False)):
        path = one.make_disk("mine", folder=folder)
        assert one.inside("test", "-e", str(path)).returncode == 0
        assert (two.inside("test", "-e", str(path)).returncode == 0) == seen
    hostname = ("timeout", "1", "virsh", "-q", "-c", one.migration_uri, "hostname")
    one.cut()
    assert two.inside(*hostname).returncode == 124
    one.cut(False)
    assert two.inside(*hostname[2:]).stdout.strip() == one.name


def test_a_guest_that_moves_goes_on_where_it_was(virt_pair):
    for _ in range(2):
        try:
            return move(*virt_pair.hosts, virt_pair.shared)
        except Exception:
            if not are_spoilt(virt_pair.hosts):
                raise
        for host in virt_pair.hosts:
            host.remove_guest("mover")
        for path in consoles(virt_pair.hosts):
            path.unlink()
    return move(*virt_pair.hosts, virt_pair.shared)


def move(one, two, shared):
    disk = one.start_guest("mover", beat="/dev/vda", folder=shared)
    before = one.wait_beats("mover", 2)
    one.virsh("migrate", "--live", "--p2p", "--persistent", "--undefinesource", "mover", two.migration_uri)
    assert (one.domain_state("mover"), two.domain_state("mover")) == (None, "running")
    assert two.wait_beats("mover", 2) > before
    two.wait_guest("mover")
    two.remove_guest("mover")
    assert check_beats(disk) == count_beats(disk) > before
