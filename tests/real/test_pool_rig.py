# SPDX-License-Identifier: Apache-2.0
"""What the tests with a pool of glusterds lean on: its hosts fall silent, die and come back as real ones."""
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

from rig.gluster import wait_for


def states(host):
    """What 'host' thinks of its peers, by address."""
    lines = host.run("peer", "status").stdout.split("\n")
    return {line.split()[1]: "(Connected)" in lines[i + 2]
            for i, line in enumerate(lines) if line.startswith("Hostname:")}


def test_each_agent_is_on_a_host_of_its_own(pool, agents):
    assert [client.call("host.info")["name"] for client in agents] == ["host0", "host1", "host2"]
    pool.hosts[1].path("/run/seen").write_text("by the second")
    assert [host.inside("cat", "/run/seen").stdout for host in pool.hosts] == ["", "by the second", ""]


def test_root_of_each_host_is_let_into_the_others(pool):
    pool.enable_ssh()
    pool.enable_ssh()  # as after the boot of one of them
    for here in pool.hosts:
        for there in pool.hosts:
            done = here.inside("ssh", "-oPasswordAuthentication=no", "-oStrictHostKeyChecking=no", there.address,
                               "hostname")
            assert done.stdout == there.name + "\n", done.stderr


def test_a_cut_host_is_silent_and_not_gone(pool):
    first, second, third = pool.hosts
    third.cut()
    wait_for(lambda: states(first) == {second.address: True, third.address: False}, "the loss of a host")
    wait_for(lambda: not any(states(third).values()), "the lost host's loneliness")
    third.cut(False)
    pool.wait_connected()


def test_a_killed_host_comes_back_with_its_bricks_and_is_healed(pool):
    bricks = [pool.brick(index, "rig", 0) for index in range(3)]
    pool.make_volume("rig", bricks, "replica", "3")
    first, _, third = pool.hosts
    folder = first.mount("rig")
    written = first.fill(folder, 20, "before")
    third.kill()
    wait_for(lambda: not states(first)[third.address], "the death of a host")
    written |= first.fill(folder, 20, "meanwhile")
    third.boot()
    pool.wait_connected()
    pool.wait_online("rig", 3)
    pool.wait_healed("rig")
    assert third.checksums("/bricks/rig-0") == written
    pool.kill_brick(bricks[0])
    wait_for(lambda: set(pool.brick_pids("rig")) == set(bricks[1:]), "the death of a brick")
    assert first.checksums(folder) == written
    first.unmount("rig")
    pool.remove_volume("rig")


def test_nothing_of_it_outlives_its_owner(tmp_path):
    """Killed at the worst moment: when all of it runs."""
    script = textwrap.dedent("""
        import sys, time
        sys.path.insert(0, sys.argv[1])
        from rig.pool import Pool
        pool = Pool(2)
        print(*(pid for host in pool.hosts for pid, _ in host.cell.processes("glusterd")), flush=True)
        time.sleep(600)
        """)
    with subprocess.Popen([sys.executable, "-c", script, str(Path(__file__).parents[1])], cwd=tmp_path,
                          stdout=subprocess.PIPE, text=True) as owner:
        servers = owner.stdout.readline().split()
        assert len(servers) == 2
        os.kill(owner.pid, signal.SIGKILL)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in servers), "the end of the orphans")
