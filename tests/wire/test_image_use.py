# SPDX-License-Identifier: Apache-2.0
"""Images that virtual machines need: whose records keep them as they are, and how one is let go."""
import fcntl
import json
import shutil
import struct
import subprocess
import time
import uuid

import pytest

from rig.backend import wait_for_backend
from rig.chains import MIB, checksum, import_image, opened_by_a_guest, shows
from rig.images import data_path
from rig.uses import DB, ELSEWHERE, NODE, WEB, note_use, wait_for_users

WEB1 = {"repository": "fast", "image": "web1"}


@pytest.fixture
def image(agent, client, tmp_path):
    """'web1' in 'fast', a disk of 'web' on another host; gives its contents as a raw file."""
    raw = import_image(client, "fast", "web1", tmp_path, "qcow2")
    note_use(agent.folder / "fast", "web1", WEB, "web")
    return raw


def status(client, image="web1"):
    return client.call("image.status", {"repository": "fast", "image": image})


def test_the_status_says_whose_disk_it_is(client, image):
    assert status(client)["uses"] == [{"vm": WEB, "name": "web", "host": ELSEWHERE,
                                       "since": "2026-11-20T21:15:03.120Z", "writable": True}]
    (listed,) = client.call("image.list", {"repository": "fast"})["images"]
    assert listed["uses"] == status(client)["uses"] and listed["state"] == "optimized"


