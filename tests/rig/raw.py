# SPDX-License-Identifier: Apache-2.0
"""A WebSocket and HTTP client that can send anything, right or wrong, and hides nothing."""
import http.client
import socket
import struct
import subprocess

from .client import TIMEOUT, RpcError

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
CONTINUATION, TEXT, BINARY, CLOSE, WS_PING, WS_PONG = 0, 1, 2, 8, 9, 10


class Raw:
    """A socket on which any bytes can be sent."""

    def __init__(self, address, *, tls=None):
        if isinstance(address, tuple):
            self.socket = socket.create_connection(address)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(str(address))
        self.socket.settimeout(TIMEOUT)
        if tls:
            self.socket = tls.wrap_socket(self.socket)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def read(self, size):
        data = b""
        while len(data) < size:
            chunk = self.socket.recv(size - len(data))
            if not chunk:
                raise EOFError(data)
            data += chunk
        return data

    def rest(self):
        data = b""
        try:
            while chunk := self.socket.recv(65536):
                data += chunk
        except ConnectionResetError:
            pass
        return data

    def head(self):
        """Status and header lines of a reply; 0 when the socket was closed without one."""
        data = b""
        while b"\r\n\r\n" not in data:
            try:
                chunk = self.socket.recv(1)
            except ConnectionResetError:
                chunk = b""
            if not chunk:
                return 0, data.decode()
            data += chunk
        return int(data.split(b" ", 2)[1]), data.decode()

    def request(self, first, headers):
        lines = [first, *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        self.socket.sendall("\r\n".join(lines).encode())
        return self.head()

    def handshake(self, path="/rpc", method="GET", without=(), **changes):
        headers = {"Host": "localhost", "Upgrade": "websocket", "Connection": "Upgrade",
                   "Sec-WebSocket-Key": KEY, "Sec-WebSocket-Version": "13"}
        headers.update({name.replace("_", "-"): value for name, value in changes.items()})
        for name in without:
            del headers[name]
        return self.request(f"{method} {path} HTTP/1.1", headers)

    def frame(self, opcode, payload, final=True, size=None):
        self.socket.sendall(frame(opcode, payload, final, size))

    def next(self):
        """Opcode and payload of the next frame."""
        first, length = self.read(2)
        assert first & 0x80 and not first & 0x70, "the agent neither fragments nor extends"
        if length == 126:
            length, = struct.unpack(">H", self.read(2))
        elif length == 127:
            length, = struct.unpack(">Q", self.read(8))
        return first & 15, self.read(length)

    def closed_with(self):
        """The status that the agent closes with; frames before it are dropped."""
        while True:
            opcode, payload = self.next()
            if opcode == CLOSE:
                return struct.unpack(">H", payload[:2])[0] if payload else None


def frame(opcode, payload, final=True, size=None):
    mask = b"\x37\xfa\x21\x3d"
    size = len(payload) if size is None else size
    head = bytes([(0x80 if final else 0) | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += bytes([0x80 | 126]) + struct.pack(">H", size)
    else:
        head += bytes([0x80 | 127]) + struct.pack(">Q", size)
    key = (mask * (len(payload) // 4 + 1))[:len(payload)]
    masked = (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(len(payload), "big")
    return head + mask + masked


def address_of(url):
    host, port = url.split("/")[2].rsplit(":", 1)
    return host, int(port)


def http_call(agent, method, path, body=None, headers=None):
    """Status and body, over TCP."""
    host, port = address_of(agent.url())
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
    connection.request(method, path, body, headers or {})
    reply = connection.getresponse()
    result = reply.status, reply.read()
    connection.close()
    return result


def bearer(agent):
    return {"Authorization": "Bearer " + agent.token()}


def role_of(client):
    """By what is forbidden: image.list needs a viewer, image.create an operator."""
    try:
        client.call("image.create", {"repository": "none", "size": 4096})
    except RpcError as error:
        if error.name == "Forbidden":
            assert error.data["needs"] == "operator"
            return error.data["role"]
        return "operator or admin"


def failed_start(make_agent, *arguments):
    agent = make_agent(folder="failing", arguments=list(arguments), start=False)
    done = subprocess.run(agent.command(), capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 1 and "listening" not in done.stdout, done.stderr
    return done.stderr
