# SPDX-License-Identifier: Apache-2.0
"""Repositories in a Gluster volume: real bricks, reached through libgfapi."""
import os
import random
import threading
import time

import pytest

from rig.client import RpcError
from rig.gluster import wait_for
from rig.images import data_path, random_raw, same

SIZE = 24 << 20
SLOW = 256 << 10  # bytes a second: a copy that is still there whenever one looks
ROUNDS = int(os.environ.get("HOSTLER_FIGHTS", "20"))


def connect(client, place, name="far"):
    return client.call("repository.connect", {"repository": name, "create": True, **place})


def import_raw(client, path, image="web1", repository="near", **more):
    ended = client.run("image.import", {"repository": repository, "image": image, "path": str(path),
                                        "sourceFormat": "raw", **more})
    assert ended["status"] == "done", ended


def run(client, method, params, **options):
    ended = client.run(method, params, **options)
    assert ended["status"] == "done", ended
    return ended


def copy(source, target, image="web1", to=None, **more):
    return {"repository": source, "image": image, "targetRepository": target, "targetImage": to or image, **more}


def checksum(client, repository, image):
    return run(client, "image.checksum", {"repository": repository, "image": image})["result"]["checksum"]


def disconnected(client):
    try:
        return client.call("repository.disconnect", {"repository": "far"}) == {}
    except RpcError as error:
        assert error.name == "WrongState", error
        return False


def answers(client, method, params):
    try:
        return client.call(method, params)
    except RpcError as error:
        assert error.name == "RepositoryUnavailable", error
        return None


def test_a_directory_of_a_volume_becomes_a_repository_and_stays_one(pair, place):
    one, two = pair
    with one.connect() as client, two.connect() as other:
        error = client.error("repository.connect", {"repository": "far", **place})
        assert error.name == "RepositoryUnavailable", error
        status = connect(client, place)
        assert status["health"] == "ok" and status["kind"] == "gluster" and status["images"] == 0
        assert status["capacity"] > status["free"] > 0 and status["readOnly"] is False
        assert {key: status[key] for key in place} == place
        seen = other.call("repository.connect", {"repository": "other-name", **place})
        assert seen["uuid"] == status["uuid"]
        assert client.call("repository.check", {"repository": "far"})["problems"] == []
    # The connection is remembered, and made again.
    one.restart()
    with one.connect() as client:
        again = next(r for r in client.call("repository.list")["repositories"] if r["repository"] == "far")
        assert again["uuid"] == status["uuid"] and again["volume"] == place["volume"]
        # A search for copies to go on with may still hold it.
        wait_for(lambda: disconnected(client), "the repository to be let go")


def test_what_is_no_volume_is_refused_with_the_reason(pair, place):
    with pair[0].connect() as client:
        for wrong, code, part in (({"volume": "no-such"}, "RepositoryUnavailable", "no volume 'no-such'"),
                                  ({"servers": ["10.77.1.9"]}, "RepositoryUnavailable", "10.77.1.9"),
                                  ({"servers": []}, "InvalidParams", "servers"),
                                  ({"servers": ["a/b"]}, "InvalidParams", "servers"),
                                  ({"path": "relative"}, "InvalidParams", "path"),
                                  ({"server": "x"}, "InvalidParams", "server")):
            error = client.error("repository.connect", {"repository": "far", "create": True, **place, **wrong})
            assert error.name == code and part in f"{error.message} {error.data}", (wrong, error)
        # A server that is not there does not matter when the next one is.
        connect(client, dict(place, servers=["10.77.1.9", *place["servers"]]))


def test_a_configured_volume_is_connected_at_the_start(make_agent, gluster, place):
    with make_agent("maker", network=gluster.network).connect() as client:
        uuid = connect(client, place)["uuid"]
    config = (f"[repository far]\nkind = gluster\nvolume = {place['volume']}\n"
              f"servers = {' '.join(place['servers'])}\npath = {place['path']}\n")
    with make_agent("configured", config=config, network=gluster.network).connect() as client:
        assert client.call("repository.status", {"repository": "far"})["uuid"] == uuid


