# SPDX-License-Identifier: Apache-2.0
"""volume.create, start, stop and delete: every kind of volume on three hosts, and all that goes wrong."""
import contextlib
import itertools

import pytest

from rig.gluster import wait_for

numbers = itertools.count(1)

KINDS = [  # bricks, what is said, what volume.list tells then
    (3, {}, ("distribute", 3, 0, 0, 0, 0)),
    (3, {"replica": 3}, ("replicate", 1, 3, 0, 0, 0)),
    (6, {"replica": 3, "arbiter": 1}, ("distributed-replicate", 2, 3, 1, 0, 0)),
    (6, {"disperse": 3}, ("distributed-disperse", 2, 0, 0, 3, 1)),
    (6, {"redundancy": 2, "force": True}, ("disperse", 1, 0, 0, 6, 2)),
]


@pytest.fixture
def name(pool):
    """Of a volume that is gone at the end, with its bricks."""
    volume = f"life{next(numbers)}"
    yield volume
    pool.run("volume", "stop", volume, "force", check=False)
    pool.run("volume", "delete", volume, check=False)
    for host in pool.hosts:
        host.inside("sh", "-c", f"rm -rf /bricks/{volume}-*", check=True)


def bricks_of(pool, name, count):
    """The hosts by turns."""
    return [pool.brick(number % 3, name, number) for number in range(count)]


def listed(client, name):
    volumes = client.call("volume.list", {"fresh": True})["volumes"]
    return next((each for each in volumes if each["volume"] == name), None)


@pytest.mark.parametrize("count, said, told", KINDS)
def test_each_kind_of_volume_lives_and_dies(pool, agents, name, count, said, told):
    bricks = bricks_of(pool, name, count)
    made = agents[0].call("volume.create", {"volume": name, "bricks": bricks, **said})
    members = ("type", "distribute", "replica", "arbiter", "disperse", "redundancy")
    assert tuple(made[member] for member in members) == told
    assert made["state"] == "created" and [each["brick"] for each in made["bricks"]] == bricks
    assert listed(agents[1], name) == made
    started = agents[1].call("volume.start", {"volume": name})
    assert started == {**made, "state": "started"}
    pool.wait_online(name, count)
    stopped = agents[2].call("volume.stop", {"volume": name})
    assert stopped == {**made, "state": "stopped"}
    assert agents[0].call("volume.delete", {"volume": name}) == {}
    assert listed(agents[1], name) is None


def test_a_volume_made_and_started_in_one_call_holds_data(pool, agents, name):
    params = {"volume": name, "bricks": bricks_of(pool, name, 3), "replica": 3, "start": True}
    assert agents[0].call("volume.create", params)["state"] == "started"
    pool.wait_online(name, 3)
    first = pool.hosts[0]
    folder = first.mount(name)
    try:
        written = first.fill(folder, 20)
        assert first.checksums(folder) == written
    finally:
        first.unmount(name)
    assert pool.hosts[2].checksums(f"/bricks/{name}-2") == written


def test_a_call_made_again_is_told_what_is_already_so(pool, agents, name):
    params = {"volume": name, "bricks": bricks_of(pool, name, 3), "replica": 3, "transport": "tcp"}
    agents[0].call("volume.create", params)
    again = agents[1].error("volume.create", params)
    assert again.name == "AlreadyExists" and (again.data["kind"], again.data["id"]) == ("volume", name)
    agents[0].call("volume.start", {"volume": name})
    again = agents[1].error("volume.start", {"volume": name})
    assert again.name == "WrongState" and (again.data["state"], again.data["needs"]) == ("started", "stopped")
    started = agents[2].error("volume.delete", {"volume": name})
    assert started.name == "WrongState" and started.data["needs"] == "stopped"
    agents[0].call("volume.stop", {"volume": name, "force": True})
    again = agents[1].error("volume.stop", {"volume": name})
    assert again.name == "WrongState" and (again.data["state"], again.data["needs"]) == ("stopped", "started")
    agents[0].call("volume.delete", {"volume": name})
    again = agents[1].error("volume.delete", {"volume": name})
    assert again.name == "NotFound" and (again.data["kind"], again.data["id"]) == ("volume", name)


def test_a_dead_brick_is_started_by_force(pool, agents, name):
    bricks = bricks_of(pool, name, 3)
    agents[0].call("volume.create", {"volume": name, "bricks": bricks, "replica": 3, "start": True})
    pool.wait_online(name, 3)
    before = pool.brick_pids(name)
    pool.kill_brick(bricks[1])
    wait_for(lambda: set(pool.brick_pids(name)) == {bricks[0], bricks[2]}, "the death of a brick")
    assert agents[0].call("volume.start", {"volume": name, "force": True})["state"] == "started"
    pool.wait_online(name, 3)
    after = pool.brick_pids(name)
    assert after[bricks[0]] == before[bricks[0]] and after[bricks[1]] != before[bricks[1]]


def test_unknown_volumes_are_not_found(agents):
    for verb in ("volume.start", "volume.stop", "volume.delete"):
        error = agents[0].error(verb, {"volume": "nosuch"})
        assert error.name == "NotFound" and error.data["id"] == "nosuch", verb


