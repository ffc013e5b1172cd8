# SPDX-License-Identifier: Apache-2.0
"""Two agents on one directory: each sees what the other does, and neither undoes it."""
import time

import pytest

from rig import reader
from rig.chains import MIB, guest_writes, import_image, layers, shows
from rig.images import data_path, random_raw, same


@pytest.fixture
def pair(make_agent, tmp_path):
    """Two agents of different names, both with the repositories 'slow' and 'fast'."""
    first = make_agent("one", repositories=["slow", "fast"], name="one")
    config = "".join(f"[repository {name}]\nkind = dir\npath = {first.folder / name}\n" for name in ("slow", "fast"))
    second = make_agent("two", config=config, name="two")
    raw = random_raw(tmp_path / "web1.raw", 32 << 20)
    with first.connect() as client:
        client.run("image.import", {"repository": "slow", "image": "web1", "path": str(raw), "sourceFormat": "raw"})
    return first, second, raw


COPY = {"repository": "slow", "image": "web1", "targetRepository": "fast"}
SLOW = 256 << 10  # bytes a second: a copy that is still there whenever one looks


def resume(client):
    """At full speed: what it would go on with is as slow as what was begun."""
    client.call("image.resume", {"repository": "fast", "image": "web1"}, id="rest")
    client.hurry("rest")
    return client.call("task.wait", {"task": "rest"})


def test_another_agent_sees_a_running_copy_and_cannot_disturb_it(pair):
    first, second, raw = pair
    with first.connect() as one, second.connect() as two:
        one.call("image.copy", dict(COPY, bytesPerSecond=SLOW), id="running")
        status = two.call("image.status", {"repository": "fast", "image": "web1"})
        assert status["state"] == "broken" and status["copy"]["active"] is True
        assert status["copy"]["host"] == one.call("host.info")["hostId"] and status["copy"]["task"] == "running"
        for method in ("image.resume", "image.remove", "image.fence"):
            error = two.error(method, {"repository": "fast", "image": "web1"})
            assert error.name == "ImageInUse", error
        assert "running" in str(error.data.get("holder"))
        assert two.error("image.copy", COPY).name in ("ImageExists", "ImageInUse")
        one.hurry("running")
        assert one.call("task.wait", {"task": "running"})["status"] == "done"
        assert two.call("image.status", {"repository": "fast", "image": "web1"})["state"] == "optimized"
    assert same(data_path(first.folder / "fast", "web1"), raw)


def test_another_agent_continues_what_a_killed_one_left(pair):
    first, second, raw = pair
    with first.connect() as one:
        one.call("image.copy", dict(COPY, bytesPerSecond=SLOW), id="killed")
    first.kill()
    with second.connect() as two:
        status = two.call("image.status", {"repository": "fast", "image": "web1"})
        assert status["state"] == "broken" and status["copy"]["active"] is False
        ended = resume(two)
        assert ended["status"] == "done", ended
        assert two.call("image.status", {"repository": "fast", "image": "web1"})["generation"] == 1
    assert same(data_path(first.folder / "fast", "web1"), raw)


def test_on_crash_resume_is_done_by_the_agent_itself_without_an_owner(pair):
    first, second, raw = pair
    with first.connect() as one:
        one.call("image.copy", dict(COPY, bytesPerSecond=SLOW, onCrash="resume"), id="policy")
        assert one.call("image.status", {"repository": "fast", "image": "web1"})["copy"]["onCrash"] == "resume"
    first.restart()
    with first.connect() as one:
        deadline = time.monotonic() + 60
        while True:
            tasks = [t for t in one.call("task.list", {"method": "image.resume"})["tasks"]]
            if tasks:
                break
            assert time.monotonic() < deadline, "no task of the agent's own"
            time.sleep(0.05)
        assert len(tasks) == 1 and tasks[0]["caller"] == "agent" and len(tasks[0]["task"]) == 36
        one.hurry(tasks[0]["task"])
        assert one.call("task.wait", {"task": tasks[0]["task"]})["status"] == "done"
    assert same(data_path(first.folder / "fast", "web1"), raw)


