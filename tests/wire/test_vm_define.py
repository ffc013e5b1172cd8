# SPDX-License-Identifier: Apache-2.0
"""Describing VMs on libvirt's test driver, which keeps its domains within the agent: whoever kills the agent kills
them too."""
import re

import pytest

from rig.backend import wait_for_backend
from rig.client import RpcError
from rig.gluster import wait_for

UUID = "3ae3e2d4-2b7a-4d5c-9b8e-00000000000"
BASICS = {"memory": 1 << 26, "cpus": 2}


def image(name, **more):
    return {"repository": "fast", "image": name, **more}


def events(client):
    """What vm.changed and vm.removed have told so far."""
    history = client.call("event.history", {"topics": ["vm.*"], "limit": 1000})["events"]
    return [(each["topic"], each["data"].get("change", {}).get("event"), each["data"]["vm"]) for each in history]


def users(client, name):
    return [use["name"] for use in client.call("image.status", image(name)).get("uses", [])]


def remove_soon(client, name):
    """The agent itself may be at it, to drop the record of a VM that has ended."""
    def removed():
        try:
            client.call("image.remove", image(name))
        except RpcError as error:
            assert error.name == "ImageInUse" and "vm" not in error.data, error
            return False
        return True
    wait_for(removed, f"the end of '{name}'")


@pytest.fixture
def agent(make_agent):
    return make_agent(repositories=["fast"], arguments=["--libvirt", "test:///default"])


@pytest.fixture
def client(agent):
    with agent.connect() as connection:
        wait_for_backend(connection, "libvirt")
        for name in ("a", "b", "c"):
            connection.call("image.create", image(name, size=1 << 20, format="qcow2" if name == "b" else "raw"))
        yield connection


def define(client, name="web1", **more):
    return client.call("vm.define", {"name": name, **BASICS, **more})


def test_a_vm_is_what_was_described(client):
    before = len(events(client))
    status = define(client, disks=[image("a", serial="A1"), image("b", bus="scsi", readonly=True),
                                   {"device": "cdrom"}],
                    networks=[{"source": "default"}, {"kind": "bridge", "source": "br0", "connected": False}],
                    title="Web", description="two\nlines & <more>", userData={"owner": ["<&>", 1.50]},
                    maxCpus=4, maxMemory=1 << 27, console={"kind": "vnc", "listen": "0.0.0.0"})
    assert status == client.call("vm.status", {"vm": "web1"})
    assert events(client)[before:] == [("vm.changed", "defined", "web1")]
    assert (status["state"], status["persistent"], status["autostart"]) == ("shutoff", True, False)
    assert (status["memory"], status["maxMemory"], status["cpus"], status["maxCpus"]) == (1 << 26, 1 << 27, 2, 4)
    assert (status["title"], status["description"]) == ("Web", "two\nlines & <more>")
    assert status["userData"] == {"owner": ["<&>", 1.5]}
    assert [(disk["target"], disk["bus"], disk["image"], disk["format"], disk["serial"], disk["readonly"])
            for disk in status["disks"]] == [("vda", "virtio", "a", "raw", "A1", False),
                                             ("sda", "scsi", "b", "qcow2", None, True),
                                             ("sdb", "sata", None, "raw", None, True)]
    assert [(card["kind"], card["source"], card["linked"]) for card in status["networks"]] == [
        ("network", "default", True), ("bridge", "br0", False)]
    assert len({card["mac"] for card in status["networks"]}) == 2
    xml = client.call("vm.xml", {"vm": "web1"})["xml"]
    assert "passwd=" not in xml and "&lt;more&gt;" in xml
    assert client.call("vm.start", {"vm": "web1"})["state"] == "running"


def test_one_that_is_there_is_replaced_only_when_that_is_asked_for(client):
    first = define(client, disks=[image("a"), image("b")], networks=[{"kind": "user"}, {"kind": "user"}])
    for more in ({}, {"uuid": first["uuid"]}):
        error = client.error("vm.define", {"name": "web1", **BASICS, **more})
        assert (error.name, error.data["kind"], error.data["id"]) == ("AlreadyExists", "vm", "web1")
    assert client.error("vm.create", {"name": "web1", **BASICS}).name == "AlreadyExists"
    assert client.error("vm.create", {"name": "web2", "uuid": first["uuid"], **BASICS}).name == "AlreadyExists"
    other = define(client, "web2")
    for name, uuid in (("web1", other["uuid"]), ("web1", UUID + "7"), ("web3", first["uuid"])):
        error = client.error("vm.define", {"name": name, "uuid": uuid, "replace": True, **BASICS, "disks": [image("c")]})
        assert error.name == "AlreadyExists" and error.data["id"] == "web1" and "its own name" in error.message, error
    assert users(client, "c") == []
    second = define(client, disks=[image("b"), image("c")], networks=[{"kind": "user"}], replace=True, autostart=True)
    assert second["uuid"] == first["uuid"] and second["autostart"]
    assert second["networks"][0]["mac"] == first["networks"][0]["mac"]
    assert (users(client, "a"), users(client, "b"), users(client, "c")) == ([], ["web1"], ["web1"])
    remove_soon(client, "a")
    assert define(client, "new", replace=True)["vm"] == "new"


