# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests with real servers: one glusterd for all tests of a process; for each file a pool of three,
and a libvirtd or a pair of them."""
import itertools

import pytest

from rig.gluster import ADDRESS, Gluster
from rig.pool import Pool
from rig.virt import VirtHost, VirtPair

numbers = itertools.count(1)

# What takes longest begins first.
FIRST = ("test_rebalance", "test_brick_verbs", "test_brick_removal", "test_peer_roll", "test_volume_life",
         "test_gluster_repository", "test_vm_migration", "test_vm_jobs", "test_gluster_chain", "test_georep",
         "test_vm_backup", "test_gluster_events")


def pytest_collection_modifyitems(items):
    def place(item):
        return FIRST.index(item.path.stem) if item.path.stem in FIRST else len(FIRST)
    items.sort(key=place)


@pytest.fixture(scope="session")
def gluster():
    server = Gluster()
    server.make_volume("shared")
    yield server
    server.close()


@pytest.fixture
def place(gluster):
    """What connects a fresh repository of the volume that nobody harms."""
    return {"kind": "gluster", "volume": "shared", "servers": [ADDRESS], "path": f"/repository-{next(numbers)}"}


@pytest.fixture
def volume(gluster):
    """A volume of the test's own, whose bricks may be killed, and what connects a repository of it."""
    name = f"own{next(numbers)}"
    gluster.make_volume(name)
    return name, {"kind": "gluster", "volume": name, "servers": [ADDRESS], "path": "/repository"}


@pytest.fixture
def pair(make_agent, gluster):
    """Two agents that reach the volumes, each with a 'dir' repository of its own, 'near'."""
    return [make_agent(name, name=name, repositories=["near"], network=gluster.network) for name in ("one", "two")]


@pytest.fixture(scope="module")
def pool():
    """Three hosts without a volume, all alive: a test leaves it so.  Each file begins with a fresh one, which takes
    four seconds: what a failed test leaves behind is no other file's trouble."""
    with Pool() as hosts:
        yield hosts


@pytest.fixture
def host_agents(make_agent, pool):
    """An agent on each host of the pool."""
    return [make_agent(host.name, name=host.name, wrapper=host.enter) for host in pool.hosts]


@pytest.fixture
def agents(host_agents):
    """A client of each."""
    clients = [agent.connect() for agent in host_agents]
    yield clients
    for client in clients:
        client.close()


@pytest.fixture(scope="module")
def virt_host():
    """A libvirtd without a virtual machine."""
    with VirtHost() as host:
        yield host


@pytest.fixture(scope="module")
def virt_pair():
    """Two that see each other, without a virtual machine."""
    with VirtPair() as pair:
        yield pair


@pytest.fixture(scope="module")
def running_guest(virt_host):
    """A virtual machine on virt_host for all tests of the file, which leave it running: its name.  It beats on vda."""
    virt_host.start_guest("running", beat="/dev/vda")
    return "running"
