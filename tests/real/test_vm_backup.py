# SPDX-License-Identifier: Apache-2.0
"""vm.backup and what belongs to it: real QEMU, whose guest writes all the while."""
import contextlib
import datetime
import json
import os
import pathlib
import subprocess

import pytest
import websockets

from rig.agent import die_with_parent
from rig.backend import wait_for_backend
from rig.gluster import wait_for
from rig.tiny import check_beats
from rig.virt import domain_xml

VM = "saved"
LONG = bool(os.environ.get("HOSTLER_SOAK"))
SLOW = 5_000  # bytes a second: a copy that takes minutes, and so is still there whenever one looks


@pytest.fixture(scope="module")
def guest(virt_host):
    """Writes to vda, a qcow2; vdb is raw."""
    virt_host.start_guest(VM, kind="qcow2", beat="/dev/vda")
    return VM


@pytest.fixture
def host(virt_host, guest):
    """With its guest running, no checkpoint and no backup."""
    if virt_host.domain_state(guest) != "running":
        virt_host.virsh("start", guest)
        virt_host.wait_guest(guest)
    virt_host.virsh("domjobabort", guest, check=False)
    for name in virt_host.virsh("checkpoint-list", guest, "--name", "--topological").stdout.split()[::-1]:
        if virt_host.virsh("checkpoint-delete", guest, name, check=False).returncode != 0:
            virt_host.virsh("checkpoint-delete", guest, name, "--metadata")
    virt_host.wait_beats(guest, 1)
    yield virt_host
    virt_host.virsh("domjobabort", guest, check=False)
    wait_for(lambda: not list(virt_host.own.glob("hostler-backup-*")), "scratch files and sockets to be removed")


@pytest.fixture
def agent(make_agent, host):
    agent = make_agent(**host.agent_options(repositories=["fast"]))
    wait_ready(agent)
    return agent


def wait_ready(agent):
    with agent.connect() as client:
        wait_for_backend(client, "libvirt")


@pytest.fixture
def client(agent):
    with agent.connect() as client:
        yield client


def wish(client, **params):
    """Of a backup whose scratch files are where what is left of them is found."""
    own = client.call("vm.status", {"vm": VM})["disks"][0]["source"]
    return {"vm": VM, "scratch": str(pathlib.Path(own).parent), **params}


def full(client, image, **more):
    return client.run("vm.backup", wish(client, repository="fast", image=image, checkpoint=image, **more))


def begin(client, task, **params):
    """One that takes a while: its answer."""
    return client.call("vm.backup", wish(client, repository="fast", **{"bytesPerSecond": SLOW, **params}), id=task)


def status(client):
    return client.call("vm.backupStatus", {"vm": VM})


def told_at_first(client):
    """What a subscriber hears of backups before anything new happens."""
    client.call("event.subscribe", {"topics": ["vm.backup"], "snapshot": True})
    told = []
    while True:
        event = client.event(lambda each: each["method"] == "event.synced" or each["params"].get("snapshot"))
        if event["method"] == "event.synced":
            assert "incomplete" not in event["params"], event
            return told
        told.append(event["params"]["data"])


def image(client, name):
    return client.call("image.status", {"repository": "fast", "image": name})


def checkpoints(client):
    return {entry["name"]: entry for entry in client.call("vm.checkpoints", {"vm": VM})["checkpoints"]}


def wait_state(client, state):
    """And noted to be, and nobody works on it any more: one that is done is noted before its job is ended."""
    def reached():
        shown = status(client)
        return shown["state"] == state and shown["ended"] and not shown["active"] and not shown["job"]
    wait_for(reached, f"a backup that is {state}")
    return status(client)


def restore(agent, name, target):
    """What the image shows, as a raw file; made by QEMU's own means."""
    data = agent.folder / "fast" / "images" / name / "data"
    kind = json.loads((data.parent / "image.json").read_text())["format"]
    subprocess.run(["qemu-img", "convert", "-f", kind, "-O", "raw", str(data), str(target)], check=True)
    return target


def read_export(host, uri, target):
    """The same moment, read by somebody else."""
    host.inside("nbdcopy", uri, str(target), check=True)
    return target


