# SPDX-License-Identifier: Apache-2.0
"""Disks of a guest that writes to them all the time: kept, merged and moved under it, and what libvirt does by itself.
Each beat of the guest is on its disk when its console tells of it, so no image may ever hold fewer."""
import contextlib
import fcntl
import os
import signal
import subprocess

import pytest

from rig import reader
from rig.backend import wait_for_backend
from rig.client import RpcError
from rig.gluster import wait_for
from rig.images import data_path
from rig.tiny import check_beats
from rig.virt import domain_xml

GUEST = "guest"
SLOW = 16384  # bytes a second: a job that is still there whenever one looks


@pytest.fixture(scope="module")
def agent(virt_host, tmp_path_factory):
    """In the host of the guest, whose disks are the image 'web' of its repository 'fast' and 'data' of 'slow'."""
    agent = virt_host.agent(tmp_path_factory.mktemp("agent"), repositories=["fast", "slow"])
    with agent.connect() as client:
        wait_for_backend(client, "libvirt")
        client.call("image.create", {"repository": "fast", "image": "web", "size": 16 << 20})
        client.call("image.create", {"repository": "slow", "image": "data", "size": 1 << 20, "format": "qcow2"})
        xml = domain_xml(GUEST, [data_path(agent.folder / "fast", "web"), agent.folder / "data.qcow2"],
                         beat="/dev/vda,20,1024")
        xml = xml.replace(str(agent.folder / "data.qcow2"), data_path(agent.folder / "slow", "data"))
        client.call("vm.define", {"xml": xml})
        client.call("vm.start", {"vm": GUEST})
    virt_host.wait_beats(GUEST, 2)
    yield agent
    agent.close()


@pytest.fixture
def client(agent):
    with agent.connect() as connection:
        wait_for_backend(connection, "libvirt")
        yield connection


def jobs(client, **wanted):
    """Those that have these members, the youngest first."""
    return [job for job in client.call("vm.jobs", {"vm": GUEST})["jobs"]
            if job["vm"] == GUEST and all(job[name] == value for name, value in wanted.items())]


def place(client):
    """Which image the disk is."""
    disk = next(disk for disk in client.call("vm.status", {"vm": GUEST})["disks"] if disk["target"] == "vda")
    return disk["repository"], disk["image"]


def image(client, name, repository="fast"):
    return client.call("image.status", {"repository": repository, "image": name})


def images(client, repository="fast"):
    return sorted(each["image"] for each in client.call("image.list", {"repository": repository})["images"]
                  if each["image"] != "data")


def contents(agent, folder, name, repository="fast"):
    """A raw copy of what the image shows, bases and all, by qemu-img."""
    record = reader.read_json(agent.folder / repository / "images" / name / "image.json")
    raw = folder / f"{name}.raw"
    subprocess.run(["qemu-img", "convert", "-U", "-f", record["format"], "-O", "raw",
                    data_path(agent.folder / repository, name), str(raw)], check=True)
    return raw


@contextlib.contextmanager
def paused(virt_host):
    """The guest, so that what it has written can be looked at."""
    virt_host.virsh("suspend", GUEST)
    try:
        yield
    finally:
        virt_host.virsh("resume", GUEST)


def check_disk(virt_host, agent, folder, name="web", repository="fast"):
    """The image holds all that the guest has written, and the guest goes on."""
    with paused(virt_host):
        shown = virt_host.beats(GUEST)
        assert check_beats(contents(agent, folder, name, repository)) >= shown
    virt_host.wait_beats(GUEST)


def run(client, verb, **arguments):
    """To the end of its task."""
    task = f"{verb}-{os.urandom(4).hex()}"
    assert client.call(verb, {"vm": GUEST, **arguments}, id=task)["vm"] == GUEST
    status = client.call("task.wait", {"task": task})
    assert status["status"] == "done", status
    return status


