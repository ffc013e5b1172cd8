# SPDX-License-Identifier: Apache-2.0
"""peer.roll: each host's glusterd restarted in its turn, never two down, and nothing left to heal in between."""
import itertools
import os
import queue
import shutil
import threading

import pytest

from rig.client import TIMEOUT, RpcError
from rig.gluster import wait_for


class Sampler(threading.Thread):
    """Which hosts are down, time and again: without glusterd, or without a brick of theirs."""

    def __init__(self, pool, bricks):
        super().__init__()
        self.pool = pool
        self.bricks = bricks
        self.seen = []
        self.over = threading.Event()

    def run(self):
        while not self.over.wait(0.02):  # or it would take a processor for itself
            self.seen.append({host.name for host in self.pool.hosts
                              if not list(host.cell.processes("glusterd")) or len(host.cell.bricks()) < self.bricks})

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


class Writer(threading.Thread):
    """Writes files into a mounted volume, on and on."""

    def __init__(self, host, folder):
        super().__init__()
        self.host = host
        self.folder = folder
        self.written = {}
        self.failure = None
        self.over = threading.Event()

    def run(self):
        for number in itertools.count():
            if self.over.wait(0.1):  # or there would be more to heal than to roll
                return
            try:
                self.written |= self.host.fill(self.folder, 10, f"round{number}")
            except AssertionError as failure:
                self.failure = failure
                return

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


@pytest.fixture(scope="module")
def bricks(pool):
    """Those of the volume 'roll'; the hosts have a systemd."""
    bricks = [pool.brick(index, "roll", 0) for index in range(3)]
    pool.make_volume("roll", bricks, "replica", "3")
    for host in pool.hosts:
        host.install_systemd()
    wait_for(lambda: pool.run("volume", "heal", "roll", check=False).returncode == 0, "the self-heal daemons")
    yield bricks
    for host in pool.hosts:
        shutil.rmtree(host.path("/run/init"))
    pool.remove_volume("roll")


@pytest.fixture
def rolling_agents(make_agent, pool, bricks):
    """An agent on each host, which finds the host's systemd."""
    return [make_agent(host.name, name=host.name, wrapper=host.enter,
                       environment={"PATH": f"/run/init:{os.environ['PATH']}"}) for host in pool.hosts]


def events(client):
    """The (host, state) of each event of the roll, as they come."""
    while True:
        try:
            event = client.events.get(timeout=TIMEOUT)
        except queue.Empty:
            pytest.fail("the roll does not go on")
        if event["method"] == "event":  # and not a bookmark
            yield event["params"]["data"]["host"], event["params"]["data"]["state"]


def restart(host):
    """By somebody who is no agent."""
    host.inside("/run/init/systemctl", "restart", "glusterd.service", check=True)


def refusal(client, params):
    with pytest.raises(RpcError) as failure:
        client.call("peer.roll", params)
    return failure.value


def test_a_roll_with_files_being_written_never_has_two_down(pool, rolling_agents):
    first, second, third = pool.hosts
    folder = first.mount("roll")
    by_address = {second.address: rolling_agents[1], third.address: rolling_agents[2]}
    with rolling_agents[0].connect() as client, Sampler(pool, 1) as sampler, Writer(first, folder) as writer:
        client.call("event.subscribe", {"topics": ["peer.roll"]})
        begun = client.call("peer.roll", {"action": "restart-glusterd"}, id="roll")
        assert [(each["host"], each["state"]) for each in begun["peers"]] == [
            (second.address, "waiting"), (third.address, "waiting"), ("localhost", "waiting")]
        again = refusal(client, {"action": "confirm"})
        assert again.name == "WrongState" and again.data["state"] == "rolling"
        seen = []
        for host, state in events(client):
            seen.append((host, state))
            if state == "restarting":
                assert sampler.seen[-1] <= {first.name if host == "localhost" else None}
            if state == "restarting" and host in by_address:
                # What an engine does: that host's own agent restarts it.  Once: a peer that was due is due
                # again when something else has come in between.
                by_address.pop(host).call("peer.roll", {"peers": ["localhost"], "action": "restart-glusterd"})
            if (host, state) == ("localhost", "done"):
                break
        ended = client.call("task.wait", {"task": "roll"})
    assert ended["status"] == "done", ended
    assert [each["state"] for each in ended["result"]["peers"]] == ["done"] * 3
    assert ended["progress"]["done"] == ended["progress"]["total"] == 3
    turns = [host for host, state in seen if state == "checking"]
    assert list(dict.fromkeys(turns)) == [second.address, third.address, "localhost"]
    assert writer.failure is None and writer.written
    assert {host.name for host in pool.hosts} == set().union(*sampler.seen), "a host was never restarted"
    assert max(len(down) for down in sampler.seen) == 1, "two were down at once"
    assert first.checksums(folder) == writer.written
    first.unmount("roll")
    pool.wait_healed("roll")
    for host in pool.hosts:
        assert host.checksums("/bricks/roll-0") == writer.written


