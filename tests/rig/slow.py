# SPDX-License-Identifier: Apache-2.0
"""A way that is slow: what comes goes on to HOST:PORT, each part of it SECONDS later; what comes
back is not held up.  Prints the port that it listens on.

    python3 slow.py HOST PORT SECONDS"""
import contextlib
import socket
import sys
import threading
import time


def carry(source, target, seconds):
    with contextlib.suppress(OSError):
        while part := source.recv(1 << 16):
            time.sleep(seconds)
            target.sendall(part)
        time.sleep(seconds)
        target.shutdown(socket.SHUT_WR)


def main(host, port, seconds):
    listener = socket.create_server(("0.0.0.0", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        near, _ = listener.accept()
        far = socket.create_connection((host, int(port)))
        threading.Thread(target=carry, args=(near, far, float(seconds)), daemon=True).start()
        threading.Thread(target=carry, args=(far, near, 0), daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
