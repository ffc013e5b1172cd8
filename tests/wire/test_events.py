# SPDX-License-Identifier: Apache-2.0
"""Events over the wire: subscriptions, resuming, gaps, snapshots, history, rpc.on and rpc.off."""
import http.client
import json
import socket
import uuid

import pytest

from rig.client import background
from rig.images import random_raw

EVENT = {"instance", "seq", "time", "topic", "subject", "data"}


@pytest.fixture
def bare(make_agent):
    """An agent without repositories, that remembers 64 events."""
    return make_agent(arguments=["--event-ring", "64"])


def stir(client, count=1):
    """Publishes task.started and task.ended 'count' times; returns the tasks' ids."""
    names = [str(uuid.uuid4()) for _ in range(count)]
    for name in names:
        client.request("task.abort", {"task": "nobody"}, id=name)
    for name in names:
        assert client.wait(name)["error"]["data"]["name"] == "TaskNotFound"
    return names


def head(client):
    """The newest event's number, and the instance."""
    answer = client.call("event.subscribe", {"topics": ["lock.changed"]})
    client.call("event.unsubscribe", {"subscription": answer["subscription"]})
    return answer["seq"], answer["instance"]


def next_seqs(client, count):
    return [client.event()["params"]["seq"] for _ in range(count)]


def quiet(client):
    """Proves that no event is on its way: what was queued would have come before this answer."""
    client.call("host.ping")
    assert client.events.empty(), client.events.get()


# ---- subscribing ----

def test_the_answer_tells_where_the_stream_stands(bare):
    with bare.connect() as client:
        first = client.call("event.subscribe")
        assert set(first) == {"subscription", "instance", "seq", "oldest", "resync"}
        assert first["resync"] is False and first["oldest"] <= first["seq"] + 1
        assert first["instance"] == client.call("host.info")["instance"]
        stir(client)
        assert next_seqs(client, 2) == [first["seq"] + 1, first["seq"] + 2]
        second = client.call("event.subscribe")
        assert second["seq"] == first["seq"] + 2 and second["subscription"] != first["subscription"]


def test_an_event_is_a_notification_with_the_whole_state(bare):
    with bare.connect() as client:
        instance = client.call("event.subscribe", {"topics": ["task.ended"]})["instance"]
        name, = stir(client)
        message = client.event()
        assert message["jsonrpc"] == "2.0" and message["method"] == "event" and "id" not in message
        params = message["params"]
        assert set(params) == EVENT
        assert params["instance"] == instance and params["topic"] == "task.ended"
        assert params["subject"] == name and params["time"].endswith("Z")
        assert params["data"]["task"] == name and params["data"]["status"] == "failed"
        assert params["data"]["error"]["data"]["name"] == "TaskNotFound"


def test_patterns_choose_topics(bare):
    with bare.connect() as client:
        client.call("event.subscribe", {"topics": ["*.ended", "image.*"]})
        stir(client, 3)
        assert [client.event()["params"]["topic"] for _ in range(3)] == ["task.ended"] * 3
        quiet(client)


def test_a_subject_chooses_one_object(bare):
    with bare.connect() as client:
        client.call("event.subscribe", {"subject": "mine"})
        stir(client, 2)
        client.wait(client.request("task.abort", {"task": "nobody"}, id="mine"))
        assert [client.event()["params"]["subject"] for _ in range(2)] == ["mine", "mine"]
        quiet(client)


def test_overlapping_subscriptions_get_each_event_once(bare):
    with bare.connect() as client:
        seq = client.call("event.subscribe", {"topics": ["task.*"]})["seq"]
        client.call("event.subscribe", {"topics": ["*.ended", "task.started"]})
        stir(client, 5)
        assert next_seqs(client, 10) == list(range(seq + 1, seq + 11))
        quiet(client)


