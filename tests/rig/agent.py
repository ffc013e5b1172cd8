# SPDX-License-Identifier: Apache-2.0
"""A real hostlerd of the built tree, in a folder of its own, that dies with the test."""
import contextlib
import ctypes
import os
import pathlib
import select
import shutil
import signal
import subprocess
import tempfile
import time

from .client import TIMEOUT, Client

ROOT = pathlib.Path(__file__).resolve().parents[2]


def build_dir():
    """HOSTLER_BUILD, else the source folder."""
    return pathlib.Path(os.environ.get("HOSTLER_BUILD", ROOT)).resolve()


def program(name):
    path = build_dir() / name
    if not path.exists():
        raise FileNotFoundError(f"{path} is not built: run make, or set HOSTLER_BUILD")
    return str(path)


CLONE_NEWNET = 0x40000000


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def enter_network(path):
    """For the child: the network namespace that 'path' in /proc is."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET) < 0:
        raise OSError(ctypes.get_errno(), "setns")
    os.close(fd)


class Agent:
    """Starts at once unless start=False.  'arguments' are flags of hostlerd beside --run-dir."""

    def __init__(self, folder, arguments=(), config="", repositories=(), wrapper=(), start=True,
                 environment=None, name=None, network=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        # Short, for a unix socket's path has at most 107 characters.
        self.run_dir = pathlib.Path(tempfile.mkdtemp(prefix="hostler-run-"))
        self.socket = self.run_dir / "hostlerd.sock"
        self.log_path = self.folder / "log"
        self.config_path = self.folder / "hostlerd.conf"
        self.arguments = list(arguments)
        self.wrapper = list(wrapper)
        # Only who is led into a glusterd's host has one: others would tell, sooner or later, that they have none.
        if "nsenter" not in self.wrapper and "--gluster" not in self.arguments:
            self.arguments += ["--gluster", "none"]
        if "--libvirt" not in self.arguments:  # nor this machine's own libvirtd, if it has one
            self.arguments += ["--libvirt", "none"]
        self.environment = environment
        self.network = network  # the /proc path of a network namespace, or None
        self.process = None
        self.urls = []
        text = config
        for repository in repositories:  # names; each a fresh dir repository below the folder
            path = self.folder / repository
            text += f"\n[repository {repository}]\nkind = dir\npath = {path}\n"
            self.make_repository(path)
        self.config_path.write_text(text)
        if name:
            self.arguments += ["--name", name]
        if start:
            self.start()

    @staticmethod
    def make_repository(path):
        """What repository.connect with create makes, by an independent writer."""
        import uuid
        if (path / "hostler.json").exists():
            return
        (path / "images").mkdir(parents=True, exist_ok=True)
        (path / "hostler.json").write_text(
            '{"hostler":"repository","version":1,"uuid":"%s","created":"2026-01-01T00:00:00.000Z"}'
            % uuid.uuid4())

    def command(self):
        return [*self.wrapper, program("hostlerd"), "--config", str(self.config_path),
                "--run-dir", str(self.run_dir), "--log-level", "debug", *self.arguments]

    def start(self, ready=True):
        self.log = open(self.log_path, "ab")
        environment = dict(os.environ)
        environment.update(self.environment or {})
        self.process = subprocess.Popen(self.command(), stdout=subprocess.PIPE, stderr=self.log,
                                        stdin=subprocess.DEVNULL, preexec_fn=self.prepare,
                                        env=environment)
        self.urls = []
        if ready:
            self.wait_ready()
        return self

    def prepare(self):
        if self.network:
            enter_network(self.network)
        die_with_parent()

    def wait_ready(self):
        """Reads the 'listening URL' lines; the unix socket's is always among them."""
        deadline = time.monotonic() + TIMEOUT
        buffer = b""
        wanted = 1 + self.arguments.count("--listen") + self.arguments.count("--tls-listen")
        fd = self.process.stdout.fileno()
        while len(self.urls) < wanted:
            readable, _, _ = select.select([fd], [], [], max(0, deadline - time.monotonic()))
            chunk = os.read(fd, 4096) if readable else b""
            if not chunk:
                raise AssertionError(f"hostlerd did not get ready (status {self.process.poll()}):\n"
                                     + self.log_text()[-4000:])
            buffer += chunk
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                if line.startswith(b"listening "):
                    self.urls.append(line.split(b" ", 1)[1].decode())

    def log_text(self):
        return self.log_path.read_text(errors="replace")

    def url(self, scheme="ws"):
        return next(url for url in self.urls if url.startswith(scheme + "://"))

    def token(self):
        return (self.run_dir / "token").read_text().split()[-1]

    def connect(self, **options):
        if not options.get("url"):
            options.setdefault("socket", self.socket)
        return Client(**options)

    def call(self, method, params=None, **options):
        with self.connect() as client:
            return client.call(method, params, **options)

    def kill(self):
        """SIGKILL: the only way an agent stops."""
        if self.process is not None:
            wrapped = []
            for pid in self.wrapped():
                with contextlib.suppress(ProcessLookupError):  # it was just being killed
                    wrapped.append(os.pidfd_open(pid))
                    signal.pidfd_send_signal(wrapped[-1], signal.SIGKILL)
            self.process.kill()
            self.process.wait()
            for fd in wrapped:  # not ours to wait for; what it holds is free when it has ended
                select.select([fd], [], [], TIMEOUT)
                os.close(fd)
            self.process.stdout.close()
            self.log.close()
            self.process = None

    def wrapped(self):
        """The agent below its wrapper (strace): it does not die with it."""
        if not self.wrapper or self.process.poll() is not None:
            return []
        pid = self.process.pid
        return [int(child) for child in open(f"/proc/{pid}/task/{pid}/children").read().split()]

    def restart(self):
        self.kill()
        return self.start()

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def cli(self, *arguments, check=None, **options):
        """Runs the built 'hostler' against this agent."""
        done = subprocess.run([program("hostler"), *arguments, "--url", f"unix:{self.socket}"],
                              capture_output=True, text=True, timeout=options.pop("timeout", TIMEOUT),
                              stdin=subprocess.DEVNULL, **options)
        if check is not None:
            assert done.returncode == check, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def remove(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.close()

    def servers(self):
        """Each qemu-nbd that serves an image for it: they outlive it."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                line = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
            except (FileNotFoundError, ProcessLookupError):
                continue
            if line.startswith(b"qemu-nbd\0--fork") and bytes(self.run_dir / "serve") in line:
                found.append(int(entry.name))
        return sorted(found)

    def close(self):
        self.kill()
        for pid in self.servers():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.run_dir, ignore_errors=True)
