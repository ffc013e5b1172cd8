# SPDX-License-Identifier: Apache-2.0
"""POST /rpc: what is sent behind one that was not answered yet, and answers that a socket does not take at once."""
import json
import re

import pytest

from rig.images import random_raw
from rig.raw import KEY, TEXT, Raw, frame

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
UPGRADE = (f"GET /rpc HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n").encode()


def post(*calls):
    body = json.dumps([{"jsonrpc": "2.0", "id": id, "method": method, "params": params}
                       for id, method, params in calls]).encode()
    return b"POST /rpc HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def body(raw):
    """Status and body of the next reply."""
    status, text = raw.head()
    return status, raw.read(int(re.search(r"content-length: (\d+)", text)[1]))


@pytest.fixture
def held(agent, client, tmp_path):
    """A task that runs until somebody aborts it."""
    path = random_raw(tmp_path / "web1.raw", 16 << 20)
    client.run("image.import", {"repository": "slow", "image": "web1", "path": str(path),
                                "sourceFormat": "raw"})
    client.call("image.copy", {"repository": "slow", "image": "web1", "targetRepository": "fast",
                               "bytesPerSecond": 65536}, id="held")
    return "held"


@pytest.mark.parametrize("behind", [HEALTH, UPGRADE, HEALTH + UPGRADE], ids=["get", "upgrade", "both"])
def test_what_comes_behind_a_post_has_its_turn_after_it(agent, behind):
    with Raw(agent.socket) as raw:
        raw.socket.sendall(post((1, "host.ping", {})) + behind)
        assert json.loads(body(raw)[1]) == [{"jsonrpc": "2.0", "id": 1, "result": {}}]
        if behind.startswith(HEALTH):
            assert body(raw) == (200, b"ok\n")
        if behind.endswith(UPGRADE):
            assert raw.head()[0] == 101
            raw.socket.sendall(frame(TEXT, b'{"jsonrpc":"2.0","id":3,"method":"host.ping"}'))
            assert json.loads(raw.next()[1])["result"] == {}


@pytest.mark.parametrize("behind", [HEALTH, UPGRADE, b"\r\n"], ids=["get", "upgrade", "blank"])
def test_what_comes_behind_a_post_that_waits_ends_the_socket_and_no_task(agent, client, held, behind):
    with Raw(agent.socket) as raw:
        raw.socket.sendall(post((1, "task.wait", {"task": held})) + behind)
        assert raw.rest() == b""
    assert client.call("task.status", {"task": held})["status"] == "running"
    assert client.call("task.abort", {"task": held})["task"] == held


def test_a_post_that_is_sent_before_its_turn_ends_the_socket_and_not_the_agent(agent):
    """libwebsockets 4.1 never came back from it."""
    with Raw(agent.socket) as raw:
        raw.socket.sendall(HEALTH + post((1, "host.ping", {})))
        assert body(raw) == (200, b"ok\n")
        raw.rest()
    assert agent.call("host.ping") == {}


def test_a_large_answer_comes_whole_and_the_socket_carries_the_next(agent):
    """More than the socket takes: libwebsockets keeps the rest, under a time limit of ours."""
    with Raw(agent.socket) as raw:
        raw.socket.sendall(post(*((id, "rpc.discover", {}) for id in range(50))))
        assert agent.call("host.ping") == {}  # it goes on while nothing is read
        status, text = body(raw)
        assert status == 200 and len(text) > 1 << 20
        assert {answer["id"] for answer in json.loads(text)} == set(range(50))
        raw.socket.sendall(HEALTH)
        assert body(raw) == (200, b"ok\n")


def test_answers_of_a_batch_that_are_too_large_together_are_refused(make_agent):
    agent = make_agent(config="[limits]\nbatch-count = 1000\n")
    with Raw(agent.socket) as raw:
        raw.socket.sendall(post(*((id, "rpc.discover", {}) for id in range(1000))))
        assert body(raw) == (503, b"the answers are too large together\n")
    assert agent.call("host.ping") == {}
