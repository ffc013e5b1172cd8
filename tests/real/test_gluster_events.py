# SPDX-License-Identifier: Apache-2.0
"""What happens to volumes and peers is an event on every host, whoever did it and however; and what nobody
listens to costs nothing."""
import re
import subprocess
import time

import pytest

from rig.gluster import wait_for

TOPICS = ["volume.*", "peer.*", "host.backend"]


@pytest.fixture
def listeners(agents):
    for client in agents:
        wait_for(lambda client=client: backend(client)["state"] == "available", "glusterd")
        client.call("event.subscribe", {"topics": TOPICS})
    forget(agents)
    return agents


@pytest.fixture(scope="module")
def replica(pool):
    bricks = [pool.brick(index, "events", 0) for index in range(3)]
    pool.make_volume("events", bricks, "replica", "3")
    yield bricks
    pool.remove_volume("events")


def backend(client):
    return next(each for each in client.call("host.info")["backends"] if each["backend"] == "gluster")


def forget(clients):
    """What they were told so far."""
    for client in clients:
        while not client.events.empty():
            client.events.get()
        client.told = []


def heard(client, topic, subject, match):
    """The data of an event that matches, since forget(): which of two changes is told first is not said."""
    found = []

    def came():
        while not client.events.empty():
            event = client.events.get()
            assert event is not None, "the connection closed"
            if event["method"] == "event":
                client.told.append(event["params"])
        found.extend(event["data"] for event in client.told if event["topic"] == topic
                     and event["subject"] == subject and match(event["data"]))
        return found
    wait_for(came, f"{topic} of {subject}")
    return found[0]


def questions(agent):
    text = subprocess.run(["curl", "-sS", "--unix-socket", str(agent.socket), "http://localhost/metrics"],
                          capture_output=True, text=True, check=True).stdout
    return int(re.search(r"^hostler_gluster_questions_total (\d+)$", text, re.MULTILINE).group(1))


def settle(agents, seconds=3):
    """Until none of them has asked for so long."""
    counts, since = None, time.monotonic()

    def quiet():
        nonlocal counts, since
        now = [questions(agent) for agent in agents]
        if now != counts:
            counts, since = now, time.monotonic()
        return time.monotonic() - since > seconds
    wait_for(quiet, "the end of the questions")
    return counts


def test_the_version_is_told(agents):
    wait_for(lambda: backend(agents[0])["version"], "the version")
    assert re.fullmatch(r"\d+\.\d+.*", backend(agents[0])["version"])


def test_each_change_of_a_volume_is_told_on_every_host(pool, listeners):
    pool.run("volume", "create", "life", pool.brick(0, "life", 0), pool.brick(1, "life", 1), "force")
    for client in listeners:
        told = heard(client, "volume.changed", "life", lambda data: True)
        assert told["state"] == "created" and told["type"] == "distribute" and len(told["bricks"]) == 2
    pool.hosts[1].run("volume", "set", "life", "user.note", "hello")
    for client in listeners:
        heard(client, "volume.changed", "life", lambda data: data["options"].get("user.note") == "hello")
    pool.hosts[2].run("volume", "start", "life")
    for client in listeners:
        heard(client, "volume.changed", "life",
              lambda data: data["state"] == "started" and data["offline"] == [])
    pool.run("volume", "stop", "life")
    for client in listeners:
        heard(client, "volume.changed", "life", lambda data: data["state"] == "stopped")
    pool.run("volume", "delete", "life")
    for client in listeners:
        told = heard(client, "volume.changed", "life", lambda data: data["state"] == "deleted")
        assert told == {"volume": "life", "state": "deleted"}
    for host in pool.hosts:
        host.inside("sh", "-c", "rm -rf /bricks/life-*", check=True)


def test_a_dead_brick_is_told_on_every_host(replica, pool, listeners):
    pool.kill_brick(replica[0])
    for client in listeners:  # where it ran at once, elsewhere by looking
        told = heard(client, "volume.changed", "events", lambda data: data["offline"])
        assert told["offline"] == [replica[0]] and told["state"] == "started"
    forget(listeners)
    pool.restart_bricks("events", 3)
    for client in listeners:
        heard(client, "volume.changed", "events", lambda data: data["offline"] == [])


def test_a_dead_glusterd_is_told_here_and_elsewhere(replica, pool, listeners):
    first, _, third = listeners
    peer = next(each["peer"] for each in third.call("peer.list")["peers"] if each["here"])
    pool.hosts[2].kill_glusterd()
    heard(third, "host.backend", "gluster", lambda data: data["state"] == "unavailable")
    for client in listeners[:2]:
        told = heard(client, "peer.changed", peer, lambda data: not data["connected"])
        assert told["host"] == pool.hosts[2].address
        heard(client, "volume.changed", "events", lambda data: data["offline"] == [replica[2]])
    # What the others do meanwhile is told when it is back.
    pool.run("volume", "set", "events", "user.note", "meanwhile")
    heard(first, "volume.changed", "events", lambda data: data["options"].get("user.note") == "meanwhile")
    forget(listeners)
    pool.hosts[2].start_glusterd()
    heard(third, "host.backend", "gluster", lambda data: data["state"] == "available")
    heard(third, "volume.changed", "events", lambda data: data["options"].get("user.note") == "meanwhile")
    for client in listeners[:2]:
        heard(client, "peer.changed", peer, lambda data: data["connected"])
        heard(client, "volume.changed", "events", lambda data: data["offline"] == [])
    pool.wait_connected()
    pool.wait_online("events", 3)


