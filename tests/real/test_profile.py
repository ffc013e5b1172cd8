# SPDX-License-Identifier: Apache-2.0
"""volume.profile and volume.top: what bricks count, told as they count it, and every refusal."""
import pytest

from rig.client import RpcError

VOLUME = "profiled"


@pytest.fixture(scope="module")
def bricks(pool):
    """A volume of a brick on each host, on which each write is one of the bricks'; its folder on the first."""
    names = [pool.brick(index, VOLUME, 0) for index in range(3)]
    pool.make_volume(VOLUME, names, "replica", "3", options=[("performance.write-behind", "off")])
    pool.hosts[0].mount(VOLUME)
    yield names
    pool.hosts[0].unmount(VOLUME)
    pool.remove_volume(VOLUME)


@pytest.fixture
def idle(pool):
    """A volume that was never started."""
    pool.run("volume", "create", "idle", pool.brick(0, "idle", 0), "force")
    yield "idle"
    pool.remove_volume("idle")


def write(pool, name, count, size="16k"):
    pool.hosts[0].inside("dd", "if=/dev/zero", f"of=/mnt/{VOLUME}/{name}", f"bs={size}", f"count={count}", check=True)


def profile(client, action="info", **more):
    return client.call("volume.profile", {"volume": VOLUME, "action": action, **more})


def refused(client, verb, params):
    with pytest.raises(RpcError) as failure:
        client.call(verb, params)
    return failure.value


def hits(figures):
    return {each["operation"]: each["hits"] for each in figures["operations"]}


def test_a_profile_counts_from_start_to_stop_as_every_host_sees(agents, pool, bricks):
    assert profile(agents[0], "start") == {"volume": VOLUME, "running": True}
    write(pool, "counted", 5)
    told = {each["brick"]: each for each in profile(agents[1], peek=True)["bricks"]}
    assert set(told) == set(bricks)
    for brick in told.values():
        for figures in (brick["cumulative"], brick["interval"]):
            assert hits(figures)["WRITE"] == 5 and figures["bytesWritten"] == 5 * 16384
            assert {"size": 16384, "reads": 0, "writes": 5} in figures["blocks"]
            assert 99 < sum(each["percent"] for each in figures["operations"]) < 101
            assert all(each["minimumNs"] <= each["averageNs"] <= each["maximumNs"] for each in figures["operations"])
    assert profile(agents[2], "stop") == {"volume": VOLUME, "running": False}
    assert refused(agents[0], "volume.profile", {"volume": VOLUME}).name == "WrongState"


def test_an_interval_ends_when_it_is_told_unless_one_peeks(agents, pool, bricks):
    client = agents[0]
    profile(client, "start")
    assert profile(client, "clear") == {"volume": VOLUME, "running": True}
    write(pool, "again", 2)
    for peek in (True, False):
        for brick in profile(client, figures="interval", peek=peek)["bricks"]:
            assert "cumulative" not in brick and hits(brick["interval"])["WRITE"] == 2
    write(pool, "again", 1)
    for brick in profile(client)["bricks"]:
        assert hits(brick["interval"])["WRITE"] == 1 and hits(brick["cumulative"])["WRITE"] == 3
    for brick in profile(client, figures="cumulative")["bricks"]:
        assert "interval" not in brick and hits(brick["cumulative"])["WRITE"] == 3
    profile(client, "stop")


def test_a_profile_that_is_so_already_is_refused(agents, bricks, idle):
    client = agents[0]
    error = refused(client, "volume.profile", {"volume": VOLUME, "action": "stop"})
    assert (error.name, error.data["state"], error.data["needs"]) == ("WrongState", "stopped", "started")
    profile(client, "start")
    error = refused(client, "volume.profile", {"volume": VOLUME, "action": "start"})
    assert (error.name, error.data["state"], error.data["needs"]) == ("WrongState", "started", "stopped")
    profile(client, "stop")
    error = refused(client, "volume.profile", {"volume": "nosuch", "action": "start"})
    assert (error.name, error.data["kind"], error.data["id"]) == ("NotFound", "volume", "nosuch")
    client.call("volume.profile", {"volume": idle, "action": "start"})  # glusterd lets it, for later
    assert refused(client, "volume.profile", {"volume": idle}).name == "WrongState"


def test_the_busiest_files_are_listed_whether_a_profile_is_started_or_not(agents, pool, bricks):
    client = agents[0]
    write(pool, "much", 9)
    write(pool, "little", 1)
    told = client.call("volume.top", {"volume": VOLUME, "what": "write"})
    assert {each["brick"] for each in told["bricks"]} == set(bricks)
    for brick in told["bricks"]:
        counts = {file["path"]: file["count"] for file in brick["files"]}
        assert (counts["/much"], counts["/little"]) == (9, 1)
        assert sorted(counts.values(), reverse=True) == list(counts.values())
    told = client.call("volume.top", {"volume": VOLUME, "what": "write", "brick": bricks[1], "count": 1})
    assert [(each["brick"], len(each["files"])) for each in told["bricks"]] == [(bricks[1], 1)]