@pytest.mark.parametrize("image_format", ["raw", "qcow2"])
def test_an_image_and_one_on_a_base_come_back_as_they_went(pair, place, tmp_path, image_format):
    one, _ = pair
    base = random_raw(tmp_path / "base.raw", SIZE, seed=1)
    top = tmp_path / "top.raw"
    top.write_bytes(base.read_bytes())
    with open(top, "r+b") as file:
        for offset in range(0, SIZE, 5 << 20):
            file.seek(offset)
            file.write(random.Random(offset).randbytes(100_000))
    with one.connect() as client:
        connect(client, place)
        import_raw(client, base, "base")
        import_raw(client, top, "top")
        client.call("image.update", {"repository": "near", "image": "base", "immutable": True})
        run(client, "image.copy", copy("near", "far", "base", format=image_format, verify=True))
        run(client, "image.copy", copy("near", "far", "top", base="base", verify=True))
        status = client.call("image.status", {"repository": "far", "image": "top"})
        assert status["base"] == "base" and status["format"] == "qcow2" and status["state"] == "optimized"
        assert status["allocated"] < SIZE / 2
        error = client.error("image.remove", {"repository": "far", "image": "base"})
        assert error.name == "ImageHasDependents", error
        for image, raw in (("base", base), ("top", top)):
            run(client, "image.copy", copy("far", "near", image, f"back-{image}", format="raw"))
            assert same(data_path(one.folder / "near", f"back-{image}"), raw)
            run(client, "image.export", {"repository": "far", "image": image, "format": "raw",
                                         "path": str(tmp_path / f"exported-{image}")})
            assert same(tmp_path / f"exported-{image}", raw)
            assert checksum(client, "far", image) == checksum(client, "near", image)
        client.call("image.remove", {"repository": "far", "image": "top"})
        assert [i["image"] for i in client.call("image.list", {"repository": "far"})["images"]] == ["base"]
        assert client.call("repository.check", {"repository": "far"})["problems"] == []


def test_holes_stay_holes_and_odd_sizes_stay_odd(pair, place, tmp_path):
    one, _ = pair
    size = (8 << 20) + 321
    raw = tmp_path / "odd.raw"
    with open(raw, "wb") as file:
        file.truncate(size)
        file.seek(size - 5)
        file.write(b"end!!")
    with one.connect() as client:
        connect(client, place)
        import_raw(client, raw, repository="far")
        status = client.call("image.status", {"repository": "far", "image": "web1"})
        assert status["size"] == size and status["allocated"] <= 1 << 20, status
        run(client, "image.copy", copy("far", "near"))
        assert (one.folder / "near/images/web1/data").read_bytes() == raw.read_bytes()


def test_snapshots_and_sizes(pair, place, tmp_path):
    one, _ = pair
    raw = random_raw(tmp_path / "web1.raw", 8 << 20)
    image = {"repository": "far", "image": "web1"}
    with one.connect() as client:
        connect(client, place)
        import_raw(client, raw, repository="far")
        before = checksum(client, "far", "web1")
        assert client.call("image.resize", dict(image, size=(12 << 20) + 1))["size"] == (12 << 20) + 1
        client.call("image.resize", dict(image, size=8 << 20, force=True))
        run(client, "image.snapshot", dict(image, snapshot="then"))
        status = client.call("image.status", image)
        assert status["base"] == "then" and status["state"] == "optimized", status
        for name in ("web1", "then"):
            assert checksum(client, "far", name) == before
            run(client, "image.copy", copy("far", "near", name, format="raw"))
            assert same(data_path(one.folder / "near", name), raw)
        error = client.error("image.serve", dict(image, image="then"))
        assert error.name == "BackendUnavailable", error
        assert client.call("repository.check", {"repository": "far"})["problems"] == []