def test_nothing_comes_after_unsubscribing(bare):
    with bare.connect() as client:
        name = client.call("event.subscribe")["subscription"]
        stir(client)
        next_seqs(client, 2)
        assert client.call("event.unsubscribe", {"subscription": name}) == {}
        stir(client)
        quiet(client)
        for unknown in (name, "s999", "s", "", "s-1", "7", "s1 "):
            error = client.error("event.unsubscribe", {"subscription": unknown})
            assert error.name == "NotFound"
            assert error.data["kind"] == "subscription" and error.data["id"] == unknown


@pytest.mark.parametrize("sign", [" ", "+", "\t"])
def test_a_subscription_has_one_name(bare, sign):
    with bare.connect() as client:
        name = client.call("event.subscribe")["subscription"]
        assert client.error("event.unsubscribe", {"subscription": "s" + sign + name[1:]}).name == "NotFound"
        assert client.call("event.unsubscribe", {"subscription": name}) == {}


def test_a_subscription_is_its_connections_own(bare):
    with bare.connect() as client, bare.connect() as other:
        name = client.call("event.subscribe")["subscription"]
        assert other.error("event.unsubscribe", {"subscription": name}).name == "NotFound"


def test_subscriptions_of_a_connection_are_limited(make_agent):
    agent = make_agent(config="[limits]\nconnection-subscriptions = 3\n")
    with agent.connect() as client, agent.connect() as other:
        names = [client.call("event.subscribe")["subscription"] for _ in range(3)]
        error = client.error("event.subscribe")
        assert error.name == "LimitExceeded"
        assert error.data["limit"] == "connectionSubscriptions" and error.data["max"] == 3
        assert client.error("rpc.on", ["task.ended"]).name == "LimitExceeded"
        assert other.error("rpc.on", ["task.ended", "image.*", "vm.*", "host.*"]).name == "LimitExceeded"
        other.call("event.subscribe")
        client.call("event.unsubscribe", {"subscription": names[0]})
        client.call("event.subscribe")


@pytest.mark.parametrize("params", [
    {"topics": ["nothing.*"]}, {"topics": ["task"]}, {"topics": [""]}, {"topics": []},
    {"topics": "task.*"}, {"topics": [7]}, {"topics": ["*", "task.\u0000"]}, {"since": -1},
    {"since": "7"}, {"since": 1.5}, {"snapshot": "yes"}, {"subject": 7}, {"unknown": 1},
])
def test_wrong_parameters_name_the_place(bare, params):
    with bare.connect() as client:
        error = client.error("event.subscribe", params)
        assert error.name == "InvalidParams"
        assert error.data["param"] == list(params)[0] and error.data["reason"]


