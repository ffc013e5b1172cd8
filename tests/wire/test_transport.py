# SPDX-License-Identifier: Apache-2.0
"""The endpoints: who gets in, what is refused, and what libwebsockets would let through by itself."""
import http.client
import json
import os
import socket
import stat
import struct
import subprocess
import tempfile

import pytest

from rig.agent import program
from rig.client import TIMEOUT, Client
from rig.raw import (BINARY, CLOSE, CONTINUATION, TEXT, WS_PING, WS_PONG, Raw, address_of, bearer, frame,
                     failed_start, http_call, role_of)

FRAME_LIMIT = 4 << 20
PING = b'{"jsonrpc":"2.0","id":%d,"method":"host.ping"}'


@pytest.fixture
def websocket(agent):
    with Raw(agent.socket) as raw:
        assert raw.handshake()[0] == 101
        yield raw


@pytest.fixture
def tcp(make_agent):
    return make_agent(arguments=["--listen", "127.0.0.1:0", "--origin", "https://console.example"])


# ---- the handshake ----

@pytest.mark.parametrize("status, changes", [
    (101, {}),
    (101, {"Upgrade": "WebSocket"}),
    (101, {"Connection": "keep-alive, Upgrade"}),
    (101, {"Sec_WebSocket_Protocol": "jsonrpc"}),
    (101, {"Sec_WebSocket_Protocol": "other, jsonrpc"}),
    (400, {"Sec_WebSocket_Protocol": "other"}),
    (400, {"Sec_WebSocket_Protocol": "jsonrpc2"}),
    (404, {"path": "/"}),
    (404, {"path": "/rpcs"}),
    (404, {"path": "/healthz"}),
    (404, {"method": "POST"}),
    (426, {"Sec_WebSocket_Version": "8"}),
    (426, {"Sec_WebSocket_Version": "130"}),
    (426, {"without": ["Sec-WebSocket-Version"]}),
    (400, {"Sec_WebSocket_Key": "abc"}),
    (400, {"without": ["Sec-WebSocket-Key"]}),
    (400, {"without": ["Connection"]}),
    (400, {"Upgrade": "h2c"}),
    (403, {"Upgrade": "bogus"}),
    (403, {"Upgrade": "b" * 3000}),
    (403, {"Upgrade": "websocket, h2c"}),
    (101, {"Origin": "http://localhost"}),
    (403, {"Origin": "http://evil.example"}),
    (403, {"Origin": "null"}),
    (403, {"Origin": "http://localhost", "without": ["Host"]}),
], ids=str)
def test_a_handshake_is_taken_or_refused_by_what_it_says(agent, status, changes):
    with Raw(agent.socket) as raw:
        found, text = raw.handshake(**changes)
    assert found == status, text
    assert "permessage-deflate" not in text
    assert agent.call("host.ping") == {}


