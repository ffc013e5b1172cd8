# SPDX-License-Identifier: Apache-2.0
"""Repositories of kind nfs, against the kernel's own server; run in a guest (tests/real/test_nfs_repository.py).

The guest itself is the server.  Each agent is a host of its own: a network and a host name apart, with
the file system and the mounts shared, so that a mount outlives the agent as it does anywhere.
"""
import contextlib
import os
import pathlib
import subprocess
import time

import pytest

from rig import reader
from rig.agent import Agent
from rig.client import TIMEOUT
from rig.images import data_path, random_raw, same

SERVER = "10.78.1.1"
EXPORTED = pathlib.Path("/run/export")
SHORT = "timeo=10,retrans=1"  # an answer is waited for two seconds, not fifteen
SLOW = 256 << 10  # bytes a second: a copy that is still there whenever one looks


def sh(text):
    done = subprocess.run(["/bin/sh", "-ec", text], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, f"{done.stdout}"
    return done.stdout


def start_server():
    sh("rpc.nfsd -N 3 4")


def stop_server():
    sh("rpc.nfsd 0")


@pytest.fixture(scope="module", autouse=True)
def server():
    sh(f"""
        modprobe -a nfsd nfs nfsv4 veth ext4 loop
        mkdir -p {EXPORTED} /run/rpc_pipefs /run/netns /var/lib/nfs/nfsdcld /var/lib/nfs/sm
        rm -f /var/lib/nfs/nfsdcld/*; : >/var/lib/nfs/etab; : >/var/lib/nfs/rmtab
        truncate -s 512M /run/disk && mkfs.ext4 -q /run/disk && mount -o loop /run/disk {EXPORTED}
        mount -t rpc_pipefs sunrpc /run/rpc_pipefs
        mount -t nfsd nfsd /proc/fs/nfsd
        nfsdcld -p /run/rpc_pipefs
        for host in 1 2; do
            ip netns add h$host
            ip link add to$host type veth peer name eth0 netns h$host
            ip addr add 10.78.$host.1/24 dev to$host
            ip link set to$host up
            ip -n h$host addr add 10.78.$host.2/24 dev eth0
            ip -n h$host link set eth0 up
            ip -n h$host link set lo up
            ip -n h$host route add default via 10.78.$host.1
            touch /run/uts$host
            unshare --uts=/run/uts$host hostname h$host
        done
        exportfs -o rw,no_root_squash,no_subtree_check,fsid=0,insecure '10.78.0.0/16:{EXPORTED}'
        rpc.nfsd -G 10 -L 90 -N 3 4
        rpc.mountd -N 3
    """)
    yield


@contextlib.contextmanager
def silence(host=1):
    """The server hears the host, and the host hears nothing: no refusal, no reset, as when its power fails."""
    sh(f"ip route add blackhole 10.78.{host}.2/32")
    try:
        yield
    finally:
        sh(f"ip route del blackhole 10.78.{host}.2/32")


class Host(Agent):
    def __init__(self, folder, number, **options):
        super().__init__(folder, name=f"h{number}", **options,
                         wrapper=["nsenter", f"--net=/run/netns/h{number}", f"--uts=/run/uts{number}"])

    def mounts(self):
        """name -> (mount's number, options, source)"""
        found = {}
        for line in open("/proc/self/mountinfo"):
            fields = line.split()
            point = pathlib.Path(fields[4])
            if point.parent == self.run_dir / "mnt":
                rest = fields[fields.index("-"):]
                found[point.name] = (fields[0], f"{fields[5]},{rest[3]}".split(","), rest[2])
        return found


@pytest.fixture
def make_host(tmp_path):
    hosts = []

    def make(number=1, **options):
        hosts.append(Host(tmp_path / f"host{len(hosts)}", number, **options))
        return hosts[-1]

    yield make
    for host in hosts:
        assert host.process is None or host.process.poll() in (None, -9), host.log_text()[-3000:]
        host.kill()
        for name in host.mounts():
            subprocess.run(["umount", "-l", str(host.run_dir / "mnt" / name)], check=True)
        host.close()


@pytest.fixture
def export(request):
    """A fresh folder of the server: its path on the server, as the clients name it."""
    name = request.node.name[-40:]
    (EXPORTED / name).mkdir()
    return f"/{name}"


def connect(client, export, name="far", **more):
    return client.call("repository.connect", {"repository": name, "kind": "nfs", "server": SERVER, "export": export, **more})


def wait_for_health(client, name, health):
    client.event(lambda event: event["params"].get("subject") == name and event["params"]["data"].get("health") == health)


def resume(client):
    """At full speed: what it would go on with is as slow as what was begun."""
    client.call("image.resume", {"repository": "far", "image": "a"}, id="rest")
    client.hurry("rest")
    return client.call("task.wait", {"task": "rest"})


def test_an_export_is_mounted_used_and_unmounted(make_host, export, tmp_path):
    host = make_host(repositories=["near"])
    with host.connect() as client:
        error = client.error("repository.connect", {"repository": "far", "kind": "nfs", "server": SERVER, "export": export})
        assert error.name == "RepositoryUnavailable" and "is no repository" in error.message
        assert client.error("repository.connect", {"repository": "far", "kind": "nfs", "server": SERVER,
                                                   "export": "/nowhere"}).name == "RepositoryUnavailable"
        begun = time.monotonic()
        assert client.error("repository.connect", {"repository": "far", "kind": "nfs", "server": "10.78.1.77",  # nobody's
                                                   "export": "/", "options": SHORT}).name == "RepositoryUnavailable"
        assert time.monotonic() - begun < 120
        status = connect(client, export, create=True)
        assert status["kind"] == "nfs" and status["server"] == SERVER and status["export"] == export
        assert status["path"] == str(host.run_dir / "mnt/far") and status["health"] == "ok"
        _, options, source = host.mounts()["far"]
        assert source == f"{SERVER}:{export}"
        assert {"nosuid", "nodev", "noexec", "softerr", "timeo=50", "retrans=2", "lookupcache=none", "vers=4.2"} <= set(options)
        raw = random_raw(tmp_path / "raw", 12 << 20)
        assert client.run("image.import", {"repository": "far", "image": "a", "path": str(raw),
                                           "sourceFormat": "raw"})["status"] == "done"
        assert client.run("image.copy", {"repository": "far", "image": "a", "targetRepository": "near",
                                         "verify": True})["status"] == "done"
        assert client.run("image.copy", {"repository": "near", "image": "a", "targetRepository": "far",
                                         "targetImage": "b"})["status"] == "done"
        assert client.run("image.copy", {"repository": "far", "image": "b", "targetRepository": "far",
                                         "targetImage": "c"})["status"] == "done"
        client.call("image.remove", {"repository": "far", "image": "b"})
        assert [image["image"] for image in client.call("image.list", {"repository": "far"})["images"]] == ["a", "c"]
        assert client.call("repository.check", {"repository": "far"})["problems"] == []
        client.call("repository.disconnect", {"repository": "far"})
        assert host.mounts() == {} and not (host.run_dir / "mnt/far").exists()
        for name in ("a", "c"):
            assert same(data_path(str(EXPORTED) + export, name), raw)
        assert same(data_path(host.folder / "near", "a"), raw)
        assert reader.leftovers(pathlib.Path(str(EXPORTED) + export)) == []
        assert connect(client, export, options="ro")["readOnly"] is True
        assert client.error("image.remove", {"repository": "far", "image": "a"}).name == "RepositoryUnavailable"
        client.call("repository.disconnect", {"repository": "far"})


def test_two_hosts_see_each_others_images_locks_and_copies_at_once(make_host, export, tmp_path):
    one, two = make_host(1), make_host(2)
    raw = random_raw(tmp_path / "raw", 8 << 20, holes=False)
    with one.connect() as first, two.connect() as second:
        uuid = connect(first, export, create=True)["uuid"]
        assert connect(second, export)["uuid"] == uuid
        for i in range(10):  # asked for before it is there, so that its absence could be remembered
            image = {"repository": "far", "image": f"i{i}"}
            assert second.error("image.status", image).name == "ImageNotFound"
            first.call("image.create", {**image, "size": 4096})
            assert second.call("image.status", image)["generation"] == 1
            assert f"i{i}" in [each["image"] for each in second.call("image.list", {"repository": "far"})["images"]]
            first.call("image.update", {**image, "userData": {"round": i}})
            assert second.call("image.status", image)["userData"] == {"round": i}
            second.call("image.remove", image)
            assert first.error("image.status", image).name == "ImageNotFound"
        first.call("image.import", {"repository": "far", "image": "a", "path": str(raw), "sourceFormat": "raw",
                                    "bytesPerSecond": SLOW}, id="slow")
        copy = second.call("image.status", {"repository": "far", "image": "a"})["copy"]
        assert copy["active"] is True and copy["task"] == "slow"
        for method in ("image.remove", "image.resume"):
            error = second.error(method, {"repository": "far", "image": "a"})
            assert error.name == "ImageInUse" and "slow" in error.data["holder"], (method, error)
        one.kill()
        status = second.call("image.status", {"repository": "far", "image": "a"})
        assert status["state"] == "broken" and status["copy"]["active"] is False
        assert resume(second)["status"] == "done"
        assert same(data_path(str(EXPORTED) + export, "a"), raw)


def test_the_next_agent_adopts_what_the_killed_one_had_mounted(make_host, export):
    host = make_host()
    with host.connect() as client:
        connect(client, export, create=True)
        client.call("image.create", {"repository": "far", "image": "a", "size": 4096})
    number = host.mounts()["far"][0]
    host.restart()
    with host.connect() as client:
        assert client.call("repository.status", {"repository": "far"})["health"] == "ok"
        assert client.call("image.status", {"repository": "far", "image": "a"})["state"] == "optimized"
    assert host.mounts()["far"][0] == number
    host.kill()
    sh(f"umount {host.run_dir}/mnt/far && nsenter --net=/run/netns/h1 mount.nfs {SERVER}:{export} {host.run_dir}/mnt/far -o vers=4")
    host.start()
    with host.connect() as client:
        assert client.call("repository.status", {"repository": "far"})["health"] == "ok"
    assert "noexec" in host.mounts()["far"][1]
    host.kill()
    (host.run_dir / "repositories.json").unlink()
    host.start()
    while host.mounts():  # nobody asks for it any more
        assert host.alive()
    with host.connect() as client:
        assert client.call("repository.list")["repositories"] == []


def begin_copy(client, tmp_path, export, size=12 << 20):
    """A slow copy into the export that has made some progress; the source."""
    raw = random_raw(tmp_path / "raw", size, holes=False)
    connect(client, export, create=True, options=SHORT)
    client.call("event.subscribe", {"topics": ["repository.*", "task.progress"]})
    client.call("image.import", {"repository": "far", "image": "a", "path": str(raw), "sourceFormat": "raw",
                                 "bytesPerSecond": SLOW}, id="doomed")
    client.event(lambda event: event["params"].get("topic") == "task.progress")
    return raw


def go_on(client, export, raw):
    status = client.call("image.status", {"repository": "far", "image": "a"})
    assert status["state"] == "broken" and status["copy"]["active"] is False and status["copy"]["done"] < status["size"], status
    deadline = time.monotonic() + TIMEOUT
    ended = resume(client)
    # A server that has just started lets nobody write for a while (its grace period): SHORT gives up before.
    while ended["status"] == "failed" and time.monotonic() < deadline:
        assert ended["error"]["data"]["name"] == "RepositoryUnavailable", ended
        assert client.call("image.status", {"repository": "far", "image": "a"})["state"] == "broken"
        ended = resume(client)
    assert ended["status"] == "done", ended
    assert same(data_path(str(EXPORTED) + export, "a"), raw)


def test_a_server_that_falls_silent_harms_its_repository_only_which_can_be_left(make_host, export, tmp_path):
    host = make_host(repositories=["near"])
    with host.connect() as client, host.connect() as other:
        raw = begin_copy(client, tmp_path, export)
        with silence():
            client.hurry("doomed")
            begun = time.monotonic()
            for i in range(20):  # while the copy is stuck
                other.call("image.create", {"repository": "near", "image": f"n{i}", "size": 4096})
                other.call("repository.list")
            assert other.run("image.import", {"repository": "near", "image": "n", "path": str(raw),
                                              "sourceFormat": "raw"})["status"] == "done"
            other.call("repository.status", {"repository": "far"})  # it may be said to be well still, but it is said
            assert time.monotonic() - begun < 90
            wait_for_health(client, "far", "unavailable")
            assert time.monotonic() - begun < 120
            begun = time.monotonic()
            assert client.call("repository.status", {"repository": "far"})["health"] == "unavailable"
            assert client.error("image.status", {"repository": "far", "image": "a"}).name == "RepositoryUnavailable"
            assert client.error("repository.disconnect", {"repository": "far"}).name == "WrongState"
            client.call("repository.disconnect", {"repository": "far", "force": True})
            assert host.mounts() == {}
            assert time.monotonic() - begun < 30
        error = client.call("task.wait", {"task": "doomed"})["error"]
        assert error["data"]["name"] in ("RepositoryUnavailable", "BackendFailed"), error
        connect(client, export, options=SHORT)
        go_on(client, export, raw)


def test_a_copy_under_which_the_server_ends_can_be_ended_when_it_is_back(make_host, export, tmp_path):
    host = make_host(repositories=["near"])
    with host.connect() as client:
        raw = begin_copy(client, tmp_path, export)
        stop_server()
        try:
            client.hurry("doomed")
            wait_for_health(client, "far", "unavailable")
            assert client.error("image.status", {"repository": "far", "image": "a"}).name == "RepositoryUnavailable"
            client.call("image.create", {"repository": "near", "image": "n", "size": 4096})
        finally:
            start_server()
        ended = client.call("task.wait", {"task": "doomed"})
        assert ended["status"] == "failed", ended
        assert ended["error"]["data"]["name"] in ("RepositoryUnavailable", "BackendFailed"), ended
        while client.call("repository.status", {"repository": "far"})["health"] != "ok":  # by itself
            client.call("host.ping")
        go_on(client, export, raw)


def test_an_agent_starts_while_the_server_is_down_and_connects_when_it_is_back(make_host, export, tmp_path):
    raw = random_raw(tmp_path / "raw", 8 << 20, holes=False)
    host = make_host(repositories=["near"], config=f"[repository far]\nkind = nfs\nserver = {SERVER}\nexport = {export}\n"
                                                   f"options = {SHORT}\n")
    with host.connect() as client:
        assert client.call("repository.status", {"repository": "far"})["health"] == "unavailable"
        client.call("event.subscribe", {"topics": ["repository.*"]})
        connect(client, export, create=True, options=SHORT)
        client.call("image.import", {"repository": "far", "image": "a", "path": str(raw), "sourceFormat": "raw",
                                     "bytesPerSecond": SLOW}, id="cut")
    host.kill()
    stop_server()
    try:
        host.start()
        with host.connect() as client:
            client.call("event.subscribe", {"topics": ["repository.*"]})
            assert client.call("repository.list")["repositories"][0]["health"] in ("connecting", "unavailable")
            client.call("image.create", {"repository": "near", "image": "n", "size": 4096})
            assert client.error("image.status", {"repository": "far", "image": "a"}).name == "RepositoryUnavailable"
            start_server()
            client.event(lambda event: event["params"].get("topic") == "repository.connected" and event["params"]["subject"] == "far")
            assert resume(client)["status"] == "done"
    finally:
        start_server()
    assert same(data_path(str(EXPORTED) + export, "a"), raw)
