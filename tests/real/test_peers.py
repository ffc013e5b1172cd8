# SPDX-License-Identifier: Apache-2.0
"""peer.probe and peer.detach: hosts come and go, and each refusal of glusterd's has a name."""
import pytest

from rig.client import RpcError
from rig.gluster import wait_for


@pytest.fixture
def client(agents):
    return agents[0]


@pytest.fixture
def third(pool):
    """The last host, which the test may put out of the pool."""
    host = pool.hosts[2]
    yield host
    pool.run("peer", "probe", host.address)
    pool.wait_connected()


def refusal(client, method, params):
    with pytest.raises(RpcError) as failure:
        client.call(method, params)
    return failure.value


def hosts(client):
    return {each["host"] for each in client.call("peer.list", {"fresh": True})["peers"]}


def test_a_host_leaves_and_joins_again(pool, client, third):
    assert client.call("peer.detach", {"host": third.address}) == {}
    assert hosts(client) == {"localhost", pool.hosts[1].address}
    again = refusal(client, "peer.detach", {"host": third.address})
    assert again.name == "NotFound" and (again.data["kind"], again.data["id"]) == ("peer", third.address)
    joined = client.call("peer.probe", {"host": third.address})
    assert joined == {"peer": joined["peer"], "host": third.address, "names": [third.address],
                      "state": "peer in cluster", "connected": True, "here": False}
    assert third.address in hosts(client)
    assert client.call("peer.probe", {"host": third.address}) == joined
    for name in ("localhost", pool.hosts[0].address):
        assert client.call("peer.probe", {"host": name})["here"]


def test_a_host_with_volumes_of_its_own_is_not_taken(client, third):
    client.call("peer.detach", {"host": third.address})
    third.run("volume", "create", "alone", f"{third.address}:/bricks/alone-0", "force")
    refused = refusal(client, "peer.probe", {"host": third.address})
    assert refused.name == "WrongState" and refused.data["state"] == "in another pool, or with volumes"
    third.run("volume", "delete", "alone")
    third.inside("rm", "-rf", "/bricks/alone-0", check=True)
    assert client.call("peer.probe", {"host": third.address})["connected"]


def test_refusals_are_told_plainly(pool, client, third):
    for host in ("10.77.2.99", "no-such-host.invalid"):
        refused = refusal(client, "peer.probe", {"host": host})
        assert refused.name == "WrongState" and refused.data["state"] == "unreachable"
    for host in ("-force", "a host", "h/x", ""):
        for method in ("peer.probe", "peer.detach"):
            refused = refusal(client, method, {"host": host})
            assert refused.name == "InvalidParams" and refused.data["param"] == "host"
    here = refusal(client, "peer.detach", {"host": pool.hosts[0].address})
    assert here.name == "WrongState" and here.data["state"] == "the host that was asked"
    pool.make_volume("kept", [pool.brick(i, "kept", 0) for i in (0, 2)])
    busy = refusal(client, "peer.detach", {"host": third.address, "force": True})
    assert busy.name == "WrongState" and busy.data["state"] == "with bricks"
    pool.remove_volume("kept")
    third.kill_glusterd()
    wait_for(lambda: not all(each["connected"] for each in client.call("peer.list", {"fresh": True})["peers"]),
             "the loss of a peer")
    down = refusal(client, "peer.detach", {"host": pool.hosts[1].address})
    assert down.name == "WrongState" and down.data["state"] == "a peer is down"
    third.start_glusterd()
    pool.wait_connected()
