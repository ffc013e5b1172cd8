# SPDX-License-Identifier: Apache-2.0
"""Disks of a guest that writes to them all the time: kept, merged and moved under it, and what libvirt does by itself.
Each beat of the guest is on its disk when its console tells of it, so no image may ever hold fewer."""
import contextlib
import os
import subprocess

import pytest

from rig import reader
from rig.backend import wait_for_backend
from rig.gluster import wait_for
from rig.images import data_path
from rig.tiny import check_beats
from rig.virt import domain_xml

GUEST = "guest"


@pytest.fixture(scope="module")
def agent(virt_host, tmp_path_factory):
    """In the host of the guest; the guest's disk is image 'web' of its repository 'fast'."""
    agent = virt_host.agent(tmp_path_factory.mktemp("agent"), repositories=["fast", "slow"])
    with agent.connect() as client:
        wait_for_backend(client, "libvirt")
        client.call("image.create", {"repository": "fast", "image": "web", "size": 16 << 20})
        client.call("vm.define", {"xml": domain_xml(GUEST, [data_path(agent.folder / "fast", "web")],
                                                    beat="/dev/vda,20,1024")})
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
            if all(job[name] == value for name, value in wanted.items())]


def place(client):
    """Which image the disk is."""
    disk = next(disk for disk in client.call("vm.status", {"vm": GUEST})["disks"] if disk["target"] == "vda")
    return disk["repository"], disk["image"]


def image(client, name, repository="fast"):
    return client.call("image.status", {"repository": repository, "image": name})


def images(client, repository="fast"):
    return sorted(each["image"] for each in client.call("image.list", {"repository": repository})["images"])


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
    client.call(verb, {"vm": GUEST, **arguments}, id=task)
    status = client.call("task.wait", {"task": task})
    assert status["status"] == "done", status
    return status


def test_a_snapshot_is_what_the_disk_held_at_one_moment(virt_host, agent, client, tmp_path):
    before = virt_host.beats(GUEST)
    answer = client.call("vm.snapshot", {"vm": GUEST, "disks": [{"disk": "vda", "snapshot": "one"}]})
    after = virt_host.wait_beats(GUEST)
    assert answer["snapshots"] == [{"disk": "vda", "repository": "fast", "image": "web", "snapshot": "one"}]
    assert before <= check_beats(contents(agent, tmp_path, "one")) < after + 5
    assert (image(client, "one")["state"], image(client, "one")["mutable"]) == ("optimized", False)
    assert (image(client, "web")["base"], image(client, "web")["state"]) == ("one", "optimized")
    assert place(client) == ("fast", "web")
    check_disk(virt_host, agent, tmp_path)
    error = client.error("vm.snapshot", {"vm": GUEST, "disks": [{"disk": "vda", "snapshot": "one"}]})
    assert error.name == "ImageExists"
    assert client.error("vm.snapshot", {"vm": GUEST, "disks": [{"disk": "vdz"}]}).data["kind"] == "disk"
    assert images(client) == ["one", "web"]


def test_a_merge_leaves_one_image_with_all_that_was_written(virt_host, agent, client, tmp_path):
    client.call("vm.snapshot", {"vm": GUEST, "disks": [{"disk": "vda", "snapshot": "two"}]})
    virt_host.wait_beats(GUEST, 3)
    assert client.error("vm.mergeDisk", {"vm": GUEST, "disk": "vda", "base": "one"}).name == "Conflict"
    for base in ("two", "one"):
        run(client, "vm.mergeDisk", disk="vda", base=base)
        assert base not in images(client)
    assert images(client) == ["web"]
    assert (image(client, "web")["base"], image(client, "web")["state"]) == (None, "optimized")
    assert [job["state"] for job in jobs(client, kind="merge")] == ["done", "done"]
    assert client.error("vm.mergeDisk", {"vm": GUEST, "disk": "vda"}).name == "WrongState"
    check_disk(virt_host, agent, tmp_path)


def test_a_disk_moves_while_the_guest_writes(virt_host, agent, client, tmp_path):
    run(client, "vm.moveDisk", disk="vda", targetRepository="slow", format="qcow2")
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
    virt_host.virsh("blockjob", GUEST, "vda", "--abort")
    client.event(lambda event: (event["params"]["data"].get("change") or {}).get("event") == "job-ended")
    (ended,) = jobs(client, kind="copy")
    assert (ended["job"], ended["state"]) == (job["job"], "canceled") and ended["ended"]


def test_what_is_as_recorded_is_left_alone(agent, client):
    settled = client.call("vm.settle", {"vm": GUEST})["disks"]
    assert settled == [{"disk": "vda", "repository": "fast", "image": "web", "found": "as-recorded"}]