def test_images_of_a_vm_are_nobody_elses_until_it_is_undefined(client):
    define(client, disks=[image("a"), image("b", readonly=True)])
    error = client.error("vm.define", {"name": "web2", **BASICS, "disks": [image("a")]})
    assert error.name == "ImageInUse" and "web1" in error.message
    assert client.error("image.remove", image("a")).name == "ImageInUse"
    assert client.error("image.resize", image("b", size=1 << 21)).name == "ImageInUse"
    define(client, "web3", disks=[image("b", readonly=True)])
    assert users(client, "b") == ["web1", "web3"] or users(client, "b") == ["web3", "web1"]
    before = len(events(client))
    assert client.call("vm.undefine", {"vm": "web1"}) == {}
    assert events(client)[before:] == [("vm.changed", "undefined", "web1"), ("vm.removed", None, "web1")]
    assert client.error("vm.status", {"vm": "web1"}).name == "NotFound"
    assert (users(client, "a"), users(client, "b")) == ([], ["web3"])
    remove_soon(client, "a")


def test_what_libvirt_refuses_leaves_no_mark_on_images(client):
    xml = f"<domain type='test'><name>x</name><uuid>{UUID}1</uuid><memory>8192</memory><os><type>hvm</type></os>" \
          "<devices>{}</devices></domain>"
    path = client.call("vm.xml", {"vm": define(client, "old", disks=[image("a")])["vm"]})["xml"]
    path = re.search("<source file='([^']*)'", path)[1]
    client.call("vm.undefine", {"vm": "old"})
    disk = f"<disk type='file' device='disk'><source file='{path}'/><target dev='vda' bus='virtio'/></disk>"
    error = client.error("vm.define", {"xml": xml.format(disk + "<nonsense/>")})
    assert (error.name, error.data["param"]) == ("InvalidParams", "xml") and "schema" in error.data["reason"], error
    assert users(client, "a") == []
    status = client.call("vm.define", {"xml": xml.format(disk)})
    assert status["disks"][0]["image"] == "a" and users(client, "a") == ["x"]
    assert client.error("image.remove", image("a")).name == "ImageInUse"


def test_a_transient_vm_lets_go_of_its_images_when_it_ends(client):
    status = client.call("vm.create", {"name": "web1", **BASICS, "disks": [image("a")]})
    assert (status["state"], status["persistent"]) == ("running", False)
    assert client.error("image.remove", image("a")).name == "ImageInUse"
    error = client.error("vm.undefine", {"vm": "web1"})
    assert error.name == "WrongState" and "vm.destroy" in error.data["needs"]
    client.call("vm.destroy", {"vm": "web1"})
    assert client.error("vm.status", {"vm": "web1"}).name == "NotFound"
    remove_soon(client, "a")
    assert client.call("vm.create", {"name": "web1", **BASICS})["state"] == "running"


def test_one_that_runs_is_undefined_only_when_that_is_asked_for(client):
    define(client, disks=[image("a")])
    client.call("vm.start", {"vm": "web1"})
    error = client.error("vm.undefine", {"vm": "web1"})
    assert (error.name, error.data["state"]) == ("WrongState", "running")
    assert client.call("vm.undefine", {"vm": "web1", "keepRunning": True}) == {}
    status = client.call("vm.status", {"vm": "web1"})
    assert (status["state"], status["persistent"]) == ("running", False)
    assert client.error("image.remove", image("a")).name == "ImageInUse"
    client.call("vm.destroy", {"vm": "web1"})
    remove_soon(client, "a")


def test_a_record_that_a_killed_agent_left_is_judged_by_the_next(agent, client):
    define(client, disks=[image("a")])
    agent.kill()
    agent.start()
    with agent.connect() as connection:
        wait_for_backend(connection, "libvirt")
        define(connection, "web2", disks=[image("a")])
        assert users(connection, "a") == ["web2"]


def test_faults_name_their_place(client):
    for params, place in (({"name": "x"}, "memory"),
                          ({"name": "x", **BASICS, "disks": [image("a"), {"image": "b"}]}, "disks[1].repository"),
                          ({"name": "x", **BASICS, "disks": [image("a", tuning={"iops": -1})]},
                           "disks[0].tuning.iops"),
                          ({"name": "a/b", **BASICS}, "name"), ({"name": "a b", **BASICS}, "name"),
                          ({"name": "x", **BASICS, "title": "a\x07"}, "title"),
                          ({"name": "x", **BASICS, "uuid": "no"}, "uuid"),
                          ({"name": "x", **BASICS, "virtualization": "kvm"}, "virtualization"),
                          ({"xml": "<domain/>", "name": "x"}, "xml"), ({"xml": "<domain/>", "title": "x"}, "xml"),
                          ({"xml": "<domain/>", "tpm": True}, "xml"), ({"xml": "<domain/>", "maxCpus": 2}, "xml"),
                          ({"xml": "<domain/>", "console": {}}, "xml"), ({"xml": "<domain"}, "xml"), ({"xml": "<a/>"}, "xml"),
                          ({"xml": "<domain><name>x</name></domain>"}, "xml")):
        error = client.error("vm.define", params)
        assert (error.name, error.data["param"]) == ("InvalidParams", place), (params, error)
    assert "'title' does not go" in client.error("vm.define", {"xml": "<domain/>", "title": "x"}).message
    error = client.error("vm.define", {"name": "x", **BASICS, "disks": [{"repository": "no", "image": "a"}]})
    assert error.name == "RepositoryNotFound"
    assert client.error("vm.define", {"name": "x", **BASICS, "disks": [image("no")]}).name == "ImageNotFound"
    assert client.error("vm.undefine", {"vm": "nobody"}).name == "NotFound"


