# SPDX-License-Identifier: Apache-2.0
"""Tasks: ids that callers choose, conflicts, reuse, once, abort, throttle, lists, retention."""
import uuid

import pytest

from rig.gluster import wait_for
from rig.images import random_raw

SLOW = 256 << 10  # bytes a second: a copy of 64 MiB that nobody has to wait for


@pytest.fixture
def source(agent, client, tmp_path):
    """A 64 MiB image 'web1' in 'slow'."""
    path = random_raw(tmp_path / "web1.raw", 64 << 20)
    status = client.run("image.import", {"repository": "slow", "image": "web1", "path": str(path),
                                         "sourceFormat": "raw"})
    assert status["status"] == "done", status
    return path


def slow_copy(client, id, target="web1", **more):
    """Starts a throttled copy under 'id' and returns its early answer."""
    return client.call("image.copy", {"repository": "slow", "image": "web1", "targetRepository": "fast",
                                      "targetImage": target, "bytesPerSecond": SLOW, **more}, id=id)


def finish(client, id):
    """Lets the copy run at full speed to its end."""
    client.hurry(id)
    return client.call("task.wait", {"task": id})


def test_an_id_in_use_answers_with_the_status_of_its_task(agent, client, source):
    assert slow_copy(client, "nightly-7") == {"repository": "fast", "image": "web1"}
    with agent.connect() as other:
        error = other.error("image.copy", {"repository": "slow", "image": "web1", "targetRepository": "fast",
                                           "targetImage": "web2"}, id="nightly-7")
        assert error.name == "TaskIdInUse"
        assert error.data["task"]["task"] == "nightly-7" and error.data["task"]["status"] == "running"
        assert error.data["task"]["method"] == "image.copy"
        assert other.error("image.status", {"repository": "fast", "image": "web2"}).name == "ImageNotFound"
        assert other.error("host.ping", id="nightly-7").name == "TaskIdInUse"
    assert finish(client, "nightly-7")["status"] == "done"


def test_an_id_is_free_again_when_its_task_has_ended(client, source):
    slow_copy(client, "again", "one")
    assert finish(client, "again")["result"] == {"repository": "fast", "image": "one"}
    slow_copy(client, "again", "two")
    assert finish(client, "again")["result"] == {"repository": "fast", "image": "two"}
    assert client.call("task.status", {"task": "again"})["object"]["id"] == "two"


def test_number_ids_are_private_to_their_connection(agent, client, source):
    slow_copy(client, 7, "a")
    with agent.connect() as other:
        slow_copy(other, 7, "b")
        shown = {task["task"] for task in client.call("task.list", {"status": "running"})["tasks"]}
        assert len(shown) == 2 and all(name.endswith(":7") for name in shown)
        assert client.call("task.status", {"task": 7})["object"]["id"] == "a"
        assert other.call("task.status", {"task": 7})["object"]["id"] == "b"
        for name in shown:
            assert other.call("task.status", {"task": name})["task"] == name
        error = other.error("host.ping", id=7)
        assert error.name == "TaskIdInUse" and error.data["task"]["object"]["id"] == "b"
        client.call("host.ping", id="7")  # the string is another id
        for name in shown:
            finish(client, name)


def test_task_id_in_the_parameters_wins_over_the_request_id(client, source):
    reply = client.wait(client.request("image.copy", {
        "repository": "slow", "image": "web1", "targetRepository": "fast", "bytesPerSecond": SLOW,
        "taskId": "named"}, id="carrier"))
    assert reply["id"] == "carrier" and reply["result"]["image"] == "web1"
    assert client.error("task.status", {"task": "carrier"}).name == "TaskNotFound"
    assert finish(client, "named")["task"] == "named"


def test_once_joins_the_running_task_and_repeats_the_ended_ones_answer(agent, client):
    create = {"repository": "fast", "image": "solo", "size": 1 << 20, "once": True}
    first = client.call("image.create", create, id="make-solo")
    assert first["generation"] == 1
    with agent.connect() as other:
        assert other.call("image.create", create, id="make-solo") == first
    assert client.error("image.create", dict(create, once=False), id="make-solo").name == "ImageExists"
    # now the remembered answer is that error
    assert client.error("image.create", create, id="make-solo").name == "ImageExists"