def test_a_snapshot_is_what_the_disk_held_at_one_moment(virt_host, agent, client, tmp_path):
    before = virt_host.beats(GUEST)
    answer = client.call("vm.snapshot", {"vm": GUEST, "disks": [{"disk": "vda", "snapshot": "one"}]})
    after = virt_host.wait_beats(GUEST)
    assert answer == {"vm": GUEST, "snapshots": [
        {"disk": "vda", "repository": "fast", "image": "web", "snapshot": "one"}]}
    assert before <= check_beats(contents(agent, tmp_path, "one")) < after + 5
    assert (image(client, "one")["state"], image(client, "one")["mutable"]) == ("optimized", False)
    assert (image(client, "web")["base"], image(client, "web")["state"]) == ("one", "optimized")
    assert place(client) == ("fast", "web")
    check_disk(virt_host, agent, tmp_path)
    error = client.error("vm.snapshot", {"vm": GUEST, "disks": [{"disk": "vda", "snapshot": "one"}]})
    assert error.name == "ImageExists"
    assert client.error("vm.snapshot", {"vm": GUEST, "disks": [{"disk": "vdz"}]}).data["kind"] == "disk"
    assert images(client) == ["one", "web"]
    run(client, "vm.mergeDisk", disk="vda", base="one")


def test_saved_memory_finds_its_disks_as_they_were(virt_host, client):
    run(client, "vm.save")
    for verb, arguments in (("vm.snapshot", {}), ("vm.mergeDisk", {"disk": "vda"}), ("vm.settle", {}),
                            ("vm.resizeDisk", {"disk": "vda", "size": 32 << 20})):
        error = client.error(verb, {"vm": GUEST, **arguments})
        assert (error.name, error.data["state"]) == ("WrongState", "saved"), (verb, error)
    run(client, "vm.restore")
    virt_host.wait_beats(GUEST)


def test_what_is_started_has_the_files_that_its_images_are_now(virt_host, agent, client, tmp_path):
    """Also when it is described otherwise, as after a kill before libvirt was told of them."""
    changes = (("vm.snapshot", {"disks": [{"disk": "vda", "snapshot": "one"}]}, "one"),
               ("vm.mergeDisk", {"disk": "vda", "base": "one"}, None))
    for verb, arguments, base in changes:
        run(client, "vm.destroy")
        before = virt_host.virsh("dumpxml", GUEST, "--inactive").stdout
        run(client, verb, **arguments)
        virt_host.virsh("define", "/dev/stdin", input=before)
        client.call("vm.start", {"vm": GUEST})
        virt_host.wait_beats(GUEST, 2)
        assert place(client) == ("fast", "web") and image(client, "web")["base"] == base
    check_disk(virt_host, agent, tmp_path)


def test_all_disks_are_kept_at_once_or_none(virt_host, agent, client, tmp_path):
    disks = [{"disk": "vda", "snapshot": "one"}, {"disk": "vdb", "snapshot": "data"}]
    assert client.error("vm.snapshot", {"vm": GUEST, "disks": disks}).name == "InvalidParams"
    client.call("image.create", {"repository": "slow", "image": "taken", "size": 1 << 20})
    disks[1]["snapshot"] = "taken"
    assert client.error("vm.snapshot", {"vm": GUEST, "disks": disks}).name == "ImageExists"
    assert images(client) == ["web"] and image(client, "web")["base"] is None
    client.call("image.remove", {"repository": "slow", "image": "taken"})
    virt_host.wait_guest(GUEST)
    client.call("event.subscribe", {"topics": ["vm.changed"]})
    answer = client.call("vm.snapshot", {"vm": GUEST, "freeze": True})["snapshots"]
    assert [(each["disk"], each["image"]) for each in answer] == [("vda", "web"), ("vdb", "data")]
    client.event(lambda event: event["params"]["data"]["frozenUntil"])
    client.event(lambda event: not event["params"]["data"]["frozenUntil"])
    for each in answer:
        assert image(client, each["image"], each["repository"])["base"] == each["snapshot"]
        run(client, "vm.mergeDisk", disk=each["disk"], base=each["snapshot"])
    assert (images(client), images(client, "slow")) == (["web"], [])
    check_disk(virt_host, agent, tmp_path)


