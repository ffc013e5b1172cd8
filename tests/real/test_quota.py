# SPDX-License-Identifier: Apache-2.0
"""Quotas: limits that are set, listed, enforced and removed, and every refusal."""
import pytest

from rig.client import RpcError
from rig.gluster import wait_for

VOLUME = "limited"
MOUNTED = f"/mnt/{VOLUME}"


@pytest.fixture(scope="module")
def bricks(pool):
    """A volume of a brick on each host with a folder in it, mounted on the first; without quotas."""
    names = [pool.brick(index, VOLUME, 0) for index in range(3)]
    pool.make_volume(VOLUME, names, "replica", "3", options=[("performance.write-behind", "off")])
    pool.hosts[0].mount(VOLUME)
    pool.hosts[0].inside("mkdir", "-p", f"{MOUNTED}/dir/deep", f"{MOUNTED}/a<b&c", check=True)
    pool.hosts[0].inside("touch", f"{MOUNTED}/file", check=True)
    yield names
    pool.hosts[0].unmount(VOLUME)
    pool.remove_volume(VOLUME)


@pytest.fixture
def quota(agents, bricks):
    """Calls a verb of volume.quota... by a host's agent; quotas are enabled, without a limit."""
    def call(verb, host=0, **params):
        return agents[host].call(f"volume.quota{verb}", {"volume": VOLUME, **params})
    try:
        call("Enable")
    except RpcError as error:  # by the test before
        assert error.name == "WrongState"
    for path in limits(call):
        call("Remove", path=path)
    return call


def limits(quota, host=0, **params):
    return {each["path"]: each for each in quota("", host, fresh=True, **params)["limits"]}


def refused(call, *arguments, **params):
    with pytest.raises(RpcError) as failure:
        call(*arguments, **params)
    return failure.value


def fill(pool, name, count):
    return pool.hosts[0].inside("dd", "if=/dev/zero", f"of={MOUNTED}/{name}", "bs=4k", "oflag=direct", f"count={count}")


def test_limits_are_told_with_what_is_used_of_them_as_every_host_sees(quota, pool):
    assert limits(quota) == {}
    assert quota("Limit", path="/dir", size=1 << 20, objects=10, softLimitPercent=50) == {}
    assert quota("Limit", path="/", objects=100) == {}
    assert quota("Limit", path="/a<b&c", size=4096) == {}
    assert fill(pool, "dir/deep/data", 160).returncode == 0
    wait_for(lambda: limits(quota)["/dir"]["used"] == 160 * 4096, "what is used")
    told = limits(quota, host=2)
    assert list(told) == ["/", "/a<b&c", "/dir"]
    folder = told["/dir"]
    assert (folder["volume"], folder["size"], folder["softLimitPercent"]) == (VOLUME, 1 << 20, 50)
    assert (folder["softLimitSize"], folder["available"]) == (1 << 19, (1 << 20) - 160 * 4096)
    assert (folder["state"], folder["objectsState"]) == ("softLimitExceeded", "ok")
    assert (folder["objects"], folder["files"], folder["folders"], folder["objectsAvailable"]) == (10, 1, 2, 7)
    assert (told["/"]["size"], told["/"]["used"], told["/"]["objects"]) == (None, None, 100)
    assert told["/a<b&c"]["objects"] is None
    only = limits(quota, path="/dir/deep")
    assert list(only) == ["/dir/deep"] and only["/dir/deep"]["size"] is None
    assert (only["/dir/deep"]["used"], only["/dir/deep"]["files"]) == (160 * 4096, 1)


def test_a_limit_is_enforced_until_it_is_removed(quota, pool):
    for option in ("features.hard-timeout", "features.soft-timeout"):  # how old what bricks know may be
        pool.run("volume", "set", VOLUME, option, "0")
    quota("Limit", path="/dir", size=256 << 10)
    wait_for(lambda: "quota exceeded" in fill(pool, "dir/much", 200).stderr, "a write that is refused")
    wait_for(lambda: limits(quota)["/dir"]["state"] == "limitExceeded", "the state")
    quota("Limit", path="/dir", size=10 << 20)  # replaces it
    assert limits(quota)["/dir"]["size"] == 10 << 20
    assert fill(pool, "dir/much", 200).returncode == 0
    assert quota("Remove", path="/dir") == {}
    assert limits(quota) == {}