def test_a_lost_reply_is_had_by_sending_the_call_again(agent, source):
    copy = {"repository": "slow", "image": "web1", "targetRepository": "fast", "bytesPerSecond": SLOW,
            "once": True}
    with agent.connect() as lost:
        lost.request("image.copy", copy, id="lost")
    with agent.connect() as client:
        assert client.call("image.copy", copy, id="lost") == {"repository": "fast", "image": "web1"}
        assert finish(client, "lost")["status"] == "done"
        assert client.call("image.copy", copy, id="lost") == {"repository": "fast", "image": "web1"}
        assert client.call("image.status", {"repository": "fast", "image": "web1"})["generation"] == 1


def test_a_connection_that_closes_takes_no_task_with_it(agent, client, source):
    with agent.connect() as gone:
        slow_copy(gone, "orphan")
    assert client.call("task.status", {"task": "orphan"})["status"] == "running"
    assert finish(client, "orphan")["status"] == "done"


def test_an_aborted_copy_leaves_a_truthful_image_that_can_be_resumed(client, source):
    slow_copy(client, "stop-me")
    status = client.call("task.abort", {"task": "stop-me"})
    assert status["status"] in ("aborting", "aborted")
    ended = client.call("task.wait", {"task": "stop-me"})
    assert ended["status"] == "aborted" and ended["responded"] is True
    assert ended["error"]["data"]["name"] == "TaskAborted"
    image = client.call("image.status", {"repository": "fast", "image": "web1"})
    assert image["state"] == "broken" and image["copy"]["active"] is False
    assert client.error("task.abort", {"task": "stop-me"}).name == "TaskNotActive"
    client.call("image.resume", {"repository": "fast", "image": "web1"}, id="rest")
    assert finish(client, "rest")["status"] == "done"
    assert client.call("image.status", {"repository": "fast", "image": "web1"})["state"] == "optimized"


def test_abort_of_a_call_that_was_not_answered_answers_task_aborted(agent, client, source):
    slow_copy(client, "long")
    waiting = client.request("task.wait", {"task": "long"}, id="waiter")
    with agent.connect() as other:
        other.call("task.abort", {"task": "waiter"})
    assert client.wait(waiting)["error"]["data"]["name"] == "TaskAborted"
    finish(client, "long")


def test_wait_answers_when_the_task_ends_and_times_out_when_it_does_not(client, source):
    slow_copy(client, "watched")
    error = client.error("task.wait", {"task": "watched", "timeoutMs": 50})
    assert error.name == "Timeout"
    waiting = client.request("task.wait", {"task": "watched"})
    client.hurry("watched")
    assert client.wait(waiting)["result"]["status"] == "done"
    assert client.call("task.wait", {"task": "watched"})["status"] == "done"
    assert client.error("task.throttle", {"task": "watched", "bytesPerSecond": 1}).name == "TaskNotActive"
    assert client.error("task.throttle", {"task": "watched", "bytesPerSecond": -1}).name == "InvalidParams"
    assert client.error("task.wait", {"task": "nobody"}).name == "TaskNotFound"


def test_a_status_shows_the_steps_and_their_outcomes(client, source):
    slow_copy(client, "shown")
    running = client.call("task.status", {"task": "shown"})
    assert running["instance"] == client.call("host.info")["instance"]
    assert running["method"] == "image.copy" and running["caller"] == "uid:0"
    assert running["object"] == {"kind": "image", "repository": "fast", "id": "web1"}
    assert running["created"] and running["started"] and running["ended"] is None
    assert "running" in [step["outcome"] for step in running["steps"]]
    ended = finish(client, "shown")
    assert ended["progress"]["done"] == ended["progress"]["total"] == 64 << 20
    assert ended["progress"]["unit"] == "bytes"
    outcomes = {step["name"]: step["outcome"] for step in ended["steps"]}
    assert "complete" in outcomes.values() and "running" not in outcomes.values()
    assert client.call("getTaskStatus", {"task": "shown"})["task"] == "shown"