def test_compression_is_never_agreed_to(agent):
    with Raw(agent.socket) as raw:
        status, text = raw.handshake(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits")
        assert status == 101 and "extensions" not in text.lower()


def test_headers_over_the_limit_are_refused(agent):
    with Raw(agent.socket) as raw:
        assert raw.handshake(X_Long="a" * 9000)[0] != 101
    assert agent.call("host.ping") == {}


# ---- messages ----

def test_a_binary_frame_is_read_as_text(websocket):
    websocket.frame(BINARY, PING % 1)
    assert json.loads(websocket.next()[1])["result"] == {}


def test_fragments_are_joined_around_control_frames(websocket):
    text = PING % 7
    websocket.frame(TEXT, text[:5], final=False)
    websocket.frame(WS_PING, b"still there?")
    websocket.frame(CONTINUATION, text[5:9], final=False)
    websocket.frame(CONTINUATION, b"", final=False)
    websocket.frame(CONTINUATION, text[9:])
    frames = dict([websocket.next(), websocket.next()])
    assert frames[WS_PONG] == b"still there?"
    assert json.loads(frames[TEXT])["id"] == 7


def test_a_frame_may_come_byte_by_byte(websocket):
    for byte in frame(TEXT, PING % 9):
        websocket.socket.sendall(bytes([byte]))
    assert json.loads(websocket.next()[1])["id"] == 9


@pytest.mark.parametrize("size", [125, 126, 127, 2047, 2048, 2049, 4095, 4097, 65535, 65536, 65537,
                                  1000000, FRAME_LIMIT])
def test_a_message_of_any_allowed_size_is_read(websocket, size):
    websocket.frame(TEXT, (PING % size).ljust(size))
    assert json.loads(websocket.next()[1])["id"] == size


@pytest.mark.parametrize("pieces", [
    [(TEXT, b"x" * (FRAME_LIMIT + 1), True)],
    [(TEXT, b"x" * FRAME_LIMIT, False), (CONTINUATION, b"x", True)],
], ids=["frame", "fragments"])
def test_a_message_over_the_limit_closes_with_1009(agent, websocket, pieces):
    for opcode, payload, final in pieces:
        websocket.frame(opcode, payload, final)
    assert websocket.closed_with() == 1009
    assert agent.call("host.ping") == {}


@pytest.mark.parametrize("size", [FRAME_LIMIT + 1, 1 << 32, 1 << 62])
def test_what_a_frame_announces_is_enough_to_refuse_it(websocket, size):
    websocket.frame(TEXT, b"x", size=size)
    assert websocket.closed_with() == 1009


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("text", [b'{"a":"\xff"}', b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80"],
                         ids=repr)
def test_text_that_is_not_utf8_closes_with_1007(websocket, opcode, text):
    websocket.frame(opcode, text)
    assert websocket.closed_with() == 1007


def test_a_character_may_be_cut_by_fragments(websocket):
    text = '{"jsonrpc":"2.0","id":"\u00e4","method":"host.ping"}'.encode()
    cut = text.index(b"\xc3") + 1
    websocket.frame(TEXT, text[:cut], final=False)
    websocket.frame(CONTINUATION, text[cut:])
    assert json.loads(websocket.next()[1])["id"] == "\u00e4"


@pytest.mark.parametrize("sent, status", [
    (frame(CLOSE, struct.pack(">H", 1000) + b"bye"), 1000),
    (frame(CLOSE, b""), None),
    (frame(CLOSE, b"x"), 1002),
    (frame(CLOSE, struct.pack(">H", 1000) + b"\xff"), 1002),
    (b"\xc1\x80\x01\x02\x03\x04", 1002),
    (frame(3, b""), 1002),
    (frame(11, b""), 1002),
    (frame(CONTINUATION, b"x"), 1002),
    (frame(TEXT, b"x", final=False) + frame(TEXT, b"x"), 1002),
    (frame(WS_PING, b"x", final=False), 1002),
], ids=["close", "empty close", "short close", "bad reason", "reserved bit", "opcode 3", "opcode 11",
        "stray continuation", "text within a message", "cut ping"])
def test_closes_and_broken_frames_are_answered_by_the_book(agent, websocket, sent, status):
    websocket.socket.sendall(sent)
    assert websocket.closed_with() == status
    if status != 1002:  # else libwebsockets waits a while for the other half
        assert websocket.rest() == b""
    assert agent.call("host.ping") == {}


# ---- flow ----

def test_pipelined_calls_are_all_answered(websocket):
    websocket.socket.sendall(b"".join(frame(TEXT, PING % number) for number in range(5000)))
    assert {json.loads(websocket.next()[1])["id"] for _ in range(5000)} == set(range(5000))


def test_one_who_never_reads_is_not_read_from_and_harms_nobody(agent, websocket):
    """What it is owed is bounded: the agent stops reading it, so its own sends stop."""
    before = resident_size(agent)
    call = frame(TEXT, b'{"jsonrpc":"2.0","id":%d,"method":"rpc.discover"}' % 1)
    websocket.socket.setblocking(False)
    sent = 0
    with pytest.raises(BlockingIOError):
        while sent < 64 << 20:  # each call of 50 bytes is owed some 100 KB
            sent += websocket.socket.send(call * 100)
    assert agent.call("host.ping") == {}
    assert resident_size(agent) - before < 64 << 20
    websocket.socket.settimeout(TIMEOUT)
    for _ in range(100):  # it reads at last: what it asked comes
        assert websocket.next()[0] == TEXT


def resident_size(agent):
    with open(f"/proc/{agent.process.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_clients_that_vanish_leave_nothing_behind(agent):
    def figures():
        with Raw(agent.socket) as raw:
            raw.request("GET /metrics HTTP/1.1", {"Host": "x", "Connection": "close"})
            lines = raw.rest().decode().splitlines()
        return {line.split()[0]: float(line.split()[1]) for line in lines
                if line.startswith("hostler_")}

    with agent.connect() as client:
        for kind in range(4):
            for _ in range(25):
                with Raw(agent.socket) as raw:
                    if kind == 1:
                        raw.socket.sendall(b"GET /rpc HT")
                    if kind == 2:
                        raw.handshake()
                        raw.socket.sendall(frame(TEXT, PING % 1) + frame(TEXT, b"x" * 100)[:50])
                    if kind == 3:
                        raw.socket.sendall(b"POST /rpc HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{")
        for _ in range(1000):  # the agent sees the last of them end in a turn of its loop
            client.call("host.ping")
            if figures()["hostler_connections"] == 1:
                return
    raise AssertionError(figures())


def test_beyond_the_most_connections_the_next_is_told_so(make_agent):
    agent = make_agent(config="[limits]\nconnections = 3\n")
    clients = [agent.connect() for _ in range(3)]
    with Raw(agent.socket) as raw:
        status, _ = raw.head()
        assert status == 503 and b"too many clients" in raw.rest()
    clients[0].close()
    assert clients[1].call("host.ping") == {}
    for client in clients[1:]:
        client.close()


# ---- HTTP ----

def test_health_needs_no_token_and_metrics_do(tcp):
    assert http_call(tcp, "GET", "/healthz") == (200, b"ok\n")
    assert http_call(tcp, "HEAD", "/healthz") == (200, b"")
    assert http_call(tcp, "GET", "/metrics")[0] == 401
    status, body = http_call(tcp, "GET", "/metrics", headers=bearer(tcp))
    assert status == 200 and b"\nhostler_requests_total 0\n" in body
    names = [line.split()[2] for line in body.decode().splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names)) and "process_resident_memory_bytes" in names


@pytest.mark.parametrize("method, path, status", [
    ("GET", "/rpc", 426), ("GET", "/", 404), ("GET", "/rpc/", 404), ("POST", "/", 404),
    ("POST", "/healthz", 404), ("PUT", "/rpc", 405), ("DELETE", "/rpc", 405), ("OPTIONS", "/rpc", 405),
])
def test_everything_else_is_refused(tcp, method, path, status):
    found, body = http_call(tcp, method, path, headers=bearer(tcp))
    assert found == status and body.endswith(b"\n") and len(body) < 100


def test_a_post_is_bounded_and_measured(make_agent):
    agent = make_agent(arguments=["--listen", "127.0.0.1:0"], config="[limits]\nframe-size = 10000\n")
    fits, large = (PING % 1).ljust(10000), (PING % 1).ljust(10001)
    assert json.loads(http_call(agent, "POST", "/rpc", fits, bearer(agent))[1])["result"] == {}
    assert http_call(agent, "POST", "/rpc", large, bearer(agent))[0] == 413
    assert http_call(agent, "POST", "/rpc", b"", bearer(agent))[0] == 400
    assert http_call(agent, "POST", "/rpc", iter([fits]), bearer(agent))[0] == 411  # in chunks
    assert http_call(agent, "POST", "/rpc", b'"\xff"', bearer(agent))[0] == 400
    for length in ("-1", "+5", "5x", "0x5", "99999999999999999999999999"):
        with Raw(address_of(agent.url())) as raw:
            assert raw.request("POST /rpc HTTP/1.1", {"Host": "x", "Content-Length": length,
                                                      **bearer(agent)})[0] in (0, 400, 411, 413)
    assert agent.call("host.ping") == {}


def test_a_socket_carries_one_post_after_another(tcp):
    connection = http.client.HTTPConnection(*address_of(tcp.url()), timeout=TIMEOUT)
    for number in range(20):
        connection.request("POST", "/rpc", (PING % number).ljust(number * 10000 + 100), bearer(tcp))
        reply = connection.getresponse()
        assert reply.getheader("content-type") == "application/json"
        assert json.loads(reply.read())["id"] == number
    connection.request("POST", "/rpc", b'{"jsonrpc":"2.0","method":"host.ping"}', bearer(tcp))
    reply = connection.getresponse()
    assert (reply.status, reply.read()) == (204, b"")
    connection.close()


def test_a_client_that_waits_for_leave_to_send_gets_it(agent):
    with Raw(agent.socket) as raw:
        body = PING % 3
        status, _ = raw.request("POST /rpc HTTP/1.1", {"Host": "x", "Content-Length": len(body),
                                                       "Expect": "100-continue"})
        assert status == 100
        raw.socket.sendall(body)
        assert raw.head()[0] == 200


# ---- who it is ----

def test_a_token_opens_tcp_by_header_and_by_address(tcp):
    with tcp.connect(url=tcp.url(), headers=bearer(tcp)) as client:
        assert role_of(client) == "operator or admin"
    with tcp.connect(url=f"{tcp.url()}?token={tcp.token()}") as client:
        assert role_of(client) == "operator or admin"


@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer ", "Bearer wrong", "Basic {}", "{}",
                                           "Bearer {}x", "Bearer x{}"])