def test_files_of_the_host_are_for_admins(make_agent, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("operator letmein-0123456789\n")
    tokens.chmod(0o600)
    agent = make_agent(arguments=["--libvirt", "test:///default", "--listen", "127.0.0.1:0", "--token-file",
                                  str(tokens)])
    with agent.connect(url=f"{agent.url()}?token=letmein-0123456789") as client:
        wait_for_backend(client, "libvirt")
        for more in ({"boot": {"kernel": "/boot/vmlinuz"}}, {"serial": {"kind": "file", "path": "/etc/passwd"}}):
            error = client.error("vm.define", {"name": "x", **BASICS, **more})
            assert (error.name, error.data["role"], error.data["needs"]) == ("Forbidden", "operator", "admin")
        error = client.error("vm.create", {"xml": "<domain/>"})
        assert (error.name, error.data["needs"]) == ("Forbidden", "admin")
        assert client.call("vm.define", {"name": "x", **BASICS, "serial": {"kind": "none"}})["vm"] == "x"


def ended(client, task):
    return client.call("task.wait", {"task": task})


def test_memory_is_saved_and_restored(client):
    define(client, disks=[image("a"), image("c", device="cdrom")])
    error = client.error("vm.save", {"vm": "web1"})
    assert (error.name, error.data["state"]) == ("WrongState", "shutoff")
    error = client.error("vm.restore", {"vm": "web1"})
    assert (error.name, error.data["needs"]) == ("WrongState", "saved memory")
    client.call("vm.start", {"vm": "web1"})
    answer = client.call("vm.save", {"vm": "web1"}, id="save1")
    assert answer["state"] == "running" and answer["disks"][0]["image"] == "a"
    status = ended(client, "save1")
    assert status["status"] == "done" and status["result"]["state"] == "shutoff" and status["result"]["saved"]
    assert client.call("vm.status", {"vm": "web1"}) == status["result"]
    error = client.error("vm.undefine", {"vm": "web1"})
    assert error.name == "WrongState" and "managedSave" in error.data["needs"]
    error = client.error("vm.define", {"name": "web1", **BASICS, "replace": True})
    assert error.name == "WrongState" and "saved memory" in error.data["needs"]
    # What it goes on with is not taken from it.
    for verb, params in (("vm.detachDisk", {"disk": "vda"}), ("vm.changeMedia", {}), ("vm.snapshot", {}),
                         ("vm.resizeDisk", {"disk": "vda", "size": 2 << 20}), ("vm.settle", {})):
        error = client.error(verb, {"vm": "web1", **params})
        assert (error.name, error.data["state"]) == ("WrongState", "saved"), (verb, error)
    assert users(client, "a") == users(client, "c") == ["web1"]
    answer = client.call("vm.restore", {"vm": "web1"}, id="restore1")
    assert answer["saved"] and answer["disks"][0]["image"] == "a"
    status = ended(client, "restore1")
    assert status["status"] == "done" and status["result"]["state"] == "running" and not status["result"]["saved"]
    assert client.error("vm.restore", {"vm": "web1"}).data["state"] == "running"
    client.call("vm.save", {"vm": "web1"}, id="save2")
    assert ended(client, "save2")["status"] == "done"
    assert client.call("vm.undefine", {"vm": "web1", "managedSave": True}) == {}
    client.call("vm.create", {"name": "gone", **BASICS})
    assert client.error("vm.save", {"vm": "gone"}).data["state"] == "transient"


def test_the_command_line_takes_records_as_members(agent, client):
    done = agent.cli("vm", "define", "--name", "web1", "--memory", "64M", "--cpus", "1", "--disks",
                     "repository=fast,image=a,tuning.iops=5", "device=cdrom", "--networks", "kind=user,mtu=1400",
                     "--console", "kind=none", "--serial", '{"kind": "none"}', "--user-data", "a=b", check=0)
    status = client.call("vm.status", {"vm": "web1"})
    assert "web1" in done.stdout
    assert [disk["image"] for disk in status["disks"]] == ["a", None] and status["graphics"] == []
    assert status["userData"] == {"a": "b"}
    assert "<total_iops_sec>5<" in client.call("vm.xml", {"vm": "web1"})["xml"]
    done = agent.cli("vm", "define", "--name", "web2", "--memory", "64M", "--cpus", "1", "--disks",
                     "repository=fast,image=b", "image=c", check=1)
    assert "disks[1].repository" in done.stderr
