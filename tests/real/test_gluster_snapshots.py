# SPDX-License-Identifier: Apache-2.0
"""Snapshots of volumes: in a guest, whose kernel has thin LVM; and what is answered where there is none."""
import pytest

from rig import guest


@pytest.fixture
def client(make_agent, gluster):
    """Of an agent on glusterd's own host."""
    # gluster looks itself up in /proc, so the agent is in the host's PID namespace too; it dies with nsenter.
    agent = make_agent(wrapper=[*gluster.cell.enter, "setpriv", "--pdeathsig", "KILL"])
    with agent.connect() as connection:
        yield connection


@pytest.mark.guest
def test_all_that_needs_thin_lvm_holds_in_a_guest(tmp_path):
    guest.run_tests("test_snapshots.py", tmp_path / "share", memory_mib=2048)


def test_without_thin_lvm_glusterds_reason_is_told(client):
    for method, params in (("volume.snapshot", {"volume": "shared", "snapshot": "s1"}),
                           ("volume.clone", {"volume": "shared", "clone": "copy"})):
        error = client.error(method, params)
        assert error.name == "BackendFailed" and error.data["code"] == 30815, error
        assert "supported only for thin provisioned LV" in error.message and "of shared" in error.data["text"]
    assert client.call("volume.snapshots", {"fresh": True})["snapshots"] == []


def test_what_is_not_there_is_told_by_name(client):
    for method, params, kind, name in (
            ("volume.snapshot", {"volume": "nosuch"}, "volume", "nosuch"),
            ("volume.snapshots", {"volume": "nosuch"}, "volume", "nosuch"),
            ("volume.restore", {"snapshot": "s1"}, "snapshot", "s1"),
            ("volume.activate", {"snapshot": "s1"}, "snapshot", "s1"),
            ("volume.deactivate", {"snapshot": "s1"}, "snapshot", "s1"),
            ("volume.removeSnapshot", {"snapshot": "s1"}, "snapshot", "s1"),
            ("volume.clone", {"snapshot": "s1", "clone": "copy"}, "snapshot", "s1"),
            ("volume.clone", {"volume": "nosuch", "clone": "copy"}, "volume", "nosuch")):
        error = client.error(method, params)
        assert error.name == "NotFound" and (error.data["kind"], error.data["id"]) == (kind, name), (method, error)


def test_what_gluster_would_take_for_something_else_never_reaches_it(client):
    for method, params, param in (
            ("volume.removeSnapshot", {"snapshot": "all"}, "snapshot"),
            ("volume.removeSnapshot", {"snapshot": "volume"}, "snapshot"),
            ("volume.snapshot", {"volume": "shared", "snapshot": "a.b"}, "snapshot"),
            ("volume.snapshot", {"volume": "shared", "description": ""}, "description"),
            ("volume.snapshot", {"volume": "shared", "description": "x" * 1025}, "description"),
            ("volume.clone", {"volume": "shared", "clone": "all"}, "clone"),
            ("volume.clone", {"clone": "copy"}, "snapshot"),
            ("volume.clone", {"clone": "copy", "volume": "shared", "snapshot": "s1"}, "volume")):
        error = client.error(method, params)
        assert error.name == "InvalidParams" and error.data["param"] == param, (method, params, error)
    error = client.error("volume.snapshot", {"volume": "shared", "description": "--remote-host=10.77.1.9"})
    assert error.name == "InvalidParams" and "two dashes" in error.message