def test_what_is_there_is_told_first_also_by_a_new_agent(replica, pool, host_agents):
    host_agents[1].restart()
    with host_agents[1].connect() as client:
        wait_for(lambda: backend(client)["state"] == "available", "glusterd")
        client.call("event.subscribe", {"topics": ["volume.changed", "peer.changed"], "snapshot": True})
        client.told = []
        told = heard(client, "volume.changed", "events", lambda data: True)
        assert told["state"] == "started" and len(told["bricks"]) == 3
        pool.run("volume", "set", "events", "user.note", "restarted")
        heard(client, "volume.changed", "events", lambda data: data["options"].get("user.note") == "restarted")


def test_nothing_is_asked_while_nothing_happens_and_nobody_listens(replica, pool, host_agents):
    with host_agents[0].connect() as client:
        client.call("event.subscribe", {"topics": ["image.*", "task.*"]})  # not these
        counts = settle(host_agents, 12)  # longer than any period
        # A change is asked for nevertheless, so that who comes later finds it in the ring.
        pool.run("volume", "set", "events", "user.note", "alone")
        wait_for(lambda: any(event["data"]["options"].get("user.note") == "alone" for event in client.call(
            "event.history", {"topics": ["volume.changed"]})["events"]), "the event")
        assert questions(host_agents[0]) - counts[0] <= 6


def test_the_end_of_a_rebalance_that_nobody_follows_is_in_the_ring(pool, host_agents):
    pool.make_volume("moved", [pool.brick(index, "moved", 0) for index in range(2)])
    folder = pool.hosts[0].mount("moved")
    pool.hosts[0].fill(folder, 200)
    pool.hosts[0].unmount("moved")
    pool.run("volume", "add-brick", "moved", pool.brick(2, "moved", 0), "force")
    pool.run("volume", "rebalance", "moved", "start", "force")
    for agent in host_agents:
        with agent.connect() as client:

            def statuses(client=client):
                return [event["data"]["status"] for event in client.call(
                    "event.history", {"topics": ["volume.operation"]})["events"] if event["subject"] == "moved"]
            # A host that had nothing to move may call it failed: what is told is what glusterd says.
            wait_for(lambda: statuses()[-1:] in (["completed"], ["failed"]), "the end of the rebalance")
            told = client.call("volume.operations", {"volume": "moved", "fresh": True})["operations"]
            assert [each["status"] for each in told] == statuses()[-1:]
    pool.remove_volume("moved")


def test_anybodys_datagrams_are_hints_at_most_once_a_second(replica, pool, host_agents):
    """And no more: what they say is not believed, and what is none is ignored."""
    counts = settle(host_agents)
    script = """
import socket, sys, time
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end = time.monotonic() + 3
while time.monotonic() < end:
    for text in (b"", b"x", b"1 2", b"1 99999 x", b"-1 2 x", b"1 76 volume=none;brick=/x", b"\\xff" * 9000):
        one.sendto(text, ("127.0.0.1", 55555))
"""
    pool.hosts[0].inside("/usr/bin/python3", "-c", script, check=True)
    grown = settle(host_agents)
    assert 3 <= grown[0] - counts[0] <= 4 * (3 + 3)  # four questions
    with host_agents[0].connect() as client:
        assert client.call("event.history", {"topics": ["volume.changed"]})["events"] == []


def test_glustereventsd_gets_its_port_and_is_heard_by_its_log(replica, pool, host_agents):
    host = pool.hosts[0]

    def owner():
        return host.inside("ss", "-Hulnp", "sport", "=", ":55555").stdout
    server = subprocess.Popen([*host.enter, "glustereventsd"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: "glustereventsd" in owner(), "its port")
        assert "hostlerd" not in owner()
        with host_agents[0].connect() as client:
            client.call("event.subscribe", {"topics": ["volume.*"]})
            forget([client])
            pool.kill_brick(replica[0])
            heard(client, "volume.changed", "events", lambda data: data["offline"] == [replica[0]])
            forget([client])
            pool.restart_bricks("events", 3)
            heard(client, "volume.changed", "events", lambda data: data["offline"] == [])
    finally:
        host.inside("pkill", "-KILL", "-x", "glustereventsd")
        server.wait()
        host.inside("rm", "-f", "/run/glustereventsd.pid")
    with host_agents[0].connect() as client:  # it is taken again when somebody is interested
        client.call("event.subscribe", {"topics": ["volume.*"]})
        wait_for(lambda: "hostlerd" in owner(), "the port's return")