def test_a_snapshot_leaves_a_frozen_guest_its_deadline(virt_host, client):
    virt_host.wait_guest(GUEST)
    until = client.call("vm.freeze", {"vm": GUEST, "timeout": 300})["frozenUntil"]
    error = client.error("vm.snapshot", {"vm": GUEST, "freeze": True})
    assert (error.name, error.data["state"]) == ("WrongState", "frozen"), error
    assert images(client) == ["web"] and client.call("vm.status", {"vm": GUEST})["frozenUntil"][:19] == until[:19]
    client.call("vm.thaw", {"vm": GUEST})


def test_a_merge_leaves_one_image_with_all_that_was_written(virt_host, agent, client, tmp_path):
    for name in ("one", "two"):
        client.call("vm.snapshot", {"vm": GUEST, "disks": [{"disk": "vda", "snapshot": name}]})
        virt_host.wait_beats(GUEST, 3)
    assert client.error("vm.mergeDisk", {"vm": GUEST, "disk": "vda", "base": "one"}).name == "Conflict"
    for base in ("two", "one"):
        run(client, "vm.mergeDisk", disk="vda", base=base)
        assert base not in images(client)
    assert images(client) == ["web"]
    assert (image(client, "web")["base"], image(client, "web")["state"]) == (None, "optimized")
    assert {job["state"] for job in jobs(client, kind="merge")} == {"done"}
    assert client.error("vm.mergeDisk", {"vm": GUEST, "disk": "vda"}).name == "WrongState"
    check_disk(virt_host, agent, tmp_path)


def test_a_disk_moves_while_the_guest_writes(virt_host, agent, client, tmp_path):
    task = began(client, "vm.moveDisk", targetRepository="slow", format="qcow2")
    with open(agent.folder / "fast/images/web/lock", "r+b") as lock:  # somebody looks at the old one just then
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        client.call("task.throttle", {"task": task, "bytesPerSecond": 0})
        wait_for(lambda: attempts(client, task, "let the old image go") > 1, "the agent to try again")
        assert images(client) == ["web"]
    assert client.call("task.wait", {"task": task})["status"] == "done"
    assert (images(client), images(client, "slow")) == ([], ["web"])
    assert place(client) == ("slow", "web") and image(client, "web", "slow")["state"] == "optimized"
    check_disk(virt_host, agent, tmp_path, repository="slow")
    run(client, "vm.moveDisk", disk="vda", targetRepository="fast", format="raw", keepSource=True)
    assert (images(client), images(client, "slow")) == (["web"], ["web"])
    check_beats(contents(agent, tmp_path, "web", "slow"))
    check_disk(virt_host, agent, tmp_path)
    assert client.error("vm.moveDisk", {"vm": GUEST, "disk": "vda", "targetRepository": "slow"}).name == "ImageExists"
    client.call("image.remove", {"repository": "slow", "image": "web"})


def test_a_job_that_others_have_begun_is_told_with_its_end(virt_host, agent, client):
    client.call("event.subscribe", {"topics": ["vm.changed"]})
    arguments = ("--transient-job", "--bandwidth", 1)
    virt_host.virsh("blockcopy", GUEST, "vda", "--dest", virt_host.own / "copy.raw", *arguments)
    (job,) = jobs(client, kind="copy")
    assert (job["disk"], job["error"], job["ended"], job["task"]) == ("vda", None, None, None)
    assert job["state"] in ("running", "ready") and job["total"] > 0 and job["bytesPerSecond"] == 1 << 20
    assert job["job"] in [each["job"] for each in client.call("vm.jobs")["jobs"]]
    error = client.error("vm.mergeDisk", {"vm": GUEST, "disk": "vda"})
    assert error.name == "WrongState"
    error = client.error("vm.moveDisk", {"vm": GUEST, "disk": "vda", "targetRepository": "slow"})
    assert (error.name, error.data["state"]) == ("WrongState", "copy")
    error = client.error("vm.snapshot", {"vm": GUEST, "disks": [{"disk": "vda"}]})
    assert (error.name, error.data["state"]) == ("WrongState", "copy")
    virt_host.virsh("blockjob", GUEST, "vda", "--abort")
    client.event(lambda event: (event["params"]["data"].get("change") or {}).get("event") == "job-ended")
    (ended,) = jobs(client, kind="copy")
    assert (ended["job"], ended["state"]) == (job["job"], "canceled") and ended["ended"]