def test_a_roll_waits_until_a_peer_is_healed(pool, rolling_agents):
    first, second, _ = pool.hosts
    folder = first.mount("roll")
    with rolling_agents[0].connect() as client:
        client.call("event.subscribe", {"topics": ["peer.roll"]})
        client.call("peer.roll", {"peers": [second.address, "localhost"], "action": "confirm"}, id="slow")
        for host, state in events(client):
            if (host, state) == (second.address, "restarting"):
                # Down for long enough to miss something.
                for pid in [*second.cell.bricks().values(), *(pid for pid, _ in second.cell.processes("glusterd"))]:
                    os.kill(pid, 9)
                first.fill(folder, 100, "missed")
                second.start_glusterd()
            if (host, state) == (second.address, "done"):
                healing = client.call("volume.healInfo", {"volume": "roll", "fresh": True, "limit": 0})["bricks"]
                assert [(each["connected"], each["entries"]) for each in healing] == [(True, 0)] * 3
            if (host, state) == ("localhost", "restarting"):
                break
        assert second.checksums("/bricks/roll-0") == first.checksums("/bricks/roll-0")
        # Killed here: nothing but the caller knows what is left to do.
        rolling_agents[0].restart()
    first.unmount("roll")
    with rolling_agents[0].connect() as client:
        assert [each["task"] for each in client.call("task.list")["tasks"]] == []
        client.call("event.subscribe", {"topics": ["peer.roll"]})
        client.call("peer.roll", {"peers": ["localhost"], "action": "confirm"}, id="rest")
        assert next(state for host, state in events(client) if state == "restarting")
        shown = client.call("task.status", {"task": "rest"})
        assert shown["result"]["peers"][0]["state"] in ("checking", "restarting")
        restart(first)
        assert client.call("task.wait", {"task": "rest"})["status"] == "done"


def test_a_pool_that_is_not_well_is_not_rolled(pool, bricks, rolling_agents, make_agent):
    with rolling_agents[0].connect() as client:
        unknown = refusal(client, {"action": "confirm", "peers": ["10.77.2.99"]})
        assert unknown.name == "NotFound" and (unknown.data["kind"], unknown.data["id"]) == ("peer", "10.77.2.99")
        twice = refusal(client, {"action": "confirm", "peers": ["localhost", "localhost"]})
        assert twice.name == "InvalidParams" and twice.data["param"] == "peers"
        client.call("peer.roll", {"action": "confirm", "timeoutMs": 1000}, id="impatient")
        ended = client.call("task.wait", {"task": "impatient"})
        assert ended["status"] == "failed" and ended["error"]["data"]["name"] == "Timeout", ended

        pool.kill_brick(bricks[1])
        pool.wait_dead("roll", 2)
        lame = refusal(client, {"action": "confirm"})
        assert lame.name == "WrongState" and bricks[1] in lame.data["state"]
        pool.restart_bricks("roll", 3)
        pool.hosts[2].kill_glusterd()
        wait_for(lambda: not all(each["connected"] for each in client.call("peer.list", {"fresh": True})["peers"]),
                 "the loss of a peer")
        lame = refusal(client, {"action": "confirm"})
        assert lame.name == "WrongState" and pool.hosts[2].address in lame.data["state"]
        pool.hosts[2].start_glusterd()
        pool.wait_connected()
        pool.wait_online("roll", 3)
    bare = make_agent("bare", wrapper=pool.hosts[0].enter)
    with bare.connect() as client:
        refused = refusal(client, {"action": "restart-glusterd", "peers": ["localhost"]})
        assert refused.name == "BackendUnavailable" and refused.data["backend"] == "systemd"
