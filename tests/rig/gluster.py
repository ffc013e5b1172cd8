# SPDX-License-Identifier: Apache-2.0
"""A real glusterd with real bricks, in namespaces of its own: it sees no glusterd of the host, and none
sees it.  Its network has one address; agents that are to reach it are started in the same network
(Agent(network=...)).  Everything in it dies with the first process of its PID namespace."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

ADDRESS = "10.77.1.1"  # glusterd refuses loopback addresses as bricks'
TIMEOUT = 60.0

INIT = r"""
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/gluster /var/lib/glusterd /var/log/glusterfs
mount --bind "$1/lib" /var/lib/glusterd
mount --bind "$1/log" /var/log/glusterfs
ip link set lo up
ip addr add "$2/32" dev lo
glusterd --log-level WARNING --pid-file /run/glusterd.pid
echo ready
read -r line || true  # and reaps, as the first process must: bash does
"""


class Gluster:
    """One server, any number of volumes.  Bricks lie below 'folder'."""

    def __init__(self):
        # Not below pytest's folder: the paths of bricks go into names of sockets, which are short.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hostler-gl-"))
        for name in ("lib", "log", "bricks"):
            (self.folder / name).mkdir()
        self.process = subprocess.Popen(
            ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
             "bash", "-c", INIT, "init", str(self.folder), ADDRESS],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        assert line == "ready\n", f"glusterd did not start: {self.process.wait()}"
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        self.init = int(open(children).read().split()[0])
        self.network = f"/proc/{self.init}/ns/net"
        self.wait_for(lambda: self.run("peer", "status", check=False).returncode == 0, "glusterd")

    def inside(self, *command, **options):
        return subprocess.run(["nsenter", "--target", str(self.init), "--mount", "--net", "--pid", *command],
                              capture_output=True, text=True, timeout=TIMEOUT, **options)

    def run(self, *arguments, check=True):
        """The gluster command line."""
        done = self.inside("gluster", "--mode=script", *arguments)
        assert not check or done.returncode == 0, f"gluster {arguments}: {done.stdout}{done.stderr}"
        return done

    @staticmethod
    def wait_for(condition, what):
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain for {what}"
            time.sleep(0.05)

    def make_volume(self, name, bricks=3, *arguments, options=()):
        """A started volume of 'bricks' replicas (or what 'arguments' say)."""
        folders = [self.brick(name, i) for i in range(bricks)]
        for folder in folders:
            folder.mkdir()
        kind = arguments or (("replica", str(bricks)) if bricks > 1 else ())
        self.run("volume", "create", name, *kind, *(f"{ADDRESS}:{folder}" for folder in folders), "force")
        # A dead server is given up on in seconds, not in the usual 42.
        for option, value in (("network.ping-timeout", "3"), *options):
            self.run("volume", "set", name, option, value)
        self.run("volume", "start", name)
        self.wait_online(name, bricks)

    def brick(self, volume, number):
        return self.folder / "bricks" / f"{volume}-{number}"

    def brick_pids(self, volume):
        """The host's numbers of its brick processes, by brick."""
        pids = {}
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if not command[0].endswith(b"glusterfsd") or b"--brick-name" not in command:
                continue
            path = command[command.index(b"--brick-name") + 1].decode()
            match = re.fullmatch(re.escape(str(self.folder / "bricks" / volume)) + r"-(\d+)", path)
            if match:
                pids[int(match.group(1))] = int(entry.name)
        return pids

    def wait_online(self, volume, bricks):
        def online():
            text = self.run("volume", "status", volume, check=False).stdout
            # A long brick's name is wrapped: its figures are then on the line behind.
            return len(re.findall(r"Brick .*?\s+\d+\s+\d+\s+Y\s+\d+", text, re.DOTALL)) >= bricks
        self.wait_for(online, f"the bricks of {volume}")

    def kill_brick(self, volume, number):
        os.kill(self.brick_pids(volume)[number], signal.SIGKILL)

    def kill_bricks(self, volume):
        for pid in self.brick_pids(volume).values():
            os.kill(pid, signal.SIGKILL)

    def restart_bricks(self, volume, bricks):
        """Those that are dead."""
        self.run("volume", "start", volume, "force")
        self.wait_online(volume, bricks)

    def pause_bricks(self, volume, paused):
        """Bricks that are silent, and not gone: as behind a network that drops everything."""
        for pid in self.brick_pids(volume).values():
            os.kill(pid, signal.SIGSTOP if paused else signal.SIGCONT)

    def pause_server(self, paused):
        """glusterd itself: connections are accepted, by the kernel, and nothing is answered."""
        self.inside("sh", "-c", f'kill -{"STOP" if paused else "CONT"} $(cat /run/glusterd.pid)', check=True)

    def wait_healed(self, volume):
        def healed():
            text = self.run("volume", "heal", volume, "info", "summary", check=False).stdout
            counts = re.findall(r"Total Number of entries: (\S+)", text)
            return counts and all(count == "0" for count in counts)
        self.wait_for(healed, f"the healing of {volume}")

    def close(self):
        if self.process.poll() is None:
            os.kill(self.init, signal.SIGKILL)
            self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)