def test_what_is_as_recorded_is_left_alone(agent, client):
    settled = client.call("vm.settle", {"vm": GUEST})["disks"]
    assert settled == [{"disk": disk, "repository": repository, "image": name, "found": "as-recorded"}
                       for disk, repository, name in (("vda", "fast", "web"), ("vdb", "slow", "data"))]


def looks(agent):
    """How often the agent has looked for what to go on with."""
    return agent.log_text().count("looked for what goes on without the agent")


def settled(agent, client, before):
    """Once the agent has looked again, and what it then goes on with has ended."""
    wait_for(lambda: looks(agent) > before, "the agent to look")
    wait_for(lambda: not client.call("task.list", {"status": "running", "idPrefix": ""})["tasks"], "the agent's own tasks")


def restarted(virt_host, agent, wrapper=()):
    """The agent, killed if it lives, and started again; a client of it."""
    for pid, _ in virt_host.cell.processes("hostlerd"):  # it does not die with strace
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    agent.kill()
    wait_for(lambda: not list(virt_host.cell.processes("hostlerd")), "the end of the agent")
    agent.wrapper = [*virt_host.enter, *wrapper]
    agent.start()
    client = agent.connect()
    wait_for_backend(client, "libvirt")
    return client


def killed_at(virt_host, agent, act, change, repository):
    """The agent is killed at its act-th fsync of 'change' and started again; then the image 'web' holds all."""
    strace = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "-e",
              f"inject=fsync:signal=SIGKILL:when={act}")
    with contextlib.suppress(AssertionError, ConnectionError), restarted(virt_host, agent, strace) as client:
        change(client)
    before = looks(agent)
    client = restarted(virt_host, agent)
    settled(agent, client, before)
    virt_host.wait_beats(GUEST)
    clean(client)
    return client


def clean(client):
    """What a kill leaves is freed, and nothing that the guest has open."""
    for repository in ("fast", "slow"):
        for problem in client.run("repository.check", {"repository": repository})["result"]["problems"]:
            if problem["kind"] == "clean":
                client.run("repository.fix", {"repository": repository, "fix": problem["fix"]})


def test_an_image_that_was_made_since_is_not_taken_for_the_one_that_was_moved(virt_host, agent):
    """A kill just after the old image went leaves the note of the move, and others see a name that is free."""
    uri = ("--uri", "https://hostler.org/job/1/vda")
    with agent.connect() as client:
        client.call("image.create", {"repository": "slow", "image": "web", "size": 1 << 20})
    virt_host.virsh("metadata", GUEST, *uri, "--live", "--key", "job", "--set",
                    "<job kind='move' disk='vda' repository='fast' image='web' sourceRepository='slow'"
                    " sourceImage='web' sourceCreated='1'/>")
    before = looks(agent)
    with restarted(virt_host, agent) as client:
        wait_for(lambda: virt_host.virsh("metadata", GUEST, *uri, "--live", check=False).returncode, "the end of the move")
        settled(agent, client, before)
        assert (place(client), images(client, "slow")) == (("fast", "web"), ["web"])
        client.call("image.remove", {"repository": "slow", "image": "web"})


def unless(name, change):
    """What it says, but for the error that tells that it was done before."""
    def run_it(client):
        try:
            change(client)
        except RpcError as error:
            if error.name != name:
                raise
    return run_it


