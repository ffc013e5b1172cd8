# SPDX-License-Identifier: Apache-2.0
"""volume.list and peer.list: what glusterd has, how old the answer is, and no glusterd at all."""
import pytest

from rig.client import RpcError
from rig.gluster import ADDRESS


@pytest.fixture
def client(make_agent, gluster):
    """Of an agent on glusterd's own host."""
    # gluster looks itself up in /proc, so the agent is in the host's PID namespace too; it dies with nsenter.
    agent = make_agent(wrapper=[*gluster.cell.enter, "setpriv", "--pdeathsig", "KILL"])
    with agent.connect() as connection:
        yield connection


def test_a_volume_is_listed_as_it_was_made(client, gluster, volume):
    name, _ = volume
    listed = client.call("volume.list", {"fresh": True})["volumes"]
    mine = next(each for each in listed if each["volume"] == name)
    assert (mine["type"], mine["state"], mine["replica"]) == ("replicate", "started", 3)
    assert [each["brick"] for each in mine["bricks"]] == [f"{ADDRESS}:{gluster.brick(name, i)}" for i in range(3)]
    assert mine["options"]["network.ping-timeout"] == "3"


def test_a_volume_called_all_is_one_that_is_not_there(client, volume):
    for verb, more in (("volume.heal", {}), ("brick.add", {"bricks": [f"{ADDRESS}:/b/1"]}),
                       ("brick.replace", {"brick": f"{ADDRESS}:/b/1", "newBrick": f"{ADDRESS}:/b/2"}),
                       ("brick.setOffline", {"bricks": [f"{ADDRESS}:/b/1"], "offline": True})):
        error = client.error(verb, {"volume": "all", **more})
        assert error.name == "NotFound" and error.data["id"] == "all", (verb, error)


def test_answers_are_shared_until_somebody_wants_a_fresh_one(client):
    first = client.call("volume.list", {"fresh": True})
    second = client.call("volume.list")
    assert second["asked"] == first["asked"] and second["ageMs"] >= 0
    assert client.call("volume.list", {"fresh": True})["asked"] > first["asked"]


def test_this_host_is_the_pools_only_peer(client):
    peers = client.call("peer.list")["peers"]
    assert [(each["host"], each["connected"], each["here"]) for each in peers] == [("localhost", True, True)]


def test_switched_off_is_told_so(make_agent):
    with make_agent(arguments=["--gluster", "none"]).connect() as client:
        for verb in ("volume.list", "peer.list"):
            with pytest.raises(RpcError) as failure:
                client.call(verb)
            assert failure.value.name == "BackendUnavailable" and "--gluster none" in failure.value.data["reason"]
        backends = {each["backend"]: each for each in client.call("host.info")["backends"]}
        assert backends["gluster"]["state"] == "unavailable"