def test_a_list_pages_newest_first_without_losing_or_repeating(client):
    for number in range(25):
        client.call("image.create", {"repository": "fast", "image": f"i{number}", "size": 4096},
                    id=f"page-{number:02}")
    seen, after = [], None
    while True:
        page = client.call("task.list", {"idPrefix": "page-", "limit": 7, **({"after": after} if after else {})})
        seen += [task["task"] for task in page["tasks"]]
        # what begins while one pages does not shift the pages
        client.call("image.create", {"repository": "fast", "image": str(uuid.uuid4()), "size": 4096})
        after = page.get("next")
        if not after:
            break
    assert seen == [f"page-{number:02}" for number in reversed(range(25))]
    assert [t["task"] for t in client.call("task.list", {"object": "i3"})["tasks"]] == ["page-03"]
    assert client.call("task.list", {"method": "image.copy"})["tasks"] == []
    assert client.error("task.list", {"limit": 0}).name == "InvalidParams"


def test_reads_leave_no_history_and_no_events(agent, client):
    client.call("event.subscribe", {"topics": ["task.*"]})
    with agent.connect() as other:
        other.call("image.list", {"repository": "fast"}, id="just-reading")
        assert other.error("task.status", {"task": "just-reading"}).name == "TaskNotFound"
        other.call("image.create", {"repository": "fast", "image": "x", "size": 4096}, id="changing")
    started = client.event()
    assert started["params"]["topic"] == "task.started" and started["params"]["subject"] == "changing"


def test_ended_tasks_fade_by_count_and_by_age(make_agent):
    agent = make_agent("few", repositories=["fast"], arguments=["--task-history", "3"])
    with agent.connect() as client:
        for number in range(5):
            client.call("image.create", {"repository": "fast", "image": f"i{number}", "size": 4096},
                        id=f"t{number}")
        names = [task["task"] for task in client.call("task.list")["tasks"]]
        assert names == ["t4", "t3", "t2"]
        assert client.error("task.status", {"task": "t0"}).name == "TaskNotFound"
    agent = make_agent("brief", repositories=["fast"], arguments=["--task-retention", "1"])
    with agent.connect() as client:
        client.call("image.create", {"repository": "fast", "image": "i", "size": 4096}, id="t")
        wait_for(lambda: not client.call("task.list")["tasks"], "ended tasks to fade by age")


def test_a_restart_forgets_tasks_and_has_a_new_instance(agent):
    with agent.connect() as client:
        before = client.call("host.info")["instance"]
        client.call("image.create", {"repository": "fast", "image": "kept", "size": 4096}, id="forgotten")
    agent.restart()
    with agent.connect() as client:
        assert client.call("host.info")["instance"] != before
        assert client.error("task.status", {"task": "forgotten"}).name == "TaskNotFound"
        assert client.call("image.status", {"repository": "fast", "image": "kept"})["state"] == "optimized"


def test_tasks_in_flight_per_connection_are_limited(make_agent, tmp_path):
    agent = make_agent(repositories=["fast"], config="[limits]\nconnection-tasks = 2\n")
    with agent.connect() as client, agent.connect() as other:
        path = random_raw(tmp_path / "x.raw", 16 << 20)
        client.run("image.import", {"repository": "fast", "image": "x", "path": str(path), "sourceFormat": "raw"})
        client.call("image.copy", {"repository": "fast", "image": "x", "targetRepository": "fast",
                                   "targetImage": "y", "bytesPerSecond": 65536}, id="held")
        client.request("task.wait", {"task": "held"}, id="w1")
        error = client.error("host.ping")
        assert error.name == "LimitExceeded" and error.data["max"] == 2
        other.call("task.abort", {"task": "held"})
        client.wait("w1")
        client.call("host.ping")


def test_calls_that_change_are_rate_limited_per_caller(make_agent):
    agent = make_agent(repositories=["fast"], config="[limits]\ncaller-rate = 2\n")
    with agent.connect() as client:
        errors = []
        for number in range(12):
            reply = client.wait(client.request("image.create", {"repository": "fast", "image": f"i{number}",
                                                                "size": 4096}))
            if "error" in reply:
                errors.append(reply["error"]["data"])
        assert errors and all(e["name"] == "RateLimited" and e["retryAfterMs"] > 0 for e in errors)
        assert client.call("host.ping") == {}