def export_of(host, disk="vda"):
    job = host.virsh("backup-dumpxml", VM).stdout
    return f"nbd+unix:///{disk}?socket={job.split('socket=')[1][1:].split(chr(39))[0]}"


def equal(one, other):
    return subprocess.run(["cmp", str(one), str(other)], check=False).returncode == 0


def test_each_backup_holds_its_disk_as_it_was_at_its_moment(agent, client, host, tmp_path):
    client.call("event.subscribe", {"topics": ["vm.backup"]})
    begun = begin(client, "full", image="mon", checkpoint="mon")
    assert begun["state"] == "running" and begun["owner"] == "agent" and begun["active"]
    assert [disk["image"] for disk in begun["disks"]] == ["mon-vda"]  # vdb is raw, and holds no bitmaps
    assert image(client, "mon-vda")["state"] == "broken" and image(client, "mon-vda")["copy"]["active"]
    host.wait_beats(VM, 2)
    reference = read_export(host, export_of(host), tmp_path / "reference")
    client.hurry("full")
    ended = client.call("task.wait", {"task": "full"})
    assert ended["status"] == "done" and ended["result"]["state"] == "done", ended
    assert ended["result"]["nextSince"] == "mon" and ended["result"]["frozen"]
    assert image(client, "mon-vda")["state"] == "optimized" and not image(client, "mon-vda")["mutable"]
    restored = restore(agent, "mon-vda", tmp_path / "mon")
    assert equal(restored, reference)
    before = check_beats(restored)

    host.wait_beats(VM, 3)
    task = client.run("vm.backup", {"vm": VM, "repository": "fast", "image": "tue", "base": "mon", "since": "mon",
                                    "checkpoint": "tue"})
    assert task["status"] == "done", task
    assert image(client, "tue-vda")["base"] == "mon-vda"
    restored = restore(agent, "tue-vda", tmp_path / "tue")
    between = check_beats(restored)
    assert between >= before + 3

    host.wait_beats(VM, 2)
    begin(client, "third", image="wed", base="tue", since="tue", checkpoint="wed")
    reference = read_export(host, export_of(host), tmp_path / "reference")
    client.hurry("third")
    assert client.call("task.wait", {"task": "third"})["status"] == "done"
    restored = restore(agent, "wed-vda", tmp_path / "wed")
    assert equal(restored, reference) and check_beats(restored) >= between + 2
    assert image(client, "wed-vda")["allocated"] < image(client, "mon-vda")["allocated"] * 4
    found = checkpoints(client)
    assert [found[name]["parent"] for name in ("mon", "tue", "wed")] == [None, "mon", "tue"]
    assert all(entry["state"] == "ok" and entry["disks"][0]["size"] > 0 for entry in found.values())
    states = []
    client.event(lambda message: states.append(message["params"]["data"]["state"]) or states.count("done") == 3)
    assert states[0] == "running"

    # An increment over anything else than the image of its checkpoint would show a disk that never was.
    assert client.error("vm.backup", {"vm": VM, "repository": "fast", "image": "x", "base": "mon", "since": "wed"}
                        ).name == "Conflict"
    client.call("vm.removeCheckpoint", {"vm": VM, "checkpoint": "tue"})
    assert {name: entry["parent"] for name, entry in checkpoints(client).items()} == {"mon": None, "wed": "mon"}
    assert client.error("vm.removeCheckpoint", {"vm": VM, "checkpoint": "tue"}).name == "NotFound"

    # What libvirt has forgotten, the disk still knows.
    known = client.call("vm.checkpoints", {"vm": VM})["checkpoints"]
    for name in ("wed", "mon"):
        host.virsh("checkpoint-delete", VM, name, "--metadata")
    assert checkpoints(client) == {}
    told = [{key: value for key, value in entry.items() if value is not None} for entry in known]
    again = client.call("vm.redefineCheckpoints", {"vm": VM, "checkpoints": told})["checkpoints"]
    assert [(entry["name"], entry["parent"], entry["created"]) for entry in again] == \
        [(entry["name"], entry["parent"], entry["created"]) for entry in known]
    told[0]["disks"][0]["bitmap"] = told[0]["name"] = "never"
    assert client.error("vm.redefineCheckpoints", {"vm": VM, "checkpoints": told[:1]}).name == "WrongState"
    task = client.run("vm.backup", wish(client, repository="fast", image="thu", base="wed", since="wed"))
    assert task["status"] == "done", task
    assert check_beats(restore(agent, "thu-vda", tmp_path / "thu")) >= check_beats(tmp_path / "wed")