def test_open_files_are_counted(agents, pool, bricks):
    held = pool.hosts[0].path(f"/mnt/{VOLUME}/held").open("wb", buffering=0)
    held.write(b"x")  # only now it is opened on the bricks
    for brick in agents[0].call("volume.top", {"volume": VOLUME, "what": "open"})["bricks"]:
        assert 1 <= brick["open"] <= brick["mostOpen"] and brick["mostOpenAt"].endswith("Z")
    held.close()
    for what in ("read", "opendir", "readdir"):
        told = agents[0].call("volume.top", {"volume": VOLUME, "what": what})
        assert told["what"] == what and len(told["bricks"]) == 3


def test_a_brick_is_measured_when_a_size_is_given(agents, pool, bricks):
    write(pool, "fast", 2)
    for what in ("readPerf", "writePerf"):
        told = agents[0].call("volume.top", {"volume": VOLUME, "what": what, "blockSize": 65536, "blocks": 64})
        for brick in told["bricks"]:
            assert brick["bytesPerSecond"] == 65536 * 64 * 1000000 // brick["tookUs"]
        told = agents[0].call("volume.top", {"volume": VOLUME, "what": what})
        assert all("bytesPerSecond" not in brick for brick in told["bricks"])
        if what == "writePerf":
            assert all("/fast" in [file["path"] for file in brick["files"]] for brick in told["bricks"])


def test_what_top_cannot_list_is_refused(agents, bricks, idle):
    client = agents[0]
    good = {"volume": VOLUME, "what": "writePerf"}
    for wrong, param in (({"blocks": 5}, "blocks"), ({"blockSize": 5}, "blockSize"), ({"brick": "--xml"}, "brick"),
                         ({"what": "write", "blockSize": 5, "blocks": 5}, "blockSize"), ({"count": 101}, "count"),
                         ({"blockSize": 1 << 20, "blocks": 1025}, "blocks"), ({"what": "clear"}, "what")):
        error = refused(client, "volume.top", {**good, **wrong})
        assert (error.name, error.data["param"]) == ("InvalidParams", param), wrong
    assert refused(client, "volume.top", {**good, "volume": "nosuch"}).name == "NotFound"
    assert refused(client, "volume.top", {**good, "volume": idle}).name == "WrongState"
    error = refused(client, "volume.top", {**good, "brick": bricks[0] + "x"})
    assert (error.name, error.data["kind"], error.data["id"]) == ("NotFound", "brick", bricks[0] + "x")


def test_bricks_that_do_not_run_are_left_out(agents, pool, bricks):
    pool.kill_brick(bricks[2])
    pool.wait_dead(VOLUME, 2)
    error = refused(agents[0], "volume.top", {"volume": VOLUME, "what": "write", "brick": bricks[2]})
    assert error.name == "BackendFailed" and "must be running" in str(error)
    told = agents[0].call("volume.top", {"volume": VOLUME, "what": "write"})["bricks"]
    assert {each["brick"] for each in told} == set(bricks[:2])
    profile(agents[0], "start")
    assert {each["brick"] for each in profile(agents[0])["bricks"]} == set(bricks[:2])
    profile(agents[0], "stop")
    pool.restart_bricks(VOLUME, 3)


def test_the_figures_read_well_on_a_terminal(host_agents, pool, bricks):
    def cli(*arguments):
        return host_agents[0].cli("volume", *arguments, "--volume", VOLUME, check=0).stdout
    assert cli("profile", "--action", "start") == f"volume:  {VOLUME}\nrunning: yes\n"
    write(pool, "shown", 3)
    text = cli("profile", "--figures", "interval", "--peek")
    assert f"brick: {bricks[0]}\ninterval:\n  seconds: " in text and "  operations:\n    OPERATION " in text
    assert "\n  blocks:\n" in text and "    16 KiB      0       3\n" in text
    assert "files:\n  COUNT  PATH\n" in cli("top", "--what", "write")
    cli("profile", "--action", "stop")


def test_a_name_that_is_not_utf8_is_said_to_be_the_reason(agents, pool, bricks):  # the last: bricks remember it
    pool.hosts[0].inside("/usr/bin/python3", "-c", f"open(b'/mnt/{VOLUME}/not\\xffutf8', 'w').write('x')", check=True)
    error = refused(agents[0], "volume.top", {"volume": VOLUME, "what": "write"})
    assert error.name == "BackendFailed" and "cannot print as XML" in str(error)