@pytest.mark.parametrize("name, arguments, options", [
    ("distributed", ("transport", "tcp"), ()),
    ("dispersed", ("disperse", "3", "redundancy", "1"), ()),
    ("sharded", ("replica", "3"), (("features.shard", "on"), ("features.shard-block-size", "4MB"))),
])
def test_volumes_of_every_making(pair, gluster, tmp_path, name, arguments, options):
    one, _ = pair
    raw = random_raw(tmp_path / "web1.raw", SIZE)
    gluster.make_volume(name, 3, *arguments, options=options)
    with one.connect() as client:
        connect(client, {"kind": "gluster", "volume": name, "servers": ["10.77.1.1"]})
        import_raw(client, raw)
        for image_format in ("raw", "qcow2"):
            run(client, "image.copy", copy("near", "far", to=image_format, format=image_format))
            client.call("image.snapshot", {"repository": "far", "image": image_format,
                                           "snapshot": f"{image_format}-then"})
            run(client, "image.copy", copy("far", "near", image_format, f"back-{image_format}", format="raw"))
            assert same(data_path(one.folder / "near", f"back-{image_format}"), raw)
            client.call("image.remove", {"repository": "far", "image": image_format})
        assert len(client.call("image.list", {"repository": "far"})["images"]) == 2
        assert client.call("repository.check", {"repository": "far"})["problems"] == []


def test_what_one_agent_changes_the_other_sees_at_once(pair, place):
    """Nothing of it is served from a cache of libgfapi's."""
    one, two = pair
    with one.connect() as writer, two.connect() as reader:
        connect(writer, place)
        connect(reader, place)
        writer.call("image.create", {"repository": "far", "image": "web1", "size": 1 << 20})
        for i in range(40):
            changed = writer.call("image.update", {"repository": "far", "image": "web1", "userData": {"round": i}})
            seen = reader.call("image.status", {"repository": "far", "image": "web1"})
            assert (seen["generation"], seen["userData"]) == (changed["generation"], {"round": i})
            writer.call("image.create", {"repository": "far", "image": "brief", "size": 1 << 20})
            assert reader.call("image.status", {"repository": "far", "image": "brief"})["state"] == "optimized"
            reader.call("image.remove", {"repository": "far", "image": "brief"})
            error = writer.error("image.status", {"repository": "far", "image": "brief"})
            assert error.name == "ImageNotFound", error


def test_a_running_copy_is_seen_and_left_alone_by_all(pair, place, tmp_path):
    one, two = pair
    raw = random_raw(tmp_path / "web1.raw", SIZE, holes=False)
    with one.connect() as client, two.connect() as other:
        connect(client, place)
        connect(other, place)
        import_raw(client, raw)
        client.call("image.copy", copy("near", "far", bytesPerSecond=SLOW), id="running")
        for looking in (client, other):  # of the same agent, and of another one
            status = looking.call("image.status", {"repository": "far", "image": "web1"})
            assert status["state"] == "broken" and status["copy"]["active"] is True, status
            for method in ("image.resume", "image.remove", "image.fence"):
                error = looking.error(method, {"repository": "far", "image": "web1"})
                assert error.name == "ImageInUse" and "running" in str(error.data.get("holder")), error
        client.hurry("running")
        assert client.call("task.wait", {"task": "running"})["status"] == "done"
        assert other.call("image.status", {"repository": "far", "image": "web1"})["state"] == "optimized"


