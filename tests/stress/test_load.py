# SPDX-License-Identifier: Apache-2.0
"""Load: slow and dead subscribers, many callers, connections that vanish, floods, noise.

HOSTLER_SOAK=1 makes the counts ten times larger.
"""
import json
import os
import random
import socket
import struct
import threading

from rig.client import RpcError

TIMES = 10 if os.environ.get("HOSTLER_SOAK") else 1
HANDSHAKE = (b"GET /rpc HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n")


def raw_connection(agent, handshake=True):
    """A plain socket, after the handshake."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(60)
    connection.connect(str(agent.socket))
    if handshake:
        connection.sendall(HANDSHAKE)
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += connection.recv(1)
        assert b" 101 " in answer
    return connection


def frame(text):
    payload = text.encode()
    size = len(payload)
    head = struct.pack("!BB", 0x81, 0x80 | size) if size < 126 else struct.pack("!BBH", 0x81, 0x80 | 126, size)
    return head + b"\0\0\0\0" + payload


def memory(agent):
    for line in open(f"/proc/{agent.process.pid}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def test_stalled_subscribers_cost_the_others_nothing(make_agent):
    agent = make_agent(arguments=["--event-ring", "1000"], config="[limits]\ncaller-rate = 1000000\n")
    stalled = []
    for number in range(5):
        connection = raw_connection(agent)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(frame('{"jsonrpc":"2.0","id":"s%d","method":"event.subscribe","params":{}}' % number))
        stalled.append(connection)
    healthy = [agent.connect() for _ in range(20)]
    publisher = agent.connect()
    for client in healthy:
        client.call("event.subscribe", {"topics": ["task.ended"]})
    rounds = 1500 * TIMES
    before = memory(agent)
    for number in range(rounds):
        publisher.wait(publisher.request("task.abort", {"task": "nobody"}, id=f"p{number}"))
        if number % 100 == 99:  # everyone keeps up: the ring holds a thousand events
            for client in healthy:
                client.event(lambda event: event["params"].get("subject") == f"p{number}")
    assert memory(agent) - before < 64 << 20
    # one that reads again is told what it missed, and goes on from the oldest
    last = stalled[0]
    seen = b""
    while b'"event.gap"' not in seen:
        chunk = last.recv(65536)
        assert chunk, "it was closed without a word"
        seen = seen[-200:] + chunk
    assert publisher.call("host.ping") == {}


def test_every_healthy_subscriber_gets_every_event_once_and_in_order(make_agent):
    agent = make_agent(config="[limits]\ncaller-rate = 1000000\n")
    clients = [agent.connect() for _ in range(50)]
    for client in clients:
        client.call("event.subscribe", {"topics": ["task.ended"]})
    publisher = agent.connect()
    rounds = 200 * TIMES
    ids = [publisher.request("task.abort", {"task": "nobody"}, id=f"p{number}") for number in range(rounds)]
    for id in ids:
        publisher.wait(id)
    for client in clients:
        subjects = [client.event()["params"]["subject"] for _ in range(rounds)]
        assert subjects == ids
        assert client.events.empty()


def test_many_callers_at_once_get_their_own_answers(make_agent):
    agent = make_agent(repositories=["fast"])
    failures = []

    def work(number):
        try:
            with agent.connect() as client:
                for turn in range(5 * TIMES):
                    name = f"c{number}-{turn}"
                    status = client.call("image.create", {"repository": "fast", "image": name, "size": 4096}, id=name)
                    assert status["image"] == name
                    assert client.call("task.status", {"task": name})["object"]["id"] == name
                    update = client.call("image.update", {"repository": "fast", "image": name, "userData": {"n": turn}})
                    assert update["userData"] == {"n": turn} and update["generation"] == 2
                    client.call("image.list", {"repository": "fast", "limit": 5})
                    assert client.call("image.remove", {"repository": "fast", "image": name}) == {}
        except (AssertionError, RpcError, ConnectionError) as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with agent.connect() as client:
        assert client.call("repository.check", {"repository": "fast"})["problems"] == []
        assert client.call("image.list", {"repository": "fast"})["images"] == []


def test_connections_that_vanish_leave_nothing_behind(make_agent):
    agent = make_agent()
    with agent.connect() as client:
        client.call("host.ping")
        before = len(os.listdir(f"/proc/{agent.process.pid}/fd"))
        for number in range(400 * TIMES):
            connection = raw_connection(agent, handshake=number % 2 == 0)
            connection.sendall([frame('{"jsonrpc":"2.0","id":1,"method":"host.ping"}')[:10], HANDSHAKE[:30],
                                frame('{"jsonrpc":"2.0","id":1,"method":"event.subscribe"}'), b""][number % 4])
            connection.close()
        for _ in range(200):  # each answer is a turn of the loop in which it sees who has left
            client.call("host.ping")
            if len(os.listdir(f"/proc/{agent.process.pid}/fd")) <= before:
                break
        assert len(os.listdir(f"/proc/{agent.process.pid}/fd")) <= before


def test_noise_on_the_socket_harms_nobody(make_agent):
    agent = make_agent()
    noise = random.Random(7)
    good = frame('{"jsonrpc":"2.0","id":1,"method":"host.info"}')
    with agent.connect() as client:
        for number in range(300 * TIMES):
            connection = raw_connection(agent, handshake=number % 3 != 0)
            if number % 2:
                bytes_ = bytearray(good)
                for _ in range(noise.randrange(1, 6)):
                    bytes_[noise.randrange(len(bytes_))] = noise.randrange(256)
            else:
                bytes_ = noise.randbytes(noise.randrange(1, 400))
            try:
                connection.sendall(bytes(bytes_))
            except (BrokenPipeError, ConnectionResetError):
                pass
            connection.close()
        assert client.call("host.ping") == {}


def test_a_flood_that_is_not_read_is_answered_in_order_and_bounded(make_agent):
    agent = make_agent()
    count = 20000 * TIMES
    connection = raw_connection(agent)
    before = memory(agent)

    def flood():
        connection.sendall(b"".join(frame('{"jsonrpc":"2.0","id":%d,"method":"host.ping"}' % number)
                                    for number in range(count)))

    sender = threading.Thread(target=flood)
    sender.start()
    buffer, expected = b"", 0
    while expected < count:
        chunk = connection.recv(1 << 16)
        assert chunk, f"closed after {expected} answers"
        buffer += chunk
        while len(buffer) >= 2 and len(buffer) >= 2 + buffer[1]:
            message = json.loads(buffer[2:2 + buffer[1]])
            assert message["id"] == expected
            expected += 1
            buffer = buffer[2 + buffer[1]:]
    sender.join()
    assert memory(agent) - before < 64 << 20


def test_a_wrong_type_for_every_parameter_of_every_verb_is_named(make_agent):
    agent = make_agent(repositories=["fast"])
    wrong = [None, True, -1, 1.5, "\x00", "x" * 5000, [], [[]], {}, {"a": {}}, 2**63]
    with agent.connect() as client:
        document = client.call("rpc.discover")
        for method in document["methods"]:
            for param in method["params"]:
                for value in wrong:
                    params = {other["name"]: "a" for other in method["params"] if other["required"]}
                    params[param["name"]] = value
                    if method["name"] == "task.wait":
                        params.setdefault("timeoutMs", 1)
                    try:
                        client.call(method["name"], params)
                    except RpcError as error:
                        assert error.name != "InternalError", (method["name"], params, error)
        assert client.call("host.ping") == {}
