# SPDX-License-Identifier: Apache-2.0
"""vm.stats and what libvirt adds to host.*, on libvirt's test driver: it tells who runs, and nothing of what they use."""
import json
import subprocess

import pytest

from rig.backend import wait_for_backend

COUNT = 500
DOMAIN = """<domain type='test'><name>vm{n:03}</name><uuid>00000000-0000-4000-8000-{n:012}</uuid>
<memory unit='MiB'>64</memory><vcpu>2</vcpu><os><type>hvm</type></os></domain>"""


@pytest.fixture
def crowd(make_agent, tmp_path):
    """An agent of a libvirt with 500 running VMs."""
    node = tmp_path / "node.xml"
    node.write_text("<node>" + "".join(DOMAIN.format(n=n) for n in range(COUNT)) + "</node>")
    agent = make_agent(arguments=["--libvirt", f"test://{node}"])
    with agent.connect() as client:
        wait_for_backend(client, "libvirt")
        agent.client = client
        yield agent


def test_hundreds_of_vms_come_in_pages_that_fit_into_frames(crowd):
    seen, params = [], {"limit": 120}
    while True:
        page = crowd.client.call("vm.stats", params)
        assert len(json.dumps(page)) < 1 << 20 and len(page["vms"]) <= 120
        seen += [(each["vm"], each["state"]) for each in page["vms"]]
        if "next" not in page:
            break
        params["after"] = page["next"]
    assert seen == [(f"vm{n:03}", "running") for n in range(COUNT)]


def test_many_polls_of_many_vms_are_few_questions(crowd):
    """A question each five seconds while it is polled, however often and by how many."""
    client = crowd.client
    begun = client.call("host.stats", {"fresh": True})["uptimeMs"]
    others = [crowd.connect() for _ in range(4)]
    for other in [client, *others]:
        asked = [other.request("vm.stats") for _ in range(20)]
        assert {len(other.wait(each)["result"]["vms"]) for each in asked} == {COUNT}
        if other is not client:
            other.close()
    passed = client.call("host.stats", {"fresh": True})["uptimeMs"] - begun
    assert crowd.log_text().count("vms: sampled") <= 2 + passed // 5000


def test_one_vm_is_told_by_name_or_uuid(crowd):
    client = crowd.client
    told = client.call("vm.stats", {"vm": "vm007"})
    assert [each["vm"] for each in told["vms"]] == ["vm007"]
    uuid = told["vms"][0]["uuid"]
    assert client.call("vm.stats", {"vm": uuid})["vms"] == told["vms"]
    assert client.error("vm.stats", {"vm": "nobody"}).name == "NotFound"
    # The driver tells nothing of what it uses: so does the agent.
    assert told["vms"][0] == {"vm": "vm007", "uuid": uuid, "state": "running", "reason": told["vms"][0]["reason"],
                              "stale": False, "cpu": None, "vcpus": [], "memory": None, "disks": [], "networks": []}


def test_rates_are_of_two_samples(crowd):
    client = crowd.client
    assert client.call("vm.stats", {"vm": "vm000"})["intervalMs"] is None
    told = client.call("vm.stats", {"vm": "vm000", "fresh": True})
    while told["intervalMs"] is None:
        told = client.call("vm.stats", {"vm": "vm000", "fresh": True})
    assert told["intervalMs"] >= 1000


def test_states_are_counted_in_host_stats_and_in_metrics(crowd):
    client = crowd.client
    for n in range(3):
        client.call("vm.pause", {"vm": f"vm{n:03}"})
    client.call("vm.destroy", {"vm": "vm003"})
    virt = client.call("host.stats")["virt"]
    # libvirt's test driver forgets no domain of its file: what was ended is shut off.
    assert virt == {"current": True, "vms": COUNT, "unknown": 0, "running": COUNT - 4, "paused": 3, "stopping": 0,
                    "shutoff": 1, "crashed": 0, "suspended": 0}
    metrics = subprocess.run(["curl", "-sS", "--unix-socket", str(crowd.socket), "http://localhost/metrics"],
                             capture_output=True, text=True, check=True).stdout
    assert f'\nhostler_vms{{state="running"}} {COUNT - 4}\n' in metrics and '\nhostler_vms{state="paused"} 3\n' in metrics
    assert '\nhostler_samples_total{of="host"} 1\n' in metrics and '\nhostler_samples_total{of="vms"} 0\n' in metrics
    told = {each["vm"]: each["state"] for each in client.call("vm.stats")["vms"][:5]}
    assert told == {"vm000": "paused", "vm001": "paused", "vm002": "paused", "vm003": "shutoff", "vm004": "running"}


def test_what_libvirt_offers_is_told_when_it_is_known(crowd):
    client = crowd.client
    virt = client.call("host.capabilities")["virt"]
    while virt["pending"]:
        virt = client.call("host.capabilities")["virt"]
    assert virt["hypervisor"] == "TEST" and virt["guests"] and not virt["kvm"]["usable"]


def test_without_libvirt_it_is_refused(make_agent):
    with make_agent(arguments=["--libvirt", "none"]).connect() as client:
        error = client.error("vm.stats")
        assert error.name == "BackendUnavailable" and "--libvirt none" in error.data["reason"], error
        assert client.call("host.stats")["virt"] is None
        virt = client.call("host.capabilities")["virt"]
        assert virt["pending"] and "--libvirt none" in virt["reason"]