def test_two_agents_fight_for_one_image_and_one_wins_each_round(pair, place):
    """At the same moment: one makes it, one changes a generation, one removes it; never two, never none."""
    clients = [agent.connect() for agent in pair]
    for client in clients:
        connect(client, place)

    def both(method, params):
        results = [None, None]
        start = threading.Barrier(2)

        def fight(i):
            start.wait()
            try:
                results[i] = clients[i].call(method, params)
            except RpcError as error:
                results[i] = error
        threads = [threading.Thread(target=fight, args=(i,)) for i in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        lost = [r for r in results if isinstance(r, RpcError)]
        assert len(lost) == 1, (method, results)
        return lost[0].name

    image = {"repository": "far", "image": "prize"}
    for i in range(ROUNDS):
        assert both("image.create", dict(image, size=1 << 20)) == "ImageExists"
        for generation in (1, 2):
            assert both("image.update", dict(image, userData={"round": i}, ifGeneration=generation)) \
                in ("ImageInUse", "Conflict")
            for client in clients:
                assert client.call("image.status", image)["generation"] == generation + 1
        assert both("image.remove", image) in ("ImageInUse", "ImageNotFound")
        for client in clients:
            assert client.error("image.status", image).name == "ImageNotFound"
    assert clients[0].call("repository.check", {"repository": "far"})["problems"] == []
    for client in clients:
        client.close()


@pytest.mark.parametrize("image_format", ["raw", "qcow2"])
def test_a_killed_agents_copy_is_continued_by_another(pair, place, tmp_path, image_format):
    one, two = pair
    raw = random_raw(tmp_path / "web1.raw", SIZE, holes=False)
    with one.connect() as client, two.connect() as other:
        connect(client, place)
        connect(other, place)
        import_raw(client, raw)
        run(client, "image.copy", copy("near", "far", to="source"))
        client.call("image.copy", copy("far", "far", "source", "web1", bytesPerSecond=SLOW, format=image_format),
                    id="killed")
        one.kill()
        # The bricks notice, and drop its lock.
        wait_for(lambda: not other.call("image.status", {"repository": "far", "image": "web1"})["copy"]["active"],
                 "the lock of the dead")
        other.call("image.resume", {"repository": "far", "image": "web1"}, id="resumed")
        other.hurry("resumed")
        assert other.call("task.wait", {"task": "resumed"})["status"] == "done"
        assert checksum(other, "far", "web1") == checksum(other, "far", "source")
        run(other, "image.export", {"repository": "far", "image": "web1", "path": str(tmp_path / "out"),
                                    "format": "raw"})
    assert same(tmp_path / "out", raw)


def test_a_copy_survives_the_death_of_a_brick(pair, gluster, volume, tmp_path):
    name, place = volume
    raw = random_raw(tmp_path / "web1.raw", SIZE, holes=False)
    with pair[0].connect() as client:
        connect(client, place)
        import_raw(client, raw)
        client.call("image.copy", copy("near", "far", bytesPerSecond=SLOW), id="copy")
        gluster.kill_brick(name, 0)
        assert client.call("task.status", {"task": "copy"})["status"] == "running"
        client.hurry("copy")
        assert client.call("task.wait", {"task": "copy"})["status"] == "done"
        run(client, "image.copy", copy("far", "near", to="back"))
    assert same(data_path(pair[0].folder / "near", "back"), raw)


def test_a_lock_outlives_a_brick_that_was_away(pair, gluster, volume, tmp_path):
    name, place = volume
    raw = random_raw(tmp_path / "web1.raw", SIZE, holes=False)
    with pair[0].connect() as client, pair[1].connect() as other:
        connect(client, place)
        connect(other, place)
        import_raw(client, raw)
        client.call("image.copy", copy("near", "far", bytesPerSecond=SLOW), id="copy")
        gluster.kill_brick(name, 1)
        gluster.restart_bricks(name, 3)
        error = other.error("image.remove", {"repository": "far", "image": "web1"})
        assert error.name == "ImageInUse", error
        assert other.call("image.status", {"repository": "far", "image": "web1"})["copy"]["active"] is True
        client.call("task.abort", {"task": "copy"})
        assert client.call("task.wait", {"task": "copy"})["status"] == "aborted"


def test_a_copy_whose_bricks_were_all_away_ends(pair, gluster, volume, tmp_path):
    """They have forgotten its lock: another agent may have the image by the time they are back."""
    name, place = volume
    raw = random_raw(tmp_path / "web1.raw", SIZE, holes=False)
    with pair[0].connect() as client, pair[1].connect() as other:
        connect(client, place)
        connect(other, place)
        import_raw(client, raw)
        client.call("image.copy", copy("near", "far", bytesPerSecond=SLOW), id="copy")
        gluster.kill_bricks(name)
        gluster.restart_bricks(name, 3)
        ended = client.call("task.wait", {"task": "copy"})
        assert ended["status"] == "failed" and ended["error"]["data"]["name"] == "RepositoryUnavailable", ended
        image = {"repository": "far", "image": "web1"}
        wait_for(lambda: answers(other, "image.status", image), "the bricks to be found again")
        status = other.call("image.status", image)
        assert status["state"] == "broken" and status["copy"]["active"] is False, status
        other.call("image.remove", image)


def test_without_bricks_the_repository_is_unavailable_and_others_go_on(pair, gluster, volume, tmp_path):
    name, place = volume
    raw = random_raw(tmp_path / "web1.raw", 4 << 20)
    image = {"repository": "far", "image": "web1"}
    with pair[0].connect() as client:
        connect(client, place)
        client.call("image.create", dict(image, size=1 << 20))
        gluster.kill_bricks(name)
        wait_for(lambda: client.call("repository.status", {"repository": "far"})["health"] == "unavailable",
                 "the loss to be noticed")
        status = client.call("repository.status", {"repository": "far"})
        assert "not connected" in status["reason"], status
        error = client.error("image.status", image)
        assert error.name == "RepositoryUnavailable", error
        begun = time.monotonic()
        import_raw(client, raw, "elsewhere")
        assert time.monotonic() - begun < 5
        gluster.restart_bricks(name, 3)
        wait_for(lambda: client.call("repository.status", {"repository": "far"})["health"] == "ok",
                 "the bricks to be found again")
        assert client.call("image.status", image)["state"] == "optimized"
        client.call("image.remove", image)


def test_a_copy_is_aborted_while_its_bricks_say_nothing(pair, gluster, volume, tmp_path):
    """Nothing that is under way can be called back: it ends when the bricks are given up on."""
    name, place = volume
    raw = random_raw(tmp_path / "web1.raw", SIZE, holes=False)
    with pair[0].connect() as client:
        connect(client, place)
        import_raw(client, raw)
        client.call("image.copy", copy("near", "far", bytesPerSecond=SLOW), id="copy")
        gluster.pause_bricks(name, True)
        client.hurry("copy")
        client.call("task.abort", {"task": "copy"})
        assert client.call("task.wait", {"task": "copy"})["status"] in ("aborted", "failed")
        gluster.pause_bricks(name, False)


def test_a_source_that_is_cut_under_a_copy_fails_it(pair, gluster, place, tmp_path):
    """By somebody who asks for no lock: through a mount, say, or as here on each brick."""
    with pair[0].connect() as client:
        connect(client, place)
        raw = random_raw(tmp_path / "web1.raw", SIZE, holes=False)
        import_raw(client, raw, repository="far")
        client.call("image.copy", copy("far", "near", bytesPerSecond=SLOW), id="copy")
        for number in range(3):
            os.truncate(f"{gluster.brick(place['volume'], number)}{place['path']}/images/web1/data", 4 << 20)
        client.hurry("copy")
        ended = client.call("task.wait", {"task": "copy"})
        assert ended["status"] == "failed", ended
        assert client.call("image.status", {"repository": "near", "image": "web1"})["state"] == "broken"


def test_a_server_that_says_nothing_is_waited_for_ten_seconds(pair, gluster, place):
    """And then tried on: gfapi itself would wait for half an hour."""
    with pair[0].connect() as client:
        gluster.pause_server(True)
        try:
            begun = time.monotonic()
            wanted = {"repository": "far", "create": True, **place}
            waiting = [client.request("repository.connect", dict(wanted, repository=f"far{i}")) for i in range(3)]
            client.call("image.create", {"repository": "near", "image": "elsewhere", "size": 1 << 20})
            assert time.monotonic() - begun < 9
            for id in waiting:
                error = client.wait(id)["error"]
                assert error["data"]["name"] == "RepositoryUnavailable" and "10 s" in error["message"], error
            assert 9 < time.monotonic() - begun < 29  # and not one after the other
        finally:
            gluster.pause_server(False)
        assert client.call("repository.connect", wanted)["health"] == "ok"


def test_bricks_that_say_nothing_hold_up_nobody_else(pair, gluster, volume, tmp_path):
    name, place = volume
    raw = random_raw(tmp_path / "web1.raw", 4 << 20)
    with pair[0].connect() as client:
        connect(client, place)
        client.call("image.create", {"repository": "far", "image": "web1", "size": 1 << 20})
        gluster.run("volume", "set", name, "network.ping-timeout", "15")
        gluster.pause_bricks(name, True)
        waiting = [client.request("image.status", {"repository": "far", "image": "web1"}) for _ in range(20)]
        begun = time.monotonic()
        import_raw(client, raw, "elsewhere")
        assert client.call("host.ping") == {}
        assert time.monotonic() - begun < 12
        answers = [client.wait(id) for id in waiting]
        assert all(answer["error"]["data"]["name"] in ("RepositoryUnavailable", "Busy", "Timeout")
                   for answer in answers), answers
        gluster.pause_bricks(name, False)
        wait_for(lambda: client.call("repository.status", {"repository": "far"})["health"] == "ok",
                 "the bricks to be found again")