def test_what_makes_no_sense_is_refused_by_the_parameter_that_is_wrong(pool, agents):
    bricks = bricks_of(pool, "bad", 3)
    alone = [pool.brick(0, "bad", number) for number in range(3)]
    for params, param, reason in [
            ({"volume": "b.d", "bricks": bricks}, "volume", "not '.'"),
            ({"volume": "bad", "bricks": bricks[:2], "replica": 3}, "bricks", "name 1 more, or 2 fewer"),
            ({"volume": "bad", "bricks": bricks, "arbiter": 1}, "arbiter", "needs 'replica' to be 3"),
            ({"volume": "bad", "bricks": bricks, "disperse": 3, "redundancy": 2}, "redundancy", "at most 1 of 3"),
            ({"volume": "bad", "bricks": bricks, "transport": "rdma"}, "transport", "tcp"),
            ({"volume": "bad", "bricks": alone, "replica": 3}, "bricks", "on one host"),
            ({"volume": "bad", "bricks": [bricks[0], bricks[0] + "/x"], "force": True}, "bricks", "lies in"),
            ({"volume": "bad", "bricks": ["10.77.2.99:/bricks/bad"], "force": True}, "bricks", "peer.list"),
            ({"volume": "bad", "bricks": ["127.0.0.1:/bricks/bad"], "force": True}, "bricks", "localhost"),
            ({"volume": "bad", "bricks": [alone[0] + "/deep/er"], "force": True}, "bricks", "is there already")]:
        error = agents[0].error("volume.create", params)
        assert error.name == "InvalidParams" and error.data["param"] == param, (params, error)
        assert reason in error.data["reason"], (params, error)
    assert listed(agents[0], "bad") is None


def test_a_folder_that_was_a_brick_needs_force(pool, agents, name):
    params = {"volume": name, "bricks": bricks_of(pool, name, 3), "replica": 3}
    agents[0].call("volume.create", params)
    taken = agents[0].error("volume.create", {"volume": name + "b", "bricks": params["bricks"][:1]})
    assert taken.name == "WrongState" and taken.data["state"] == "used by a volume"
    below = {"volume": name + "b", "bricks": [params["bricks"][0] + "/x"], "force": True}
    within = agents[0].error("volume.create", below)
    assert within.name == "WrongState" and within.data["state"] == "used by a volume"
    agents[0].call("volume.delete", {"volume": name})
    error = agents[1].error("volume.create", params)
    assert error.name == "WrongState" and error.data["state"] == "part of a volume"
    assert "force" in error.data["needs"]
    assert agents[1].call("volume.create", {**params, "force": True})["state"] == "created"


def test_deletion_is_for_admins(agents):
    roles = {verb["name"]: verb["x-role"] for verb in agents[0].call("rpc.discover")["methods"]
             if verb["name"].startswith("volume.")}
    assert roles["volume.delete"] == "admin" and roles["volume.create"] == roles["volume.start"] == "operator"


def test_two_agents_change_one_volume_at_once_and_both_come_through(pool, agents, name):
    """glusterd refuses the second transaction meanwhile: it is asked again until it does."""
    agents[0].call("volume.create", {"volume": name, "bricks": bricks_of(pool, name, 3), "replica": 3})
    ids = [(client, client.request("volume.start", {"volume": name, "force": True}))
           for client in agents for _ in range(2)]
    answers = [client.wait(id) for client, id in ids]
    assert all("result" in answer for answer in answers), answers
    steps = [client.call("task.status", {"task": id})["steps"][0] for client, id in ids]
    assert any(step["attempts"] > 1 for step in steps), steps
    ids = [(client, client.request("volume.stop", {"volume": name})) for client in agents]
    answers = [client.wait(id) for client, id in ids]
    refused = [answer["error"]["data"] for answer in answers if "error" in answer]
    assert len(refused) == 2 and all(each["state"] == "stopped" for each in refused), answers


def unread(host):
    """Bytes that have come to its glusterd, which is paused."""
    lines = host.inside("ss", "-Htn", "( sport = :24007 or dport = :24007 )", check=True).stdout.splitlines()
    return sum(int(line.split()[1]) for line in lines)


def create_and_kill(pool, agent, witness, params):
    """Whether glusterd had been asked by then: else there is no volume, however long one waits."""
    second, name = pool.hosts[1], params["volume"]
    second.pause_glusterd()
    try:
        with agent.connect() as client:
            client.request("volume.create", params)
            wait_for(lambda: any(name in command for _, command in pool.hosts[0].cell.processes("gluster")),
                     "the command")
            wait_for(lambda: unread(second) > 0, "the first's glusterd to ask the second's")
            agent.kill()
    finally:
        second.pause_glusterd(False)
    with contextlib.suppress(AssertionError):
        wait_for(lambda: listed(witness, name), "the volume", timeout=30)
        return True
    agent.start()
    return False


def test_a_volume_is_there_though_its_agent_was_killed_while_making_it(pool, host_agents, agents, name):
    """glusterd goes on by itself: the others see the volume, and a second call is told that it is there."""
    params = {"volume": name, "bricks": bricks_of(pool, name, 3), "replica": 3}
    assert any(create_and_kill(pool, host_agents[0], agents[2], params) for _ in range(5)), "killed too soon each time"
    error = agents[2].error("volume.create", params)
    assert error.name == "AlreadyExists" and error.data["id"] == name
    host_agents[0].start()
    with host_agents[0].connect() as client:
        assert listed(client, name) == listed(agents[2], name)
        assert client.call("volume.start", {"volume": name})["state"] == "started"
