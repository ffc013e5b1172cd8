# SPDX-License-Identifier: Apache-2.0
"""host.capabilities and host.stats, held against what this test reads of the kernel by itself."""
import json
import os
import pathlib
import subprocess
import threading


def read(path):
    try:
        return pathlib.Path(path).read_text().strip()
    except OSError:
        return None


def memory(name):
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    return None


def cpus_of(text):
    cpus = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        cpus.update(range(int(first), int(last or first) + 1))
    return cpus


def link_names():
    return {path.name for path in pathlib.Path("/sys/class/net").iterdir() if path.is_dir()}


def test_capabilities_are_what_the_kernel_tells(client):
    before = link_names()
    told = client.call("host.capabilities")
    assert told["hostId"] == client.call("host.info")["hostId"]
    assert told["memory"]["size"] == memory("MemTotal") and told["memory"]["swap"] == memory("SwapTotal")
    kernel = told["kernel"]
    assert kernel["release"] == os.uname().release and kernel["architecture"] == os.uname().machine
    assert kernel["bootId"] == read("/proc/sys/kernel/random/boot_id")
    assert kernel["commandLine"] == read("/proc/cmdline")
    cpu = told["cpu"]
    assert cpus_of(cpu["online"]) == cpus_of(read("/sys/devices/system/cpu/online"))
    assert cpu["threads"] == os.sysconf("SC_NPROCESSORS_ONLN") == len(cpu["topology"])
    first = dict(line.split(":", 1) for line in read("/proc/cpuinfo").split("\n\n")[0].splitlines() if ":" in line)
    first = {name.strip(): value.strip() for name, value in first.items()}
    assert cpu["flags"] == first.get("flags", first.get("Features")).split()
    assert cpu["model"] == first.get("model name")
    assert told["machine"]["uuid"] == read("/sys/class/dmi/id/product_uuid")
    assert {node["node"] for node in told["numa"]} == {
        int(path.name[4:]) for path in pathlib.Path("/sys/devices/system/node").glob("node[0-9]*")}
    links = {link["name"]: link for link in told["interfaces"]}
    lasting = before & link_names()  # other tests may make some, and remove them
    assert "lo" in lasting and lasting <= set(links) <= before | link_names()
    for name in lasting:
        link = links[name]
        assert link["mtu"] == int(read(f"/sys/class/net/{name}/mtu"))
        assert link["mac"] == (read(f"/sys/class/net/{name}/address") or None)
    listed = json.loads(subprocess.run(["ip", "-j", "address"], capture_output=True, text=True, check=True).stdout)
    addresses = {link["ifname"]: sorted(f"{each['local']}/{each['prefixlen']}" for each in link["addr_info"])
                 for link in listed if "ifname" in link}
    for name in lasting & set(addresses):
        assert sorted(links[name]["addresses"]) == addresses[name], name
    assert "127.0.0.1/8" in links["lo"]["addresses"]
    assert told["gluster"] == {"version": None}  # it is switched off here


def test_packages_are_those_that_dpkg_lists(client):
    told = {package["name"]: package["version"] for package in client.call("host.capabilities")["packages"]}
    listed = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "qemu-utils"], capture_output=True,
                            text=True, check=True)
    assert told["qemu-utils"] == listed.stdout
    assert client.call("host.capabilities")["packages"], "what was kept is told again"


def test_the_first_stats_have_totals_and_the_next_have_rates(agent, client):
    first = client.call("host.stats", {"cpus": True})
    assert first["intervalMs"] is None and first["cpu"]["idle"] is None
    assert all(link["received"]["bytesPerSecond"] is None for link in first["network"])
    second = client.call("host.stats", {"cpus": True, "fresh": True})
    while second["intervalMs"] is None:  # samples are compared when they are a second apart
        second = client.call("host.stats", {"cpus": True, "fresh": True})
    assert 1000 <= second["intervalMs"]
    shares = ("user", "system", "guest", "idle", "ioWait", "steal")
    for cpu in [second["cpu"], *second["cpus"]]:
        assert abs(sum(cpu[share] for share in shares) - 1) < 0.001, cpu
    assert second["cpu"]["totalMs"] > first["cpu"]["totalMs"]
    assert len(second["cpus"]) == second["cpu"]["online"] == os.sysconf("SC_NPROCESSORS_ONLN")
    assert "cpus" not in client.call("host.stats")


def test_stats_lie_between_what_the_kernel_tells_before_and_after(client):
    def counters():
        lines = [line.replace(":", " ").split() for line in read("/proc/net/dev").splitlines()[2:]]
        return {fields[0]: (int(fields[1]), int(fields[9])) for fields in lines}

    def disks():
        lines = [line.split() for line in read("/proc/diskstats").splitlines()]
        return {fields[2]: int(fields[9]) * 512 for fields in lines}

    network, written, up = counters(), disks(), float(read("/proc/uptime").split()[0])
    stats = client.call("host.stats", {"fresh": True})
    assert up * 1000 - 10 <= stats["uptimeMs"] <= float(read("/proc/uptime").split()[0]) * 1000
    assert stats["memory"]["total"] == memory("MemTotal")
    later, written_later = counters(), disks()
    assert "lo" in network and "lo" in later
    for link in stats["network"]:
        name = link["name"]
        if name not in network or name not in later:  # another test's, which has just come or gone
            continue
        assert network[name][0] <= link["received"]["bytes"] <= later[name][0], name
        assert network[name][1] <= link["sent"]["bytes"] <= later[name][1], name
    for disk in stats["disks"]:
        assert written[disk["name"]] <= disk["writeBytes"] <= written_later[disk["name"]], disk["name"]


def test_the_agent_tells_its_own_figures_and_its_repositories(agent, client):
    stats = client.call("host.stats", {"fresh": True})
    own = stats["agent"]
    status = pathlib.Path(f"/proc/{agent.process.pid}/status").read_text()
    threads = int(next(line for line in status.splitlines() if line.startswith("Threads:")).split()[1])
    assert 1 <= own["threads"] <= threads and own["resident"] > 0 and own["descriptors"] > 3
    assert stats["connections"]["open"] == 1 and stats["connections"]["requests"] >= 1
    space = os.statvfs(agent.folder / "fast")
    told = {repository["repository"]: repository for repository in stats["repositories"]}
    assert set(told) == {"fast", "slow"}
    assert told["fast"]["capacity"] == space.f_blocks * space.f_frsize
    assert told["fast"]["health"] == "ok" and told["fast"]["readLatencyMs"] >= 0


def test_many_who_poll_cost_one_sample(agent):
    clients = [agent.connect() for _ in range(8)]

    def poll(client):
        for _ in range(50):
            client.call("host.stats")

    with clients[0] as client:
        client.call("host.stats")
        begun = client.call("host.stats")["uptimeMs"]
        threads = [threading.Thread(target=poll, args=(one,)) for one in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        passed = client.call("host.stats", {"fresh": True})["uptimeMs"] - begun
    for one in clients[1:]:
        one.close()
    # One at first, one that was asked for, and one each five seconds.
    assert agent.log_text().count("host: sampled") <= 3 + passed // 5000