def test_a_raw_disk_is_backed_up_full_and_bad_wishes_are_refused(agent, client, host, tmp_path):
    task = client.run("vm.backup", {"vm": VM, "repository": "fast", "image": "all", "format": "qcow2"})
    assert task["status"] == "done", task
    assert [disk["image"] for disk in task["result"]["disks"]] == ["all-vda", "all-vdb"]
    check_beats(restore(agent, "all-vda", tmp_path / "vda"))
    assert subprocess.run(["e2fsck", "-fn", str(restore(agent, "all-vdb", tmp_path / "vdb"))],
                          capture_output=True, check=False).returncode == 0
    for params, name in (
            ({"image": "x", "checkpoint": "c", "disks": ["vdb"]}, "InvalidParams"),
            ({"image": "x", "disks": ["vdz"]}, "NotFound"),
            ({"image": "x", "disks": ["vda", "vdb", "vda"]}, "InvalidParams"),
            ({"image": "x", "since": "never", "base": "all"}, "NotFound"),
            ({"image": "x", "since": "never"}, "InvalidParams"),
            ({"image": "all"}, "ImageExists"),
            ({}, "InvalidParams"),
            ({"image": "x", "scratch": "/" + 50 * "x"}, "InvalidParams"),
            ({"image": "x", "serve": True}, "InvalidParams")):
        assert client.error("vm.backup", {"vm": VM, "repository": "fast", **params}).name == name, params
    assert client.error("vm.backup", {"vm": VM, "serve": True, "image": "x"}).data["param"] == "image"
    assert client.error("vm.cancelBackup", {"vm": VM}).name == "WrongState"
    assert client.error("vm.finishBackup", {"vm": VM}).name == "WrongState"
    assert client.error("vm.resumeBackup", {"vm": VM}).name == "WrongState"


def test_a_frozen_guest_keeps_its_deadline(client, host):
    host.wait_guest(VM)
    until = client.call("vm.freeze", {"vm": VM, "timeout": 300})["frozenUntil"]
    error = client.error("vm.backup", wish(client, repository="fast", image="x", freeze="always"))
    assert (error.name, error.data["state"]) == ("WrongState", "frozen"), error
    assert full(client, "mon")["status"] == "done"  # as it is
    assert client.call("vm.status", {"vm": VM})["frozenUntil"][:19] == until[:19]
    assert host.guest_agent(VM, "guest-fsfreeze-status") == "frozen"
    assert client.call("vm.thaw", {"vm": VM})["fileSystems"] >= 1


def test_a_second_one_is_refused_at_once_and_a_canceled_one_leaves_no_checkpoint(agent, client, host):
    assert full(client, "mon")["status"] == "done"
    begin(client, "first", image="tue", base="mon", since="mon", checkpoint="tue")
    error = client.error("vm.backup", {"vm": VM, "repository": "fast", "image": "x"})
    assert error.name == "WrongState" and error.data["task"] == "first"
    assert client.error("vm.removeCheckpoint", {"vm": VM, "checkpoint": "mon"}).name == "WrongState"
    shown = status(client)
    assert shown["task"] == "first" and shown["job"] and shown["progress"]["total"] == 32 << 20
    told, = told_at_first(client)
    assert (told["uuid"], told["state"], told["task"]) == (shown["uuid"], "running", "first"), told
    ended = client.call("vm.cancelBackup", {"vm": VM})
    assert ended["state"] == "canceled" and ended["nextSince"] == "mon" and not ended["active"]
    assert client.call("task.wait", {"task": "first"})["status"] == "failed"
    assert list(checkpoints(client)) == ["mon"]
    assert image(client, "tue-vda")["state"] == "broken"
    begin(client, "aborted", image="wed", base="mon", since="mon", checkpoint="wed")
    client.call("task.abort", {"task": "aborted"})
    assert client.call("task.wait", {"task": "aborted"})["status"] == "aborted"
    assert status(client)["state"] == "canceled" and list(checkpoints(client)) == ["mon"]
    # What changed since is not lost with it.
    client.call("image.remove", {"repository": "fast", "image": "tue-vda"})
    task = client.run("vm.backup", {"vm": VM, "repository": "fast", "image": "tue", "base": "mon", "since": "mon"})
    assert task["status"] == "done" and task["result"]["nextSince"] == "mon"


