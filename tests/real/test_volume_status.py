# SPDX-License-Identifier: Apache-2.0
"""volume.status: what glusterd tells of bricks, space and services, whoever asks, and how often it is asked."""
import concurrent.futures
import json
import re
import subprocess
import time

import pytest

from rig.gluster import wait_for


@pytest.fixture(scope="module")
def replica(pool):
    bricks = [pool.brick(index, "status", 0) for index in range(3)]
    pool.make_volume("status", bricks, "replica", "3")
    yield bricks
    pool.remove_volume("status")


def status(client, volume="status", **params):
    answer = client.call("volume.status", {"volume": volume, **params})
    assert len(answer["volumes"]) == 1
    return answer["volumes"][0]


def online(client, **params):
    return {brick["brick"]: brick["online"] for brick in status(client, fresh=True, **params)["bricks"]}


def figures(agent):
    text = subprocess.run(["curl", "-sS", "--unix-socket", str(agent.socket), "http://localhost/metrics"],
                          capture_output=True, text=True, check=True).stdout
    return [int(re.search(rf"^hostler_gluster_{name}_total (\d+)$", text, re.MULTILINE).group(1))
            for name in ("questions", "answers")]


def test_every_host_tells_the_same_of_a_healthy_volume(replica, pool, agents):
    wait_for(lambda: len(status(agents[0], fresh=True)["services"]) == 3, "the self-heal daemons")
    told = [status(client, fresh=True) for client in agents]
    for one in told:
        assert (one["volume"], one["type"], one["state"]) == ("status", "replicate", "started")
        assert {brick["brick"]: brick["pid"] for brick in one["bricks"]}.keys() == set(replica)
        for brick in one["bricks"]:
            assert brick["online"] is True and brick["port"] > 1024
            assert brick["fileSystem"] == "tmpfs" and "rw" in brick["mountOptions"].split(",")
            assert brick["capacity"] >= brick["free"] > 0 and brick["inodes"] >= brick["freeInodes"] > 0
        assert one["capacity"] == min(brick["capacity"] for brick in one["bricks"])
        assert sorted((each["service"], each["host"], each["online"]) for each in one["services"]) \
            == [("selfHeal", host.address, True) for host in pool.hosts]
        assert one["tasks"] == []
    assert [[brick["pid"] for brick in one["bricks"]] for one in told[1:]] \
        == [[brick["pid"] for brick in told[0]["bricks"]]] * 2


def test_a_stopped_volume_is_told_with_its_bricks_offline(replica, pool, agents):
    pool.run("volume", "stop", "status")
    try:
        told = status(agents[1], fresh=True)
        assert told["state"] == "stopped" and told["capacity"] is None and told["services"] == []
        assert [brick["online"] for brick in told["bricks"]] == [False] * 3
    finally:
        pool.run("volume", "start", "status")
        pool.wait_online("status", 3)


def test_an_unknown_volume_is_not_found_and_a_new_one_is(replica, pool, agents):
    error = agents[0].error("volume.status", {"volume": "late"})
    assert (error.name, error.data["kind"], error.data["id"]) == ("NotFound", "volume", "late")
    pool.run("volume", "create", "late", pool.brick(0, "late", 0), "force")
    try:  # although what is known is younger than a second
        assert status(agents[0], "late")["state"] == "created"
        assert [each["volume"] for each in agents[0].call("volume.status")["volumes"]] == ["late", "status"]
    finally:
        pool.run("volume", "delete", "late")


def test_a_dead_brick_is_offline_and_that_of_a_dead_host_unknown(replica, pool, agents):
    pool.kill_brick(replica[0])
    wait_for(lambda: online(agents[1])[replica[0]] is False, "the loss of a brick")
    pool.restart_bricks("status", 3)
    wait_for(lambda: online(agents[1])[replica[0]] is True, "the brick's return")
    pool.hosts[2].kill_glusterd()
    wait_for(lambda: online(agents[0])[replica[2]] is None, "the loss of a host")
    assert online(agents[0]) == {replica[0]: True, replica[1]: True, replica[2]: None}
    told = status(agents[0])
    assert told["capacity"] > 0 and {each["host"] for each in told["services"]} \
        == {host.address for host in pool.hosts[:2]}
    error = agents[2].error("volume.status", {"fresh": True})
    assert error.name == "BackendUnavailable"
    pool.hosts[2].start_glusterd()
    pool.wait_connected()
    wait_for(lambda: set(online(agents[0]).values()) == {True}, "the host's return")


def test_thousands_of_polls_are_one_question_a_second(replica, agents, host_agents):
    """By 20 connections, 50 calls at a time on each."""
    agents[0].call("volume.status", {"fresh": True})
    asked, given = figures(host_agents[0])
    polls, enough, seconds = [], 2000, 4.0
    begun = time.monotonic()

    def poll(_):
        answers = set()
        with host_agents[0].connect() as client:
            while time.monotonic() < begun + seconds or len(polls) < enough:
                for answer in [client.request("volume.status") for _ in range(50)]:
                    reply = client.wait(answer)["result"]
                    assert reply["ageMs"] < 10000
                    answers.add(reply["asked"])
                    polls.append(answer)
        return answers
    with concurrent.futures.ThreadPoolExecutor(20) as clients:
        answers = set.union(*clients.map(poll, range(20)))
    lasted = time.monotonic() - begun
    now_asked, now_given = figures(host_agents[0])
    assert now_given - given >= len(polls) >= enough
    # Nobody but these asks; a question waits for the answer before to be a second old.
    assert 1 <= now_asked - asked <= lasted + 1
    assert len(answers) <= now_asked - asked + 1


def test_fresh_is_asked_for_each_and_shared_by_those_who_wait(replica, pool, agents, host_agents):
    asked, _ = figures(host_agents[0])
    for _ in range(3):
        before = agents[0].call("volume.status")["asked"]
        assert agents[0].call("volume.status", {"fresh": True})["asked"] > before
    assert figures(host_agents[0])[0] >= asked + 3
    asked, _ = figures(host_agents[0])
    with host_agents[0].connect() as other:
        pool.hosts[0].pause_glusterd()  # or some would come when the first have their answers
        try:
            waiting = [(client, client.request("volume.status", {"fresh": True}))
                       for _ in range(100) for client in (agents[0], other)]
            for client in (agents[0], other):
                assert client.call("host.ping") == {}
        finally:
            pool.hosts[0].pause_glusterd(False)
        for client, request in waiting:
            assert "result" in client.wait(request)
    # The first is under way while the others come; those all wait for the second, or the third.
    assert figures(host_agents[0])[0] - asked <= 3


def test_all_hosts_may_ask_at_the_same_time(replica, agents):
    """Each question is a transaction of the whole pool, of which glusterd runs one at a time a volume."""
    for _ in range(3):
        waiting = [client.request("volume.status", {"fresh": True}) for client in agents]
        for client, request in zip(agents, waiting):
            reply = client.wait(request)
            assert "result" in reply, json.dumps(reply)
            bricks = reply["result"]["volumes"][0]["bricks"]
            assert [brick["online"] for brick in bricks] == [True] * 3