def test_without_its_token_nobody_comes_in_by_tcp(tcp, authorization):
    headers = {"Authorization": authorization.format(tcp.token())} if authorization else {}
    with Raw(address_of(tcp.url())) as raw:
        status, text = raw.handshake(**headers)
        assert status == 401 and "www-authenticate: Bearer" in text
    assert http_call(tcp, "POST", "/rpc", PING % 1, headers)[0] == 401


def test_the_fresh_token_is_the_owners_alone_and_new_at_each_start(tcp):
    path = tcp.run_dir / "token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    token = tcp.token()
    assert len(token) == 64 and int(token, 16)
    tcp.restart()
    assert tcp.token() != token


def test_a_token_file_gives_each_its_role(make_agent, tmp_path):
    path = tmp_path / "tokens"
    path.write_text("# ours\nviewer vvvvvvvvvvvvvvvvvvvv\n\noperator oooooooooooooooooooo\n")
    path.chmod(0o600)
    agent = make_agent(arguments=["--listen", "127.0.0.1:0", "--token-file", str(path)])
    assert not (agent.run_dir / "token").exists()
    for letter, role in ("v", "viewer"), ("o", "operator or admin"):
        with agent.connect(url=agent.url(), headers={"Authorization": f"Bearer {letter * 20}"}) as client:
            assert role_of(client) == role


