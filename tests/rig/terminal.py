# SPDX-License-Identifier: Apache-2.0
"""A program on a pseudo-terminal, driven by what it shows."""
import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time

from .client import TIMEOUT


class Terminal:
    """Starts 'command' on a terminal of its own; it dies with close()."""

    def __init__(self, command, environment=None, columns=100, rows=30):
        self.shown = ""
        self.seen = 0  # how much of it wait_for() has gone past
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            env = {**os.environ, "TERM": "xterm", **(environment or {})}
            os.execvpe(command[0], command, env)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, deadline):
        """More of what it shows; False at its end."""
        readable, _, _ = select.select([self.fd], [], [], max(0, deadline - time.monotonic()))
        if not readable:
            raise AssertionError(f"nothing came for {TIMEOUT} s; it shows:\n{self.shown[-2000:]!r}")
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # EIO: the other side is closed
            data = b""
        self.shown += data.decode(errors="replace")
        return bool(data)

    def wait_for(self, text):
        """Until it has shown 'text', behind what was waited for last."""
        deadline = time.monotonic() + TIMEOUT
        while (place := self.shown.find(text, self.seen)) < 0:
            assert self.read(deadline), f"it ended without showing {text!r}:\n{self.shown[-2000:]!r}"
        self.seen = place + len(text)

    def type(self, text):
        os.write(self.fd, text.encode())

    def interrupt(self):
        os.kill(self.pid, signal.SIGINT)

    def end(self):
        """Waits for its end and returns its exit status."""
        deadline = time.monotonic() + TIMEOUT
        while self.read(deadline):
            pass
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def close(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0
        os.close(self.fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