def test_an_agent_killed_at_any_act_leaves_nothing_lost(virt_host, agent, tmp_path):
    kills = range(1, int(os.environ.get("HOSTLER_KILLS", "2")) + 1)
    for act in kills:
        name = f"kill{act}"

        def snapshot(client):
            client.call("vm.snapshot", {"vm": GUEST, "disks": [{"disk": "vda", "snapshot": name}]})

        def merge(client):
            run(client, "vm.mergeDisk", disk="vda", base=name)

        def move(client):
            run(client, "vm.moveDisk", disk="vda", targetRepository=elsewhere)

        here, _ = place_of(agent)
        elsewhere = {"fast": "slow", "slow": "fast"}[here]
        with killed_at(virt_host, agent, act, snapshot, here) as client:
            check_disk(virt_host, agent, tmp_path, repository=here)
            unless("ImageExists", snapshot)(client)
            assert (image(client, "web", here)["base"], image(client, "web", here)["state"]) == (name, "optimized")
            assert image(client, name, here)["state"] == "optimized"
        with killed_at(virt_host, agent, act, merge, here) as client:
            check_disk(virt_host, agent, tmp_path, repository=here)
            if image(client, "web", here)["base"] == name:
                merge(client)
            assert images(client, here) == ["web"]
            assert (image(client, "web", here)["base"], image(client, "web", here)["state"]) == (None, "optimized")
        with killed_at(virt_host, agent, act, move, here) as client:
            check_disk(virt_host, agent, tmp_path, repository=place(client)[0])
            if place(client)[0] == here:
                move(client)
            assert (images(client, here), images(client, elsewhere)) == ([], ["web"])
            check_disk(virt_host, agent, tmp_path, repository=elsewhere)
            assert "<job " not in virt_host.virsh("dumpxml", GUEST).stdout


def filled(virt_host):
    """The guest has written enough for a job to take its time."""
    virt_host.wait_beats(GUEST, 25)


def began(client, verb, **arguments):
    """A job that does not end by itself; its task."""
    task = f"{verb}-{os.urandom(4).hex()}"
    client.call(verb, {"vm": GUEST, "disk": "vda", "bytesPerSecond": SLOW, **arguments}, id=task)
    (job,) = jobs(client, task=task)
    assert (job["state"], job["bytesPerSecond"]) == ("running", SLOW)
    return task


def attempts(client, task, step):
    """How often it was begun."""
    steps = client.call("task.status", {"task": task})["steps"]
    return next(each.get("attempts", 0) for each in steps if each["name"] == step)


def adopted(client, kind, before):
    """The task of the agent's own that is at the job, which another was at before."""
    found = []

    def there():
        found[:] = [job for job in jobs(client, kind=kind, state="running")
                    if job["task"] not in (None, before)]
        return found
    wait_for(there, "the job to be adopted")
    assert found[0]["bytesPerSecond"] == SLOW
    return found[0]["task"]


def concluded(client, task):
    client.call("task.throttle", {"task": task, "bytesPerSecond": 0})
    status = client.call("task.wait", {"task": task})
    assert status["status"] == "done", status


@pytest.mark.parametrize("killed", ["agent", "libvirtd"])
def test_a_job_outlives_what_is_killed_beside_it(virt_host, agent, tmp_path, killed):
    def kill():
        if killed == "agent":
            return restarted(virt_host, agent)
        virt_host.restart_libvirtd()
        client = agent.connect()
        wait_for_backend(client, "libvirt")
        return client

    with agent.connect() as client:
        wait_for_backend(client, "libvirt")
        here, _ = place(client)
        elsewhere = {"fast": "slow", "slow": "fast"}[here]
        client.call("vm.snapshot", {"vm": GUEST, "disks": [{"disk": "vda", "snapshot": "base"}]})
        filled(virt_host)
        task = began(client, "vm.mergeDisk", base="base")
    with kill() as client:
        assert image(client, "web", here)["state"] == "degraded" and image(client, "base", here)["state"] == "broken"
        concluded(client, adopted(client, "merge", task))
        assert images(client, here) == ["web"] and jobs(client)[0]["state"] == "done"
        check_disk(virt_host, agent, tmp_path, repository=here)
        task = began(client, "vm.moveDisk", targetRepository=elsewhere)
    with kill() as client:
        assert image(client, "web", elsewhere)["state"] == "broken"
        concluded(client, adopted(client, "move", task))
        assert (images(client, here), images(client, elsewhere)) == ([], ["web"])
        check_disk(virt_host, agent, tmp_path, repository=elsewhere)