def post(agent, message):
    """One POST /rpc over the unix socket: the JSON of its answer."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(agent.socket))
    connection.request("POST", "/rpc", json.dumps(message), {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def test_http_cannot_subscribe_but_reads_the_history(bare):
    for method in ("event.subscribe", "event.unsubscribe", "rpc.on", "rpc.off"):
        params = {"event.subscribe": {}, "event.unsubscribe": {"subscription": "s1"}}.get(method, ["task.*"])
        error = post(bare, {"jsonrpc": "2.0", "id": "a", "method": method, "params": params})["error"]
        assert error["data"]["name"] == "WrongState"
        assert error["data"]["state"] == "http" and error["data"]["needs"] == "websocket"
    assert "events" in post(bare, {"jsonrpc": "2.0", "id": "a", "method": "event.history"})["result"]


# ---- coming back ----

def test_who_comes_back_gets_exactly_what_it_missed(bare):
    with bare.connect() as publisher:
        with bare.connect() as client:
            client.call("event.subscribe", {"topics": ["task.ended"]})
            stir(publisher)
            seen = client.event()["params"]
        missed = stir(publisher, 5)
        with bare.connect() as client:
            answer = client.call("event.subscribe", {"topics": ["task.ended"], "instance": seen["instance"],
                                                     "since": seen["seq"]})
            assert answer["resync"] is False
            later = stir(publisher)
            subjects = [client.event()["params"]["subject"] for _ in range(6)]
            assert subjects == missed + later
            quiet(client)


def test_the_answer_comes_before_the_first_event(bare):
    with bare.connect() as publisher:
        seq, instance = head(publisher)
        stir(publisher, 3)
        with bare.connect(read=False) as client:
            client.send(json.dumps({"jsonrpc": "2.0", "id": "first", "method": "event.subscribe",
                                    "params": {"instance": instance, "since": seq}}))
            messages = [json.loads(background().run(client.connection.recv())) for _ in range(7)]
            assert messages[0]["id"] == "first"
            assert [m["params"]["seq"] for m in messages[1:]] == list(range(seq + 1, seq + 7))
            background().run(client.connection.close())
            client.closed.set()


def test_a_new_instance_asks_for_a_resync(bare):
    with bare.connect() as client:
        seq, instance = head(client)
    bare.restart()
    with bare.connect() as client:
        answer = client.call("event.subscribe", {"instance": instance, "since": seq})
        assert answer["resync"] is True and answer["instance"] != instance
        stir(client)
        assert next_seqs(client, 2) == [answer["seq"] + 1, answer["seq"] + 2]


def test_a_since_that_cannot_be_asks_for_a_resync(bare):
    with bare.connect() as client:
        seq, instance = head(client)
        assert client.call("event.subscribe", {"since": seq})["resync"] is True
        assert client.call("event.subscribe", {"instance": instance, "since": seq + 1})["resync"] is True
        assert client.call("event.subscribe", {"instance": instance, "since": seq})["resync"] is False
        assert client.call("event.subscribe", {"instance": instance})["resync"] is False


def test_what_the_ring_has_forgotten_asks_for_a_resync(bare):
    with bare.connect() as client:
        seq, instance = head(client)
        stir(client, 40)
        answer = client.call("event.subscribe", {"instance": instance, "since": seq})
        assert answer["resync"] is True and answer["oldest"] == answer["seq"] - 63
        answer = client.call("event.subscribe", {"instance": instance, "since": answer["oldest"] - 1})
        assert answer["resync"] is False
        assert next_seqs(client, 64) == list(range(answer["oldest"], answer["seq"] + 1))


def test_a_second_subscription_may_begin_in_the_past(bare):
    with bare.connect() as client:
        seq, instance = head(client)
        client.call("event.subscribe", {"topics": ["task.started"]})
        stir(client, 2)
        assert next_seqs(client, 2) == [seq + 1, seq + 3]
        client.call("event.subscribe", {"topics": ["task.ended"], "instance": instance, "since": seq})
        assert next_seqs(client, 2) == [seq + 2, seq + 4]
        stir(client)
        assert next_seqs(client, 2) == [seq + 5, seq + 6]
        quiet(client)


# ---- slow subscribers ----

def test_a_slow_subscriber_is_told_what_it_lost(bare):
    """It reads nothing while megabytes go by; then numbers and gaps are without a hole."""
    with bare.connect() as publisher, bare.connect(read=False) as slow:
        slow.send(json.dumps({"jsonrpc": "2.0", "id": "s", "method": "event.subscribe"}))
        answer = json.loads(background().run(slow.connection.recv()))["result"]
        # python3-websockets takes messages by itself until its queue is full: stop that too.
        slow.connection.transport.pause_reading()
        for _ in range(12):
            stir(publisher, 250)
        last = head(publisher)[0]
        slow.connection.transport.resume_reading()
        expected, gaps = answer["seq"] + 1, 0
        while expected <= last:
            message = json.loads(background().run(slow.connection.recv()))
            if message["method"] == "event.gap":
                assert set(message["params"]) == {"instance", "from", "to"}
                assert message["params"]["from"] == expected <= message["params"]["to"]
                expected = message["params"]["to"] + 1
                gaps += 1
            else:
                assert message["params"]["seq"] == expected
                expected += 1
        assert gaps >= 1
        background().run(slow.connection.close())
        slow.closed.set()


def test_an_idle_subscriber_is_not_overtaken_by_others_events(bare):
    with bare.connect() as client, bare.connect() as other:
        client.call("event.subscribe", {"subject": "rare"})
        for _ in range(5):
            stir(other, 40)
        other.wait(other.request("task.abort", {"task": "nobody"}, id="rare"))
        assert [client.event()["method"] for _ in range(2)] == ["event", "event"]


def test_an_idle_subscriber_gets_a_bookmark(bare):
    with bare.connect() as client:
        answer = client.call("event.subscribe", {"topics": ["image.*"]})
        stir(client)
        message = client.event()
        assert message["method"] == "event.bookmark"
        assert message["params"] == {"instance": answer["instance"], "seq": answer["seq"] + 2}


# ---- rpc.on, rpc.off ----

def test_rpc_on_sends_notifications_named_by_the_topic(bare):
    with bare.connect() as client:
        assert client.call("rpc.on", ["task.ended"]) == {"task.ended": "ok"}
        name, = stir(client)
        message = client.event()
        assert message["method"] == "task.ended" and message["jsonrpc"] == "2.0"
        assert set(message["params"]) == EVENT and message["params"]["subject"] == name
        assert client.call("rpc.off", ["task.ended"]) == {"task.ended": "ok"}
        stir(client)
        quiet(client)


def test_rpc_on_takes_several_topics_and_patterns_in_any_form(bare):
    with bare.connect() as client:
        expected = {"task.*": "ok", "image.changed": "ok"}
        assert client.call("rpc.on", ["task.*", "image.changed"]) == expected
        assert client.call("rpc.on", {"topics": ["task.*", "image.changed"]}) == expected
        assert client.call("rpc.on", ["task.*", "task.*"]) == {"task.*": "ok"}
        stir(client)
        assert [client.event()["method"] for _ in range(2)] == ["task.started", "task.ended"]
        assert client.call("rpc.off", ["task.*", "vm.*"]) == {"task.*": "ok", "vm.*": "ok"}
        stir(client)
        quiet(client)


def test_rpc_on_and_event_subscribe_each_get_their_own_form(bare):
    with bare.connect() as client:
        client.call("rpc.on", ["task.ended"])
        client.call("event.subscribe", {"topics": ["task.ended"]})
        stir(client)
        assert {client.event()["method"], client.event()["method"]} == {"event", "task.ended"}
        quiet(client)


@pytest.mark.parametrize("params", [[], ["nothing"], [7], {"topics": "task.*"}, None])
def test_rpc_on_refuses_what_is_no_topic(bare, params):
    with bare.connect() as client:
        for method in ("rpc.on", "rpc.off"):
            assert client.error(method, params).name == "InvalidParams"


# ---- history ----

def test_history_lists_the_events_in_pages(bare):
    with bare.connect() as client:
        since = head(client)[0]
        names = stir(client, 10)
        subjects, pages, after = [], 0, since
        while True:
            answer = client.call("event.history", {"topics": ["task.ended"], "since": after, "limit": 3})
            assert set(answer) <= {"instance", "events", "next"} and len(answer["events"]) <= 3
            assert all(set(event) == EVENT for event in answer["events"])
            subjects += [event["subject"] for event in answer["events"]]
            pages += 1
            if "next" not in answer:
                break
            after = answer["next"]
        assert subjects == names and pages == 4


def test_history_is_what_the_ring_still_holds(bare):
    with bare.connect() as client:
        stir(client, 50)
        answer = client.call("event.history", {"limit": 1000})
        assert len(answer["events"]) == 64 and "next" not in answer
        assert client.call("event.history", {"since": answer["events"][-1]["seq"]})["events"] == []
        assert client.call("event.history", {"topics": ["vm.*"]})["events"] == []
        assert len(client.call("event.history", {"limit": 1})["events"]) == 1
        for wrong in ({"limit": 0}, {"limit": 1001}, {"since": -1}, {"topics": ["x"]}):
            assert client.error("event.history", wrong).name == "InvalidParams"


# ---- snapshots ----

def read_snapshot(client):
    """Items and the number at which they were synced."""
    items = []
    while True:
        message = client.event()
        if message["method"] == "event.synced":
            assert set(message["params"]) == {"instance", "seq"}
            return items, message["params"]["seq"]
        assert message["params"]["snapshot"] is True and set(message["params"]) == EVENT | {"snapshot"}
        items.append(message["params"])


def test_a_snapshot_with_nothing_to_tell_is_synced_at_once(bare):
    with bare.connect() as client:
        answer = client.call("event.subscribe", {"topics": ["vm.*"], "snapshot": True})
        assert read_snapshot(client) == ([], answer["seq"])


def test_what_was_missed_comes_before_the_snapshot(bare):
    with bare.connect() as client:
        seq, instance = head(client)
        names = stir(client, 3)
        client.call("event.subscribe", {"topics": ["task.ended"], "instance": instance, "since": seq,
                                        "snapshot": True})
        assert [client.event()["params"]["subject"] for _ in range(3)] == names
        assert read_snapshot(client) == ([], seq + 6)


def test_a_snapshot_tells_every_image_and_running_task(agent, client, tmp_path):
    path = random_raw(tmp_path / "a.raw", 16 << 20)
    status = client.run("image.import", {"repository": "slow", "image": "source", "path": str(path),
                                         "sourceFormat": "raw"})
    assert status["status"] == "done", status
    for name in ("one", "two"):
        client.call("image.create", {"repository": "fast", "image": name, "size": 4096})
    client.call("image.copy", {"repository": "slow", "image": "source", "targetRepository": "fast",
                               "bytesPerSecond": 65536}, id="copying")
    with agent.connect() as other:
        other.call("event.subscribe", {"topics": ["image.*", "task.started", "repository.*"],
                                       "snapshot": True})
        items, synced = read_snapshot(other)
        client.call("image.create", {"repository": "fast", "image": "three", "size": 4096})
        later = other.event(lambda m: m["params"]["topic"] == "image.changed"
                            and m["params"]["data"]["image"] == "three")
        assert later["params"]["seq"] > synced and "snapshot" not in later["params"]
    images = {(item["data"]["repository"], item["data"]["image"]) for item in items
              if item["topic"] == "image.changed"}
    assert images == {("slow", "source"), ("fast", "one"), ("fast", "two"), ("fast", "source")}
    assert "copying" in {item["subject"] for item in items if item["topic"] == "task.started"}
    assert any(item["topic"].startswith("repository.") for item in items)
    client.call("task.abort", {"task": "copying"})
    client.call("task.wait", {"task": "copying"})


def test_a_snapshot_and_what_follows_miss_nothing(agent, client):
    """While images come and go, the state that a subscriber puts together is the true one."""
    with agent.connect() as other:
        pending = []
        for number in range(120):
            pending.append(client.request("image.create", {"repository": "fast", "image": f"i{number}",
                                                           "size": 4096}))
            if number == 40:
                other.request("event.subscribe", {"topics": ["image.*"], "snapshot": True})
            if number % 3 == 2:
                for id in pending:
                    assert "result" in client.wait(id)
                pending = []
                client.call("image.remove", {"repository": "fast", "image": f"i{number - 1}"})
        client.call("image.create", {"repository": "fast", "image": "last", "size": 4096})
        state, synced, newest = {}, None, 0
        while "last" not in state:
            message = other.event()
            params = message["params"]
            assert message["method"] != "event.gap"
            if message["method"] == "event.synced":
                synced = newest = params["seq"]
                continue
            if synced is not None:
                assert "snapshot" not in params and params["seq"] > newest
                newest = params["seq"]
            if params["topic"] == "image.removed":
                state.pop(params["data"]["image"], None)
            else:
                state[params["data"]["image"]] = params["data"]
        assert synced is not None
        listed = client.call("image.list", {"repository": "fast", "limit": 1000})["images"]
        assert set(state) == {image["image"] for image in listed}
