# SPDX-License-Identifier: Apache-2.0
"""Geo-replication: files that arrive at another pool, every state of a session, and every refusal.  A pool of
two hosts replicates to a host of its own by real ssh; creating a session takes half a minute, so there is one."""
import pytest

from rig.client import RpcError
from rig.gluster import wait_for
from rig.pool import Pool

VOLUME = "near"


@pytest.fixture(scope="module")
def site():
    """Hosts 0 and 1 are a pool with 'near', host 2 is alone with 'far'.  Nobody can log in anywhere yet."""
    with Pool(3, members=2) as pool:
        pool.make_volume(VOLUME, [pool.brick(index, VOLUME, 0) for index in range(2)], "replica", "2",
                         options=[("changelog.rollover-time", "3")])
        pool.run("volume", "create", "asleep", pool.brick(0, "asleep", 0), "force")
        far = pool.hosts[2]
        far.run("volume", "create", "far", f"{far.address}:/bricks/far-0", "force")
        far.run("volume", "start", "far")
        pool.hosts[0].mount(VOLUME)
        pool.target = f"{far.address}::far"
        yield pool


@pytest.fixture(scope="module")
def clients(site, tmp_path_factory):
    """Of an agent on each host of the pool."""
    running = [site.agent(index, tmp_path_factory.mktemp("agent")) for index in range(2)]
    connections = [agent.connect() for agent in running]
    yield connections
    for connection, agent in zip(connections, running):
        connection.close()
        agent.remove()


@pytest.fixture(scope="module")
def call(site, clients):
    """Calls a verb of georep about the one session, by a host's agent."""
    def verb(name, host=0, **params):
        return clients[host].call(f"georep.{name}", {"volume": VOLUME, "target": site.target, **params}, timeout=300)
    return verb


@pytest.fixture(scope="module")
def session(site, call):
    """It is there, and never started before."""
    site.enable_ssh()
    try:
        assert call("create") == {}
    except RpcError as error:  # a host that is slow: glusterd gives it up, and may be asked again
        assert "Commit failed" in error.data["text"]
        assert call("create", force=True) == {}
    # With rsync 3.5 gsyncd 10.3 brings over empty files, and says that all went well.
    call("configure", options={"sync-method": "tarssh"})
    return site.target


@pytest.fixture
def still(session, call):
    """The session, stopped."""
    try:
        call("stop", force=True)
    except RpcError as error:
        assert error.name == "WrongState"
    return session


def refused(call, *arguments, **params):
    with pytest.raises(RpcError) as failure:
        call(*arguments, **params)
    return failure.value


def status(call, host=0):
    sessions = call("status", host, fresh=True)["sessions"]
    assert len(sessions) == 1
    return sessions[0]


def statuses(call, host):
    return [worker["status"] for worker in status(call, host)["workers"]]


def active(call, host):
    return next(worker for worker in status(call, host)["workers"] if worker["status"] == "active")


def reach(call, state):
    wait_for(lambda: status(call)["state"] == state, f"the state {state}", timeout=300)


def arrived(site):
    return site.hosts[2].checksums("/bricks/far-0")


def receive(site, sent):
    """Waits for exactly these files."""
    wait_for(lambda: arrived(site) == sent, "the files", timeout=300)


def test_create_says_what_is_missing(site, call, clients):
    """Before the session is there: this is the first test."""
    assert call("status", target=None, volume=None)["sessions"] == []
    error = refused(call, "status")
    assert (error.name, error.data["kind"], error.data["id"]) == ("NotFound", "georep", f"{VOLUME} {site.target}")
    assert refused(call, "status", target=None, volume="nosuch").data["kind"] == "volume"
    error = refused(call, "create")
    assert (error.name, error.data["state"]) == ("WrongState", "target unreachable")
    site.enable_ssh()
    error = refused(call, "create", target=site.target.replace("far", "nosuch"))
    assert (error.name, error.data["state"]) == ("WrongState", "target volume missing or stopped")
    error = refused(call, "create", volume="asleep")
    assert (error.name, error.data["state"]) == ("WrongState", "stopped")
    error = refused(call, "create", volume="nosuch")
    assert (error.name, error.data["kind"], error.data["id"]) == ("NotFound", "volume", "nosuch")
    for verb in ("start", "stop", "pause", "resume", "configure", "delete"):
        error = refused(call, verb)
        assert (error.name, error.data["kind"], error.data["id"]) == ("NotFound", "georep", f"{VOLUME} {site.target}"), verb