def test_what_is_aborted_leaves_the_guest_its_disk(virt_host, agent, client, tmp_path):
    here, _ = place(client)
    elsewhere = {"fast": "slow", "slow": "fast"}[here]
    filled(virt_host)
    task = began(client, "vm.moveDisk", targetRepository=elsewhere)
    client.call("task.abort", {"task": task})
    assert client.call("task.wait", {"task": task})["status"] == "aborted"
    assert images(client, elsewhere) == [] and jobs(client)[0]["state"] == "canceled"
    client.call("vm.snapshot", {"vm": GUEST, "disks": [{"disk": "vda", "snapshot": "base"}]})
    filled(virt_host)
    task = began(client, "vm.mergeDisk")
    client.call("task.abort", {"task": task})
    assert client.call("task.wait", {"task": task})["status"] == "aborted"
    assert (image(client, "web", here)["state"], image(client, "base", here)["state"]) == ("degraded", "broken")
    check_disk(virt_host, agent, tmp_path, repository=here)
    ended, merged = run(client, "vm.mergeDisk", disk="vda", base="base"), image(client, "web", here)
    assert images(client, here) == ["web"] and merged["state"] == "optimized", (merged, ended)
    check_disk(virt_host, agent, tmp_path, repository=here)


def test_a_qemu_that_dies_in_a_job_starts_again_with_all(virt_host, agent, client, tmp_path):
    here, _ = place(client)
    elsewhere = {"fast": "slow", "slow": "fast"}[here]
    began(client, "vm.moveDisk", targetRepository=elsewhere)
    shown = killed_qemu(virt_host, agent, client)
    assert images(client, elsewhere) == [] and check_beats(contents(agent, tmp_path, "web", here)) >= shown
    client.call("vm.start", {"vm": GUEST})
    virt_host.wait_beats(GUEST)
    client.call("vm.snapshot", {"vm": GUEST, "disks": [{"disk": "vda", "snapshot": "base"}]})
    filled(virt_host)
    began(client, "vm.mergeDisk")
    shown = killed_qemu(virt_host, agent, client)
    assert image(client, "web", here)["state"] == "degraded"
    assert check_beats(contents(agent, tmp_path, "web", here)) >= shown
    run(client, "vm.mergeDisk", disk="vda", base="base")  # at rest
    assert images(client, here) == ["web"] and check_beats(contents(agent, tmp_path, "web", here)) >= shown
    client.call("vm.snapshot", {"vm": GUEST, "disks": [{"disk": "vda", "snapshot": "off"}]})
    assert image(client, "web", here)["base"] == "off"
    client.call("vm.start", {"vm": GUEST})
    virt_host.wait_beats(GUEST)
    run(client, "vm.mergeDisk", disk="vda", base="off")  # its base is known by its own name
    assert "off" not in images(client, here) or image(client, "off", here)["state"] == "broken"
    check_disk(virt_host, agent, tmp_path, repository=here)
    before = looks(agent)
    client.call("vm.destroy", {"vm": GUEST})
    settled(agent, client, before)
    wait_for(lambda: images(client, here) == ["web"], "what waited for the VM to go")
    assert image(client, "web", here)["state"] == "optimized"
    client.call("vm.start", {"vm": GUEST, "paused": True})
    client.call("vm.resume", {"vm": GUEST})


def killed_qemu(virt_host, agent, client):
    """How many beats its console has told of, once all that follows has ended."""
    before = looks(agent)
    virt_host.kill_qemu(GUEST)
    wait_for(lambda: client.call("vm.status", {"vm": GUEST})["state"] in ("shutoff", "crashed"), "the VM to be off")
    settled(agent, client, before)
    return virt_host.beats(GUEST)


def place_of(agent):
    with agent.connect() as client:
        wait_for_backend(client, "libvirt")
        return place(client)
