# SPDX-License-Identifier: Apache-2.0
"""A real glusterd with real bricks, in namespaces of its own: it sees no glusterd of the host, and none
sees it.  Its network has one address; agents that are to reach it are started in the same network
(Agent(network=...)).  Everything in it dies with the first process of its PID namespace.

Pools of several are rig/pool.py; what both need is here too."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

ADDRESS = "10.77.1.1"  # glusterd refuses loopback addresses as bricks'
TIMEOUT = 180.0  # seconds; only ever reached by a failure, however busy the machine

INIT = r"""
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/gluster /var/lib/glusterd /var/log/glusterfs
mount --bind "$1/lib" /var/lib/glusterd
mount --bind "$1/log" /var/log/glusterfs
ip link set lo up
ip addr add "$2/32" dev lo
glusterd --log-level WARNING --pid-file /run/glusterd.pid
"""
REAP = "read -r line || true"  # bash does, while it reads, as the first process must


def wait_for(condition, what, timeout=TIMEOUT):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


class Cell:
    """Namespaces (network, mounts, processes, name), within those of another cell or this machine's.
    Their first process runs a script of bash, once go() says so, that prints 'ready' and then reads:
    it dies with this process, by that end of file, and all in the cell with it."""

    def __init__(self, script, *arguments, around=None, own_network=True):
        script = f"set -e\necho here\nread -r line\n{script}\necho ready\n{REAP}"
        self.process = subprocess.Popen(
            [*(around.enter if around else ()), "unshare", *(["--net"] if own_network else ()), "--mount", "--pid",
             "--uts", "--fork", "--kill-child", "--mount-proc", "bash", "-c", script, "init", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.expect("here")
        self.init = self.process.pid
        for _ in range(2 if around else 1):  # nsenter and unshare each fork
            self.init = int(open(f"/proc/{self.init}/task/{self.init}/children").read().split()[0])
        self.network = f"/proc/{self.init}/ns/net"
        self.enter = ["nsenter", "--target", str(self.init), "--mount", "--net", "--pid", "--uts"]

    def go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.expect("ready")
        return self

    def expect(self, word):
        line = self.process.stdout.readline()
        assert line == word + "\n", f"no '{word}' but '{line}': {self.process.poll()}"

    def inside(self, *command, **options):
        options = {"capture_output": True, "text": True, "timeout": TIMEOUT, **options}
        return subprocess.run([*self.enter, *command], **options)

    def processes(self, program):
        """(this machine's number, command line) of each process in it that runs 'program'."""
        namespace = os.readlink(f"/proc/{self.init}/ns/pid")
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and os.readlink(entry / "ns/pid") == namespace:
                    command = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                    if os.path.basename(command[0]) == program:
                        yield int(entry.name), command
            except OSError:  # it is just ending
                continue

    def bricks(self):
        """This machine's numbers of its brick processes, by the brick's folder."""
        return {command[command.index("--brick-name") + 1]: pid
                for pid, command in self.processes("glusterfsd") if "--brick-name" in command}

    def close(self):
        if self.process.poll() is None:
            os.kill(self.init, signal.SIGKILL)
            self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Commands:
    """What is asked of a glusterd by its command line, whichever it is: run() is the heir's."""

    def create_volume(self, name, bricks, kind, options):
        """A started volume of 'bricks' (ADDRESS:FOLDER)."""
        self.run("volume", "create", name, *kind, *bricks, "force")
        # A dead server is given up on in seconds, not in the usual 42.
        for option, value in (("network.ping-timeout", "3"), *options):
            self.run("volume", "set", name, option, value)
        self.run("volume", "start", name)
        self.wait_online(name, len(bricks))

    def count_online(self, volume):
        """Of its bricks, as glusterd sees them."""
        text = self.run("volume", "status", volume, check=False).stdout
        # A long brick's name is wrapped: its figures are then on the line behind.
        return len(re.findall(r"Brick .*?\s+\d+\s+\d+\s+Y\s+\d+", text, re.DOTALL))

    def wait_online(self, volume, bricks):
        """That many of its bricks."""
        wait_for(lambda: self.count_online(volume) >= bricks, f"the bricks of {volume}")

    def wait_dead(self, volume, left):
        """Until glusterd knows that only so many of its bricks are left."""
        wait_for(lambda: self.count_online(volume) == left, f"the loss of a brick of {volume}")

    def restart_bricks(self, volume, bricks):
        """Those that are dead.  Asked anew, for a glusterd that has not heard of a death yet starts nothing."""
        def are_online():
            self.run("volume", "start", volume, "force", check=False)
            with contextlib.suppress(AssertionError):
                wait_for(lambda: self.count_online(volume) >= bricks, "them", timeout=15)
                return True
            return False
        wait_for(are_online, f"the bricks of {volume}")

    def wait_healed(self, volume):
        def healed():
            text = self.run("volume", "heal", volume, "info", "summary", check=False).stdout
            counts = re.findall(r"Total Number of entries: (\S+)", text)
            return counts and all(count == "0" for count in counts)
        wait_for(healed, f"the healing of {volume}")


BUSY = re.compile("Another transaction is in progress|Locking failed")


def gluster_command(cell, arguments, check):
    deadline = time.monotonic() + TIMEOUT
    # gluster starts a Python for gsyncd's version first, which only geo-replication needs: most of its time.
    environment = [] if "geo-replication" in arguments else ["env", "PYTHON=/bin/true"]
    command = [*environment, "gluster", "--mode=script", *arguments]
    done = cell.inside(*command)
    # An agent may be asking about the same volume: glusterd takes one at a time, and refuses others.
    while BUSY.search(done.stdout + done.stderr) and time.monotonic() < deadline:
        time.sleep(0.1)
        done = cell.inside(*command)
    assert not check or done.returncode == 0, f"gluster {arguments}: {done.stdout}{done.stderr}"
    return done


class Gluster(Commands):
    """One server, any number of volumes.  Bricks lie below 'folder'."""

    def __init__(self):
        # Not below pytest's folder: the paths of bricks go into names of sockets, which are short.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hostler-gl-"))
        for name in ("lib", "log", "bricks"):
            (self.folder / name).mkdir()
        self.cell = Cell(INIT, str(self.folder), ADDRESS).go()
        self.inside = self.cell.inside
        self.network = self.cell.network
        wait_for(lambda: self.run("peer", "status", check=False).returncode == 0, "glusterd")

    def run(self, *arguments, check=True):
        """The gluster command line."""
        return gluster_command(self.cell, arguments, check)

    def make_volume(self, name, bricks=3, *arguments, options=()):
        """A started volume of 'bricks' replicas (or what 'arguments' say)."""
        folders = [self.brick(name, i) for i in range(bricks)]
        for folder in folders:
            folder.mkdir()
        kind = arguments or (("replica", str(bricks)) if bricks > 1 else ())
        self.create_volume(name, [f"{ADDRESS}:{folder}" for folder in folders], kind, options)

    def brick(self, volume, number):
        return self.folder / "bricks" / f"{volume}-{number}"

    def brick_pids(self, volume):
        """The host's numbers of its brick processes, by brick."""
        prefix = str(self.folder / "bricks" / volume) + "-"
        return {int(folder[len(prefix):]): pid
                for folder, pid in self.cell.bricks().items() if re.fullmatch(re.escape(prefix) + r"\d+", folder)}

    def kill_brick(self, volume, number):
        os.kill(self.brick_pids(volume)[number], signal.SIGKILL)

    def kill_bricks(self, volume):
        for pid in self.brick_pids(volume).values():
            os.kill(pid, signal.SIGKILL)

    def pause_bricks(self, volume, paused):
        """Bricks that are silent, and not gone: as behind a network that drops everything."""
        for pid in self.brick_pids(volume).values():
            os.kill(pid, signal.SIGSTOP if paused else signal.SIGCONT)

    def pause_server(self, paused):
        """glusterd itself: connections are accepted, by the kernel, and nothing is answered."""
        self.inside("sh", "-c", f'kill -{"STOP" if paused else "CONT"} $(cat /run/glusterd.pid)', check=True)

    def close(self):
        self.cell.close()
        shutil.rmtree(self.folder, ignore_errors=True)