def test_what_is_served_is_the_callers_until_it_says_so_or_its_deadline(agent, client, host, tmp_path):
    served = client.call("vm.backup", wish(client, serve=True, checkpoint="mon"))
    assert served["state"] == "served" and served["until"]
    uri = served["disks"][0]["uri"]
    host.wait_beats(VM, 2)
    assert host.inside("nbdinfo", "--size", uri, check=True).stdout.strip() == str(32 << 20)
    moment = check_beats(read_export(host, uri, tmp_path / "one"))
    assert client.error("vm.backup", {"vm": VM, "repository": "fast", "image": "x"}).name == "WrongState"
    assert status(client)["state"] == "served" and status(client)["task"]
    assert client.call("vm.finishBackup", {"vm": VM})["nextSince"] == "mon"
    assert status(client)["state"] == "done"
    served = client.call("vm.backup", wish(client, serve=True, since="mon"))
    disk = served["disks"][0]
    dirty = host.inside("nbdinfo", f"--map={disk['bitmap']}", "--totals", disk["uri"], check=True).stdout
    assert "dirty" in dirty
    client.call("vm.finishBackup", {"vm": VM})
    client.call("vm.backup", wish(client, serve=True, since="mon", checkpoint="tue", timeout=1))
    ended = wait_state(client, "failed")
    assert "deadline" in ended["error"] and list(checkpoints(client)) == ["mon"] and moment
    client.call("vm.backup", wish(client, serve=True, since="mon", checkpoint="wed"))
    host.virsh("domjobabort", VM)  # behind the agent's back
    wait_for(lambda: "wed" not in checkpoints(client), "what is left to be removed")
    assert wait_state(client, "failed")["nextSince"] == "mon"


def end_while_served(client, host, name, seconds):
    """A transient VM; None: its deadline has come before its end."""
    host.start_domain(domain_xml(name, [host.make_disk(name)]), define=False)
    wait_for(lambda: name in [vm["vm"] for vm in client.call("vm.list")["vms"]], "the agent to know it")
    served = client.call("vm.backup", {"vm": name, "serve": True, "timeout": seconds, "scratch": str(host.own)})
    host.virsh("destroy", name)  # its socket goes, too, which the fixture looks for
    in_time = datetime.datetime.now(datetime.timezone.utc) < datetime.datetime.fromisoformat(served["until"])
    return (name, seconds) if in_time else None


def test_a_transient_vm_takes_what_is_served_of_it_along(agent, client, host):
    tries = (end_while_served(client, host, f"passing{seconds}", seconds) for seconds in (1, 5, 25, 60))
    name, seconds = next(ended for ended in tries if ended)
    client.call("vm.backup", wish(client, serve=True, timeout=seconds))  # its deadline is the later one
    wait_state(client, "failed")
    assert f"the backup of '{VM}' was served until its deadline" in agent.log_text()
    assert f"the backup of '{name}' was served" not in agent.log_text()