def test_a_token_file_that_others_can_read_is_refused(make_agent, tmp_path):
    path = tmp_path / "tokens"
    path.write_text("admin aaaaaaaaaaaaaaaaaaaa\n")
    path.chmod(0o644)
    text = failed_start(make_agent, "--listen", "127.0.0.1:0", "--token-file", str(path))
    assert str(path) in text and "0600" in text and "aaaaaaaa" not in text


def test_a_named_origin_may_connect_and_others_may_not(tcp):
    token = {"Authorization": "Bearer " + tcp.token()}
    host = "%s:%d" % address_of(tcp.url())
    for origin, status in (("https://console.example", 101), (f"http://{host}", 101),
                           ("http://console.example", 403), ("http://evil.example", 403)):
        with Raw(address_of(tcp.url())) as raw:
            assert raw.handshake(Host=host, Origin=origin, **token)[0] == status
        assert (http_call(tcp, "POST", "/rpc", PING % 1, {"Origin": origin, **token})[0] == 200) == (status == 101)


POST = """import socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
connection.sendall(("POST /rpc HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n"
                    "Content-Length: %d\\r\\n\\r\\n%s" % (len(sys.argv[2]), sys.argv[2])).encode())
print(connection.makefile().read())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="root is needed to become somebody else")
def test_another_user_of_the_machine_is_a_viewer(make_agent):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        path = os.path.join(folder, "sock")
        make_agent(arguments=["--socket", path])
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o666
        call = '{"jsonrpc":"2.0","id":1,"method":"image.create","params":{"repository":"fast","size":4096}}'
        done = subprocess.run(["/usr/bin/python3", "-c", POST, path, call], user=12345, group=12345,
                              extra_groups=[], capture_output=True, text=True, timeout=TIMEOUT)
    assert '"name":"Forbidden"' in done.stdout and '"role":"viewer"' in done.stdout, done.stdout + done.stderr


# ---- the socket ----

def test_a_dead_agents_socket_is_replaced(agent):
    inode = agent.socket.stat().st_ino
    agent.restart()
    assert agent.socket.stat().st_ino != inode
    assert agent.call("host.ping") == {}


def test_a_socket_that_is_served_is_left_alone(make_agent, agent):
    text = failed_start(make_agent, "--socket", str(agent.socket))
    assert "another program serves the socket" in text
    assert agent.call("host.ping") == {}


def test_a_file_that_is_no_socket_is_left_alone(make_agent, tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    assert "is no socket" in failed_start(make_agent, "--socket", str(path))
    assert path.read_text() == "data"


ACTIVATE = """import os, sys
for target, fd in enumerate(map(int, sys.argv[1].split(',')), 3):
    os.dup2(fd, 100 + target)
for target in range(3, 3 + len(sys.argv[1].split(','))):
    os.dup2(100 + target, target, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(sys.argv[1].split(','))))
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_sockets_of_systemd_are_served_instead_of_our_own(make_agent, tmp_path):
    local, tcp_socket = socket.socket(socket.AF_UNIX), socket.socket()
    local.bind(str(tmp_path / "passed.sock"))
    tcp_socket.bind(("127.0.0.1", 0))
    for passed in local, tcp_socket:
        passed.listen()
        passed.set_inheritable(True)
    agent = make_agent(start=False)
    command = agent.command()
    process = subprocess.Popen(["/usr/bin/python3", "-c", ACTIVATE, f"{local.fileno()},{tcp_socket.fileno()}",
                                *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, close_fds=False)
    try:
        urls = [process.stdout.readline().decode().split()[1] for _ in range(2)]
        if "libsystemd" not in subprocess.run(["ldd", program("hostlerd")], capture_output=True, text=True).stdout:
            pytest.skip("hostlerd was built without libsystemd")
        assert urls == [f"unix:{tmp_path}/passed.sock", "ws://127.0.0.1:%d/rpc" % tcp_socket.getsockname()[1]]
        assert not agent.socket.exists()
        with Client(socket=tmp_path / "passed.sock") as client:
            assert client.call("host.ping") == {}
        with Client(url=urls[1], headers=bearer(agent)) as client:
            assert client.call("host.ping") == {}
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