CHANGES = {
    "remove": ("image.remove", {}, "vm.undefine"),
    "snapshot": ("image.snapshot", {"snapshot": "s1"}, "vm.snapshot"),
    "resize": ("image.resize", {"size": 4 * MIB}, "vm.resizeDisk"),
    "optimize": ("image.optimize", {}, "vm.undefine"),
    "serve": ("image.serve", {"writable": True}, "vm.undefine"),
    "ticket": ("image.ticket", {"ops": ["write"], "timeout": 60}, "vm.undefine"),
    "immutable": ("image.update", {"immutable": True}, "vm.snapshot"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_machine_needs_is_not_changed(agent, client, image, change):
    method, params, instead = CHANGES[change]
    error = client.error(method, {**WEB1, **params})
    assert error.name == "ImageInUse" and instead in error.message and "VM 'web'" in error.message, error
    assert (error.data["vm"], error.data["host"]) == (WEB, ELSEWHERE) and "web" in error.data["holder"]
    after = status(client)
    assert (after["generation"], after["state"]) == (1, "optimized") and shows(agent.folder / "fast", "web1", image)


def test_reading_it_and_what_changes_no_contents_is_done(agent, client, image):
    assert client.run("image.copy", {**WEB1, "targetRepository": "slow", "verify": True})["status"] == "done"
    assert client.run("image.verify", WEB1)["status"] == "done"
    assert checksum(client, "fast", "web1")
    client.call("image.update", {**WEB1, "userData": {"a": 1}})
    client.call("image.fence", WEB1)
    client.call("image.serve", WEB1)
    client.call("image.unserve", WEB1)
    assert shows(agent.folder / "fast", "web1", image)
    assert client.call("image.status", {"repository": "slow", "image": "web1"})["uses"] == []


def test_its_base_is_kept(agent, client, image):
    """What a machine's disk stands on is neither removed nor merged, optimized, made mutable or resized."""
    fast = agent.folder / "fast"
    client.call("image.release", {**WEB1, "host": ELSEWHERE})
    client.call("image.update", {**WEB1, "immutable": True})
    client.call("image.create", {"repository": "fast", "image": "over", "size": 3 * MIB, "base": "web1"})
    note_use(fast, "over", DB, "db")
    assert client.error("image.remove", WEB1).name == "ImageHasDependents"
    assert client.error("image.optimize", WEB1).name == "ImageHasDependents"
    assert client.error("image.update", {**WEB1, "immutable": False}).name == "ImageHasDependents"
    assert client.error("image.resize", {**WEB1, "size": 4 * MIB}).name == "ImageImmutable"
    error = client.error("image.merge", {"repository": "fast", "image": "over"})
    assert error.name == "ImageInUse" and "vm.mergeDisk" in error.message
    assert shows(fast, "web1", image) and shows(fast, "over", image)


def test_a_snapshot_that_machines_only_read_is_kept_too(agent, client, image):
    fast = agent.folder / "fast"
    client.call("image.release", {**WEB1, "vm": WEB})
    client.call("image.update", {**WEB1, "immutable": True})
    for vm, name in ((WEB, "web"), (DB, "db")):
        note_use(fast, "web1", vm, name, writable=False)
    client.call("image.create", {"repository": "fast", "image": "over", "size": 3 * MIB, "base": "web1"})
    assert client.error("image.merge", {"repository": "fast", "image": "over"}).name == "ImageInUse"
    client.call("image.remove", {"repository": "fast", "image": "over"})
    for method, params in (("image.remove", {}), ("image.optimize", {}), ("image.update", {"immutable": False})):
        assert client.error(method, {**WEB1, **params}).name == "ImageInUse", method
    assert shows(fast, "web1", image)


def test_an_administrator_lets_go_what_is_gone_for_good(agent, client, image):
    fast = agent.folder / "fast"
    other = str(uuid.uuid4())
    note_use(fast, "web1", DB, "db", host=other)
    assert client.error("image.release", WEB1).data["param"] == "host"
    assert client.error("image.release", {**WEB1, "image": "none", "vm": WEB}).name == "ImageNotFound"
    assert len(client.call("image.release", {**WEB1, "host": other, "vm": WEB})["uses"]) == 2
    with agent.connect() as watcher:
        watcher.call("event.subscribe", {"topics": ["image.changed"]})
        after = client.call("image.release", {**WEB1, "host": other})
        assert watcher.event()["params"]["data"]["uses"] == after["uses"]
    assert [use["vm"] for use in after["uses"]] == [WEB] and after["generation"] == 1
    assert client.error("image.remove", WEB1).name == "ImageInUse"
    assert client.call("image.release", {**WEB1, "vm": "web"})["uses"] == []
    client.call("image.remove", WEB1)


def test_a_record_of_this_host_stays_while_nobody_can_tell(agent, client, image):
    host = client.call("host.info")["hostId"]
    client.call("image.release", {**WEB1, "vm": WEB})
    note_use(agent.folder / "fast", "web1", DB, "db", host=host)
    error = client.error("image.remove", WEB1)
    assert error.name == "ImageInUse" and "on this host" in error.message
    assert client.call("repository.check", {"repository": "fast"})["problems"] == []
    assert client.call("image.release", {**WEB1, "vm": DB})["uses"] == []


def test_what_cannot_be_understood_stands(agent, client, image):
    """It may be a newer agent's, and a machine may need the image."""
    note_use(agent.folder / "fast", "web1", WEB, "web").write_text("{}")
    assert status(client)["uses"][0]["name"] is None
    assert client.error("image.remove", WEB1).name == "ImageInUse"
    assert client.call("image.release", {**WEB1, "vm": WEB})["uses"] == []


def test_left_over_data_of_a_machines_disk_is_left_alone(agent, client, image):
    """Its QEMU may have gone over to it while the agent was down."""
    left = agent.folder / "fast" / "images" / "web1" / f"data-{WEB}"
    left.write_bytes(b"")
    assert client.call("repository.check", {"repository": "fast"})["problems"] == []
    fix = {"action": "unlinkData", "name": "web1"}
    assert client.error("repository.fix", {"repository": "fast", "fix": fix}).name == "ImageInUse"
    client.call("image.release", {**WEB1, "vm": WEB})
    (problem,) = client.call("repository.check", {"repository": "fast"})["problems"]
    assert problem["fix"] == fix
    client.run("repository.fix", {"repository": "fast", "fix": fix})
    assert not left.exists()


@pytest.mark.parametrize("options,changes", [([], ("remove", "snapshot", "resize", "optimize", "serve")),
                                             (["-r"], ("remove", "serve"))], ids=["written", "read"])
def test_what_a_guest_of_nobodys_has_open_is_in_use(agent, client, image, options, changes):
    """QEMU's own locks, for machines that no record tells of: each verb that changes an image looks at them."""
    fast = agent.folder / "fast"
    client.call("image.release", {**WEB1, "vm": WEB})
    with opened_by_a_guest(fast, "web1", *options):
        for change in changes:
            method, params, _ = CHANGES[change]
            error = client.error(method, {**WEB1, **params})
            assert error.name == "ImageInUse", (change, error)
    assert shows(fast, "web1", image)
    client.call("image.remove", WEB1)
    assert not (fast / "images" / "web1").exists()


def test_a_broken_image_that_a_guest_has_open_is_not_removed(agent, client, image):
    fast = agent.folder / "fast"
    client.call("image.release", {**WEB1, "vm": WEB})
    with opened_by_a_guest(fast, "web1"):
        (fast / "images" / "web1" / "image.json").write_text("{")
        assert client.error("image.remove", WEB1).name == "ImageInUse"
    client.call("image.remove", WEB1)


def test_an_older_agent_can_still_read_the_image(agent, client, image):
    record = json.loads((agent.folder / "fast" / "images" / "web1" / "image.json").read_text())
    assert record["version"] == 1
    assert subprocess.run(["qemu-img", "check", "-q", data_path(agent.folder / "fast", "web1")]).returncode == 0


DATA1 = {"repository": "fast", "image": "data1"}


@pytest.fixture
def judged(make_agent, tmp_path):
    """An agent whose libvirt has the VM 'web', with 'web1' over 'base' as its disk; and its host id.  'data1' is
    nobody's."""
    node, images = tmp_path / "node.xml", tmp_path / "agent" / "fast" / "images"
    first = make_agent(repositories=["fast"])
    with first.connect() as client:
        client.call("image.create", {"repository": "fast", "image": "base", "size": MIB})
        client.call("image.update", {"repository": "fast", "image": "base", "immutable": True})
        client.call("image.create", {"repository": "fast", "image": "web1", "size": MIB, "base": "base"})
        client.call("image.create", {**DATA1, "size": MIB})
    first.kill()
    node.write_text(NODE.format(vm=WEB, path=images / "web1" / "data", base=images / "base" / "data"))
    agent = make_agent(repositories=["fast"], arguments=["--libvirt", f"test://{node}"])
    with agent.connect() as client:
        wait_for_users(client, "web1", "web")
        yield agent, client, client.call("host.info")["hostId"]


def test_a_record_stands_while_libvirt_has_the_machine(judged):
    agent, client, host = judged
    for state in ("running", "defined"):
        error = client.error("image.remove", WEB1)
        assert error.name == "ImageInUse" and "on this host: undefine" in error.message, error
        error = client.error("image.release", {**WEB1, "vm": WEB})
        assert error.name == "WrongState" and error.data == {"name": "WrongState", "state": state, "needs": "undefined"}
        assert client.call("repository.check", {"repository": "fast"})["problems"] == []
        if state == "running":
            client.call("vm.destroy", {"vm": "web"})


def test_a_record_whose_machine_is_gone_is_in_nobodys_way(judged):
    agent, client, host = judged
    note_use(agent.folder / "fast", "data1", DB, "db", host=host)
    assert [use["vm"] for use in status(client, "data1")["uses"]] == [DB]
    client.call("image.resize", {**DATA1, "size": 2 * MIB})
    assert status(client, "data1")["uses"] == []


def test_a_record_of_a_disk_that_the_machine_has_no_more_is_dropped(judged):
    agent, client, host = judged
    path = note_use(agent.folder / "fast", "data1", WEB, "web", host=host)
    (problem,) = client.call("repository.check", {"repository": "fast"})["problems"]
    assert (problem["kind"], problem["image"]) == ("clean", "data1") and path.exists()
    assert client.run("repository.fix", {"repository": "fast", "fix": problem["fix"]})["status"] == "done"
    assert client.call("repository.check", {"repository": "fast"})["problems"] == [] and not path.exists()
    assert client.error("repository.fix", {"repository": "fast", "fix": problem["fix"]}).name == "Conflict"


def test_what_a_machines_disk_stands_on_is_a_disk_of_its(judged):
    """As libvirt tells it: QEMU has it open, whatever the records say."""
    agent, client, host = judged
    note_use(agent.folder / "fast", "base", WEB, "web", host=host, writable=False)
    assert client.call("repository.check", {"repository": "fast"})["problems"] == []


def test_two_agents_keep_what_the_other_one_needs(judged, make_agent):
    """Also when it is dead; and none judges what it cannot know."""
    agent, client, host = judged
    config = f"[repository fast]\nkind = dir\npath = {agent.folder / 'fast'}\n"
    other = make_agent("two", config=config, name="two", arguments=["--libvirt", "none"])
    with other.connect() as two:
        for _ in range(2):
            error = two.error("image.remove", WEB1)
            assert error.name == "ImageInUse" and error.data["host"] == host and "image.release" in error.message
            agent.kill()
        assert two.call("image.release", {**WEB1, "host": host})["uses"] == []
        two.call("image.remove", WEB1)


def test_a_machine_that_others_have_defined_gets_its_records(judged):
    """Its disks are kept from then on; another machine's are not taken for it."""
    agent, client, host = judged
    fast = agent.folder / "fast"
    (use,) = status(client)["uses"]
    assert (use["vm"], use["name"], use["host"], use["writable"]) == (WEB, "web", host, True)
    assert client.error("image.remove", {"repository": "fast", "image": "base"}).name == "ImageHasDependents"
    assert status(client, "base")["uses"] == []
    (path,) = (fast / "images" / "web1" / "uses").iterdir()
    path.unlink()
    note_use(fast, "web1", DB, "db")
    client.call("vm.destroy", {"vm": "web"})
    client.call("vm.start", {"vm": "web"})
    deadline = time.monotonic() + 60
    while "VM 'web' has image 'web1' of repository 'fast', and no record" not in agent.log_text():
        assert time.monotonic() < deadline, agent.log_text()
        client.call("host.ping")
    assert [use["vm"] for use in status(client)["uses"]] == [DB]


def test_a_machine_that_is_gone_when_the_agent_starts_holds_nothing(make_agent, tmp_path):
    """On this host it is in nobody's way, but in another's, who cannot judge it."""
    agent = make_agent(repositories=["fast"], arguments=["--libvirt", "test:///default"])
    with agent.connect() as client:
        client.call("image.create", {**DATA1, "size": MIB})
        host = client.call("host.info")["hostId"]
    agent.kill()
    images = agent.folder / "fast" / "images"
    for i in range(501):
        shutil.copytree(images / "data1", images / f"many{i:03}")
    for image in ("data1", "many500"):
        note_use(agent.folder / "fast", image, DB, "db", host=host)
        note_use(agent.folder / "fast", image, DB, "elsewhere")
    agent.start()
    with agent.connect() as client:
        for image in ("data1", "many500"):
            wait_for_users(client, image, "elsewhere")


def test_a_machine_that_ends_for_good_holds_nothing(make_agent):
    agent = make_agent(repositories=["fast"], arguments=["--libvirt", "test:///default"])
    with agent.connect() as client:
        wait_for_backend(client, "libvirt")
        client.call("image.create", {**DATA1, "size": MIB})
        client.call("vm.create", {"name": "db", "memory": 1 << 26, "cpus": 1, "disks": [DATA1]})
        wait_for_users(client, "data1", "db")
        error = client.error("image.remove", DATA1)
        assert error.name == "ImageInUse" and "VM 'db'" in error.message
        with open(agent.folder / "fast/images/data1/lock", "rb") as lock:
            # Somebody reads it just then.
            fcntl.fcntl(lock, 37, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 0, 0, 0))
            client.call("vm.destroy", {"vm": "db"})
        wait_for_users(client, "data1")
        client.call("image.remove", DATA1)


def test_what_was_missed_while_the_repository_was_away_is_caught_up(judged):
    """A machine that ended meanwhile holds nothing, and one that began has its record."""
    agent, client, host = judged
    fast, away = agent.folder / "fast", agent.folder / "away"

    def wait_health(health):
        deadline = time.monotonic() + 60
        while client.call("repository.status", {"repository": "fast"})["health"] != health:
            assert time.monotonic() < deadline
    client.call("vm.create", {"name": "db", "memory": 1 << 26, "cpus": 1, "disks": [DATA1]})
    wait_for_users(client, "data1", "db")
    client.call("vm.destroy", {"vm": "web"})
    (path,) = (fast / "images" / "web1" / "uses").iterdir()
    path.unlink()
    fast.rename(away)
    wait_health("unavailable")
    client.call("vm.destroy", {"vm": "db"})
    client.call("vm.start", {"vm": "web"})
    away.rename(fast)
    wait_health("ok")
    for image, users in (("data1", []), ("web1", ["web"])):
        wait_for_users(client, image, *users)