def test_an_agent_that_starts_goes_on_with_what_one_was_killed_at(agent, client, host, tmp_path):
    begin(client, "first", image="mon", checkpoint="mon", onCrash="resume")
    reference = read_export(host, export_of(host), tmp_path / "reference")
    agent.restart()
    wait_ready(agent)
    with agent.connect() as second:
        wait_for(lambda: status(second)["active"] or status(second)["state"] == "done", "it to go on")
        if status(second)["active"]:
            second.hurry(status(second)["task"])
        ended = wait_state(second, "done")
        told, = told_at_first(second)
        assert ended["nextSince"] == told["nextSince"] == "mon" and told["state"] == "done", told
        assert equal(restore(agent, "mon-vda", tmp_path / "mon"), reference)
        # Left to its caller, it is told, and neither ended nor gone on with.
        begin(second, "left", image="tue", base="mon", since="mon", checkpoint="tue")
        reference = read_export(host, export_of(host), tmp_path / "reference")
    agent.restart()
    wait_ready(agent)
    with agent.connect() as third:
        shown = status(third)
        assert shown["state"] == "running" and not shown["active"] and shown["job"], shown
        assert third.error("vm.backup", {"vm": VM, "repository": "fast", "image": "x"}).name == "WrongState"
        resumed = third.call("vm.resumeBackup", {"vm": VM}, id="again")
        assert resumed["state"] == "running"
        third.hurry("again")
        assert third.call("task.wait", {"task": "again"})["status"] == "done"
        assert equal(restore(agent, "tue-vda", tmp_path / "tue"), reference)
        assert check_beats(tmp_path / "tue") >= check_beats(tmp_path / "mon")
        # And one whose deadline came while no agent was there.
        third.call("vm.backup", wish(third, serve=True, timeout=1))
    agent.kill()
    agent.start()
    wait_ready(agent)
    with agent.connect() as fourth:
        assert "deadline" in wait_state(fourth, "failed")["error"]


# Each of these is one of libvirt's answers, or the end of a durable act.
KILLS = [("write", n) for n in range(1, 30)] + [(name, n) for name in ("fsync", "renameat2") for n in range(1, 12)] \
    if LONG else [("fsync", 1), ("unlinkat", 1)]  # before its job is begun; when its image is complete


def kill_at(agent, host, name, n):
    """It dies in a thread's n-th such call from now on: the tracer, which then ends too."""
    tracer = subprocess.Popen([*host.enter, "strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={name}", "-e",
                               f"inject={name}:signal=SIGKILL:when={n}", "-p", inner_pid(agent)],
                              preexec_fn=die_with_parent)
    wait_for(lambda: not agent.wrapped() or "TracerPid:\t0\n" not in status_text(agent), "the tracer")
    return tracer


def status_text(agent):
    with contextlib.suppress(IndexError, FileNotFoundError):  # it was just being killed
        return pathlib.Path(f"/proc/{agent.wrapped()[0]}/status").read_text()
    return ""


def inner_pid(agent):
    """Its number in its host's cell."""
    return next(line for line in status_text(agent).splitlines() if line.startswith("NSpid")).split()[-1]


def check_truth(agent, before):
    """A backup that was killed somewhere is, in the end, either complete and all of it is there, or not at all."""
    with agent.connect() as client:
        wait_for(lambda: status(client)["state"] not in ("beginning", "running") and not status(client)["active"],
                 "the end of what was left")
        shown = status(client)
        names = [entry["image"] for entry in client.call("image.list", {"repository": "fast"})["images"]]
        states = {name: image(client, name)["state"] for name in names}
        if shown["state"] == "done" and shown["backup"] != before:
            assert list(checkpoints(client)) == ["mon"] and states == {"mon-vda": "optimized"}, (shown, states)
            check_beats(restore(agent, "mon-vda", agent.folder / "restored"))
        else:
            wait_for(lambda: not checkpoints(client), "its checkpoint to be removed")
            assert set(states.values()) <= {"broken"}, (shown, states)
        wait_for(lambda: not status(client)["job"], "the end of its job")
        for name in names:
            client.call("image.remove", {"repository": "fast", "image": name})
        for name in checkpoints(client):
            client.call("vm.removeCheckpoint", {"vm": VM, "checkpoint": name})