def test_a_target_that_is_none_is_refused(call):
    for target in ("far", "10.77.2.13:far", "-oProxyCommand=x@10.77.2.13::far", "--xml::far", "10.77.2.13::-far"):
        for verb in ("create", "start", "stop", "pause", "resume", "status", "configure", "delete"):
            error = refused(call, verb, target=target)
            assert (error.name, error.data["param"]) == ("InvalidParams", "target"), (verb, target)
    assert refused(call, "status", volume=None).data["param"] == "target"


def test_a_session_begins_as_created(session, call, clients):
    told = status(call)
    assert (told["volume"], told["target"], told["state"]) == (VOLUME, session, "created")
    assert len(told["workers"]) == 2
    error = refused(call, "create")
    assert (error.name, error.data["kind"], error.data["id"]) == ("AlreadyExists", "georep", f"{VOLUME} {session}")
    assert [each["target"] for each in clients[1].call("georep.status", {"volume": VOLUME})["sessions"]] == [session]
    assert call("status", target=f"root@{session}")["sessions"][0]["state"] == "created"
    assert refused(call, "resume").data["state"] == "not paused"


def test_options_are_listed_set_and_reset(still, call):
    told = call("configure", options={"sync-jobs": 2, "ignore_deletes": True})
    assert (told["volume"], told["target"]) == (VOLUME, still)
    assert (told["options"]["sync-jobs"], told["options"]["ignore-deletes"]) == ("2", "true")
    told = call("configure", reset=["sync-jobs", "ignore-deletes"])["options"]
    assert (told["sync-jobs"], told["ignore-deletes"]) == ("3", "false")
    for wrong in ({"no-such": "1"}, {"sync-jobs": "many"}, {"!sync-jobs": "1"}, {"sync-jobs": ""}, {"sync-jobs": "-1"},
                  {"sync-jobs": "1\n[vars]"}, {"ssh-command": "/bin/true"}, {"rsync-options": "x"}, {"log_file": "/x"}):
        error = refused(call, "configure", options=wrong)
        assert (error.name, error.data["param"]) == ("InvalidParams", "options"), wrong
    assert refused(call, "configure", reset=["!sync-jobs"]).data["param"] == "reset"


def test_files_arrive_and_each_host_tells_it(site, still, call):
    """Those of before the start, and those of a time when the session was stopped."""
    sent = site.hosts[0].fill(f"/mnt/{VOLUME}", 30, "first")
    call("configure", options={"checkpoint": "now"})
    assert call("start") == {}
    error = refused(call, "start")
    assert (error.name, error.data["state"]) == ("WrongState", "started")
    receive(site, sent)
    reach(call, "active")
    for host in range(2):
        wait_for(lambda host=host: sorted(statuses(call, host)) == ["active", "passive"], "the workers")
        # gsyncd writes down what it has done some time after it has.
        wait_for(lambda host=host: (active(call, host)["checkpoint"] or "").endswith("Z"), "the checkpoint")
        wait_for(lambda host=host: active(call, host)["entries"] == 0, "nothing to be left to do")
        told = active(call, host)
        assert told["crawl"].endswith("crawl") and told["failures"] == 0
    error = refused(call, "delete")
    assert (error.name, error.data["state"], error.data["needs"]) == ("WrongState", "started", "stopped")
    assert call("stop") == {}
    assert status(call)["state"] == "stopped"
    for verb in ("stop", "pause"):
        error = refused(call, verb)
        assert (error.name, error.data["needs"]) == ("WrongState", "started")
    sent.update(site.hosts[0].fill(f"/mnt/{VOLUME}", 20, "second"))
    call("start")
    receive(site, sent)


def test_a_session_is_paused_and_goes_on(session, call):
    reach(call, "active")  # as the test before leaves it
    assert call("pause") == {}
    assert status(call)["state"] == "paused"
    assert refused(call, "pause").data["state"] == "paused"
    assert call("resume") == {}
    reach(call, "active")
    assert refused(call, "resume").data["state"] == "not paused"


def test_a_session_is_deleted_and_leaves_what_it_brought(site, still, call):
    before = arrived(site)
    assert before and call("delete", resetSyncTime=True) == {}
    assert refused(call, "delete").name == "NotFound"
    assert call("status", target=None)["sessions"] == []
    assert arrived(site) == before
    error = refused(call, "create")
    assert (error.name, error.data["state"]) == ("WrongState", "target not empty")