def test_limits_of_both_kinds_are_removed_one_by_one_or_together(quota):
    quota("Limit", path="/dir", size=1 << 20, objects=50)
    assert quota("Remove", path="/dir", limit="size") == {}
    assert (limits(quota)["/dir"]["size"], limits(quota)["/dir"]["objects"]) == (None, 50)
    assert quota("Remove", path="/dir") == {}  # what is left
    for kind in ("size", "objects", "both"):
        error = refused(quota, "Remove", path="/dir", limit=kind)
        assert (error.name, error.data["kind"], error.data["id"]) == ("NotFound", "limit", "/dir")


def test_disabling_removes_every_limit(quota):
    quota("Limit", path="/dir", objects=50)
    assert quota("Disable") == {}
    quota("Enable")
    assert limits(quota) == {}


def test_what_is_enabled_or_disabled_already_says_so(quota):
    error = refused(quota, "Enable")
    assert (error.name, error.data["state"]) == ("WrongState", "quota enabled")
    quota("Disable")
    for verb, params in (("", {}), ("Disable", {}), ("Limit", {"path": "/dir", "size": 5}), ("Remove", {"path": "/dir"})):
        error = refused(quota, verb, **params)
        assert (error.name, error.data["state"], error.data["needs"]) == ("WrongState", "quota disabled", "quota enabled")


def test_a_path_that_is_no_folder_is_not_found(quota):
    for path in ("/nosuch", "/file"):
        for verb, params in (("", {}), ("Limit", {"size": 5}), ("Limit", {"objects": 5}), ("Remove", {})):
            error = refused(quota, verb, path=path, **params)
            assert (error.name, error.data["kind"], error.data["id"]) == ("NotFound", "folder", path), (verb, params)


def test_what_makes_no_sense_is_refused(quota):
    for verb, params, param in (("", {"path": "/a/../b"}, "path"), ("Remove", {"path": "dir"}, "path"),
                                ("Limit", {"path": "/dir/", "size": 5}, "path"), ("Limit", {"path": "/dir"}, "size"),
                                ("Limit", {"path": "/dir", "size": 0}, "size"),
                                ("Limit", {"path": "/dir", "objects": -1}, "objects"),
                                ("Limit", {"path": "/dir", "size": 5, "softLimitPercent": 101}, "softLimitPercent")):
        error = refused(quota, verb, **params)
        assert (error.name, error.data["param"]) == ("InvalidParams", param), (verb, params)


def test_quotas_need_a_volume_that_is_started(agents, pool):
    pool.run("volume", "create", "still", pool.brick(0, "still", 0), "force")
    for volume, name in (("still", "WrongState"), ("nosuch", "NotFound")):
        for verb in ("", "Enable", "Disable"):
            assert refused(agents[0].call, f"volume.quota{verb}", {"volume": volume}).name == name, (volume, verb)
    pool.remove_volume("still")


def test_limits_are_told_again_when_the_bricks_come_back(quota, pool, bricks):
    quota("Limit", path="/dir", objects=50)
    assert list(limits(quota)) == ["/dir"]
    for brick in bricks:
        pool.kill_brick(brick)
    assert refused(quota, "", fresh=True).name == "BackendFailed"
    pool.restart_bricks(VOLUME, 3)

    def told():
        try:
            return list(limits(quota)) == ["/dir"]
        except RpcError:  # a brick is there before it lets a client in
            return False
    wait_for(told, "the limits")


def test_the_limits_read_well_on_a_terminal(host_agents, quota):
    quota("Limit", path="/dir", size=10 << 20)
    text = host_agents[0].cli("volume", "quota", "--volume", VOLUME, "--fresh", check=0).stdout
    assert text.split("\n")[0].split() == ["PATH", "SIZE", "USED", "AVAILABLE", "STATE"]
    assert text.split("\n")[1].split()[:3] == ["/dir", "10", "MiB"]