@pytest.mark.parametrize("name, n", KILLS)
def test_killed_anywhere_it_is_complete_or_told_to_be_not(agent, host, name, n):
    before = agent.call("vm.backupStatus", {"vm": VM}).get("backup")
    client = agent.connect()
    params = wish(client, repository="fast", image="mon", checkpoint="mon", onCrash="resume")
    tracer = kill_at(agent, host, name, n)
    with contextlib.suppress(ConnectionError, OSError, websockets.ConnectionClosed), client:
        client.run("vm.backup", params)
    if not LONG:  # there some are past its last such call: then it is simply complete
        wait_for(lambda: not agent.wrapped(), "the agent to be killed")
    tracer.terminate()
    tracer.wait()
    agent.restart()
    wait_ready(agent)
    check_truth(agent, before)


def test_a_killed_qemu_ends_it_and_takes_its_bitmaps_along(agent, client, host):
    assert full(client, "mon")["status"] == "done"
    begin(client, "first", image="tue", base="mon", since="mon", checkpoint="tue")
    host.kill_qemu(VM)
    ended = client.call("task.wait", {"task": "first"})
    assert ended["status"] == "failed", ended
    assert status(client)["state"] == "failed" and status(client)["error"]
    assert image(client, "tue-vda")["state"] == "broken"
    assert {name: entry["state"] for name, entry in checkpoints(client).items()} == {"mon": "unknown"}
    assert client.error("vm.backup", {"vm": VM, "repository": "fast", "image": "x"}).name == "WrongState"
    host.virsh("start", VM)
    host.wait_guest(VM)
    assert checkpoints(client)["mon"]["state"] == "broken"
    error = client.error("vm.backup", {"vm": VM, "repository": "fast", "image": "x", "base": "mon", "since": "mon"})
    assert error.name == "WrongState" and "full backup" in error.data["needs"]
    client.call("vm.removeCheckpoint", {"vm": VM, "checkpoint": "mon"})
    assert full(client, "wed")["status"] == "done" and list(checkpoints(client)) == ["wed"]
    # While no agent was there.
    begin(client, "second", image="thu", base="wed", since="wed", checkpoint="thu")
    agent.kill()
    host.kill_qemu(VM)
    host.wait_state(VM, "shut off")
    agent.start()
    wait_ready(agent)
    with agent.connect() as second:
        assert "ended" in wait_state(second, "failed")["error"]
        wait_for(lambda: list(checkpoints(second)) == ["wed"], "the checkpoint to be removed")


def test_a_killed_libvirtd_holds_nothing_up_but_the_end(agent, client, host, tmp_path):
    begin(client, "first", image="mon", checkpoint="mon")
    reference = read_export(host, export_of(host), tmp_path / "reference")
    host.kill_libvirtd()
    client.hurry("first")
    wait_for(lambda: image(client, "mon-vda")["state"] == "optimized", "the image to be complete")
    host.start_libvirtd()
    ended = client.call("task.wait", {"task": "first"})
    assert ended["status"] == "done", ended
    assert equal(restore(agent, "mon-vda", tmp_path / "mon"), reference)
    assert status(client)["state"] == "done" and not status(client)["job"]


def test_a_backup_of_somebody_else_is_told_and_ended_only_by_force(agent, client, host):
    host.virsh("backup-begin", VM)  # a pushed one, to the end: then a pulled one that stays
    wait_for(lambda: not status(client)["job"], "the end of the pushed one")
    subprocess.run(["rm", "-f", *map(str, host.own.glob(f"{VM}*.qcow2.*"))], check=True)
    xml = ("<domainbackup mode='pull'><server transport='unix' socket='/var/tmp/not-ours.sock'/><disks>"
           "<disk name='vda' backup='yes' type='file'><scratch file='/var/tmp/not-ours'/></disk>"
           "<disk name='vdb' backup='no'/></disks></domainbackup>")
    host.virsh("backup-begin", VM, "/dev/stdin", input=xml)
    shown = status(client)
    assert shown["state"] == "running" and shown["owner"] == "other"
    assert client.error("vm.backup", {"vm": VM, "repository": "fast", "image": "x"}).name == "WrongState"
    assert client.error("vm.cancelBackup", {"vm": VM}).name == "WrongState"
    client.call("vm.cancelBackup", {"vm": VM, "force": True})
    assert not status(client)["job"]