def test_a_copy_that_was_aborted_is_not_taken_up_again_at_the_next_start(pair):
    first, _, raw = pair
    with first.connect() as one:
        one.call("image.copy", dict(COPY, bytesPerSecond=SLOW, onCrash="resume"), id="unwanted")
        one.call("task.abort", {"task": "unwanted"})
        assert one.call("task.wait", {"task": "unwanted"})["status"] == "aborted"
        assert one.call("image.status", {"repository": "fast", "image": "web1"})["copy"]["onCrash"] == "leave"
    first.restart()
    with first.connect() as one:
        assert one.call("image.status", {"repository": "fast", "image": "web1"})["copy"]["active"] is False
        assert resume(one)["status"] == "done"
    assert same(data_path(first.folder / "fast", "web1"), raw)


def test_two_agents_fight_for_one_image_and_one_wins_each_round(pair):
    first, second, _ = pair
    with first.connect() as one, second.connect() as two:
        for number in range(200):
            name = f"r{number}"
            ids = [c.request("image.create", {"repository": "fast", "image": name, "size": 65536}) for c in (one, two)]
            answers = [one.wait(ids[0]), two.wait(ids[1])]
            assert sum("result" in answer for answer in answers) == 1, answers
            assert [a["error"]["data"]["name"] for a in answers if "error" in a] == ["ImageExists"]
            ids = [c.request("image.remove", {"repository": "fast", "image": name}) for c in (one, two)]
            answers = [one.wait(ids[0]), two.wait(ids[1])]
            assert sum("result" in answer for answer in answers) == 1, answers
            assert [a["error"]["data"]["name"] for a in answers if "error" in a][0] in ("ImageNotFound", "ImageInUse")
    assert reader.images(first.folder / "fast") == [] and reader.leftovers(first.folder / "fast") == []


def test_a_second_agent_on_the_same_run_directory_is_refused(agent):
    import subprocess
    done = subprocess.run(agent.command(), capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and str(agent.run_dir) in done.stderr
    assert agent.call("host.ping") == {}


def test_two_that_change_and_remove_in_one_chain_never_change_what_it_shows(pair, tmp_path):
    """One of them makes and merges layers, both remove whatever they can: the removal of what something stands
    on must be refused at any moment, also while that something is about to stand on another."""
    first, second, _ = pair
    fast, removed = first.folder / "fast", 0
    with first.connect() as one, second.connect() as two:
        raw = import_image(one, "fast", "chain", tmp_path, "raw")
        for number in range(30):
            byte, offset = number + 1, number * 65536 % (2 * MIB)
            guest_writes(fast, "chain", byte, offset)
            with open(raw, "r+b") as file:
                file.seek(offset)
                file.write(bytes([byte]) * 65536)
            ids = [image for image in reader.images(fast) if image != "chain"]
            calls = [(two, two.request("image.snapshot", {"repository": "fast", "image": "chain", "snapshot": f"s{number}"}))]
            calls += [(client, client.request("image.remove", {"repository": "fast", "image": id}))
                      for id in ids for client in (one, two) for _ in range(3)]
            calls.append((one, one.request("image.merge", {"repository": "fast", "image": "chain"}, id=f"m{number}")))
            calls += [(one, one.request("image.remove", {"repository": "fast", "image": id})) for id in ids]
            for client, id in calls:
                reply = client.wait(id)
                if "error" in reply:
                    assert reply["error"]["data"]["name"] in (
                        "ImageInUse", "ImageHasDependents", "ImageNotFound", "WrongState"), reply
                elif id != f"m{number}":
                    removed += reply["result"] == {}
            one.call("task.wait", {"task": f"m{number}"})
            assert shows(fast, "chain", raw), number
            status = two.call("image.status", {"repository": "fast", "image": "chain"})
            assert status["state"] == "optimized", status
        names = {"chain", *reader.images(fast)}
        assert set(layers(two, "fast", "chain")) <= names and removed == 0, removed
        assert two.run("image.optimize", {"repository": "fast", "image": "chain"})["status"] == "done"
        assert shows(fast, "chain", raw)
