# SPDX-License-Identifier: Apache-2.0
"""volume.options, set and reset: glusterd's own list, all or nothing, and what it says of wrong values."""
import pytest

from rig.gluster import wait_for

NAME = "options"


@pytest.fixture(scope="module")
def volume(pool):
    """Started, of one brick: options are the same with three."""
    pool.make_volume(NAME, [pool.brick(1, NAME, 0)])
    yield NAME
    pool.remove_volume(NAME)


@pytest.fixture(autouse=True)
def fresh(pool, volume):
    pool.run("volume", "reset", volume, "force")


def options(client, **params):
    return {each["option"]: each for each in client.call("volume.options", {**params, "fresh": True})["options"]}


def of_volume(client):
    return next(each["options"] for each in client.call("volume.list", {"fresh": True})["volumes"]
                if each["volume"] == NAME)


def test_a_volumes_options_are_those_that_glusterd_lists(pool, agents, volume):
    told = options(agents[0], volume=volume)
    listed = pool.run("volume", "get", volume, "all").stdout.splitlines()[2:]
    names = {line.split()[0] for line in listed if line.strip()}
    assert names <= set(told) and len(names) > 300
    cache = told["performance.cache-size"]
    assert (cache["value"], cache["default"], cache["set"]) == ("32MB", "32MB", False)
    assert "cache" in cache["description"]
    assert {option for option, each in told.items() if each["set"]} == set(of_volume(agents[1]))


def test_without_a_volume_there_are_meanings_and_no_values(agents):
    told = options(agents[0])
    assert told["network.ping-timeout"]["default"] == "42"
    assert all(each["value"] is None and not each["set"] for each in told.values())


def test_several_options_are_set_in_one_call_and_reset_in_another(pool, agents, volume):
    wanted = {"performance.cache-size": "64MB", "performance.io-thread-count": 8, "performance.quick-read": False,
              "user.owner": "a <b> & \"c\"", "auth.allow": "10.77.2.*,10.77.3.*"}
    kept = {"performance.cache-size": "64MB", "performance.io-thread-count": "8", "performance.quick-read": "off",
            "user.owner": "a <b> & \"c\"", "auth.allow": "10.77.2.*,10.77.3.*"}
    answer = agents[0].call("volume.set", {"volume": volume, "options": wanted})
    assert answer["volume"] == volume and kept.items() <= answer["options"].items()
    assert of_volume(agents[1]) == answer["options"]
    told = options(agents[2], volume=volume)
    assert {name: told[name]["value"] for name in kept} == kept and all(told[name]["set"] for name in kept)
    assert agents[1].call("volume.set", {"volume": volume, "options": wanted}) == answer
    names = ["performance.cache-size", "performance.io-thread-count"]
    left = agents[1].call("volume.reset", {"volume": volume, "options": names})["options"]
    assert left == {name: value for name, value in answer["options"].items() if name not in names}
    assert agents[2].call("volume.reset", {"volume": volume, "options": names})["options"] == left
    everything = agents[0].call("volume.reset", {"volume": volume})["options"]
    assert not set(kept) & set(everything)


def test_when_one_option_is_refused_none_is_set(agents, volume):
    before = of_volume(agents[0])
    for wrong, reason in [({"performance.cache-sized": "1"}, "Did you mean performance.cache-size"),
                          ({"performance.io-thread-count": "100"}, "out of range [1 - 64]"),
                          ({"diagnostics.brick-log-level": "green"}, "possible options are DEBUG, WARNING"),
                          ({"performance.quick-read": "perhaps"}, "a value is none that its option takes"),
                          ({"storage.owner-uid": "abc"}, "invalid number format"),
                          ({"cluster.brick-multiplex": "on"}, "Not a valid option for single volume"),
                          ({"user.empty": ""}, "not empty"),
                          ({"user.list": [1]}, "whole number"),
                          ({"user.word": "--remote-host=nosuch"}, "'--'")]:
        params = {"volume": volume, "options": {"network.ping-timeout": "30", **wrong}}
        error = agents[1].error("volume.set", params)
        assert error.name == "InvalidParams" and error.data["param"] == "options", (wrong, error)
        assert reason in error.data["reason"], (wrong, error)
        assert of_volume(agents[0]) == before, wrong
    error = agents[1].error("volume.set", {"volume": volume, "options": {}})
    assert error.name == "InvalidParams" and "an option at least" in error.data["reason"]


def test_when_one_name_is_wrong_none_is_reset(agents, volume):
    agents[0].call("volume.set", {"volume": volume, "options": {"network.ping-timeout": "30", "user.owner": "me"}})
    before = of_volume(agents[0])
    for wrong, reason in [("no.such-option", "volume.options lists them"), ("user.owner", "all together only")]:
        error = agents[1].error("volume.reset", {"volume": volume, "options": ["network.ping-timeout", wrong]})
        assert error.name == "InvalidParams" and error.data["param"] == "options"
        assert reason in error.data["reason"]
        assert of_volume(agents[0]) == before
    error = agents[1].error("volume.reset", {"volume": volume, "options": []})
    assert error.name == "InvalidParams" and "leave it out" in error.data["reason"]


def test_the_pool_has_options_of_its_own(pool, agents):
    told = options(agents[0], volume="all")
    assert told["cluster.server-quorum-ratio"]["value"] is not None and "cluster.op-version" in told
    answer = agents[0].call("volume.set", {"volume": "all", "options": {"cluster.daemon-log-level": "ERROR"}})
    assert answer["volume"] == "all" and answer["options"]["cluster.daemon-log-level"] == "ERROR"
    assert options(agents[1], volume="all")["cluster.daemon-log-level"]["set"]
    error = agents[1].error("volume.set", {"volume": "all", "options": {"performance.cache-size": "64MB"}})
    assert error.name == "InvalidParams" and "Not a valid option for all volumes" in error.data["reason"]
    answer = agents[2].call("volume.reset", {"volume": "all", "options": ["cluster.daemon-log-level"]})
    assert "cluster.daemon-log-level" not in answer["options"]


def test_unknown_volumes_are_not_found(agents):
    for verb, more in (("volume.options", {}), ("volume.set", {"options": {"user.a": "b"}}),
                       ("volume.reset", {}), ("volume.reset", {"options": ["user.a"]})):
        error = agents[0].error(verb, {"volume": "nosuch", **more})
        assert error.name == "NotFound" and error.data["id"] == "nosuch", verb


def test_hosts_that_set_options_at_once_all_come_through(agents, volume):
    ids = [(client, client.request("volume.set", {"volume": volume, "options": {f"user.by{host}-{number}": "x"}}))
           for host, client in enumerate(agents) for number in range(2)]
    answers = [client.wait(id) for client, id in ids]
    assert all("result" in answer for answer in answers), answers
    kept = of_volume(agents[0])
    assert {f"user.by{host}-{number}" for host in range(3) for number in range(2)} <= set(kept)


def test_a_host_that_is_down_hears_of_options_when_it_is_back(pool, agents, volume):
    """Only those that are there are asked: glusterd tells the others by and by."""
    third = pool.hosts[2]
    third.stop_glusterd()
    try:
        answer = agents[0].call("volume.set", {"volume": volume, "options": {"user.meanwhile": "yes"}})
        assert answer["options"]["user.meanwhile"] == "yes"
        error = agents[2].error("volume.set", {"volume": volume, "options": {"user.meanwhile": "no"}})
        assert error.name == "BackendUnavailable"
    finally:
        third.start_glusterd()
    pool.wait_connected()
    wait_for(lambda: of_volume(agents[2]).get("user.meanwhile") == "yes", "the news")
