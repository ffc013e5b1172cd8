#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes what glusterd really says into tests/unit/gluster/: one file a question, .xml, or .txt where
gluster prints no XML despite --xml; and README.md's table of the commands.  By hand, as root:

    tests/rig/record-gluster.py [TOPIC...]

A topic is a function below.  All of them take some minutes; each begins with a fresh pool."""
import os
import pathlib
import re
import shlex
import signal
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from rig.gluster import wait_for  # noqa: E402
from rig.pool import Pool  # noqa: E402

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "unit/gluster"
TABLE = "| file | command | status | standard error |\n| --- | --- | --- | --- |\n"


class Recorder:
    def __init__(self, pool, topic):
        self.pool = pool
        self.topic = topic
        self.rows = {}

    def ask(self, *arguments, host=0):
        return self.pool.hosts[host].inside("gluster", "--mode=script", "--xml", *arguments, timeout=300)

    def __call__(self, name, *arguments, host=0, done=None):
        """Asks and records as NAME; with 'done' records that answer."""
        begun = time.monotonic()
        done = done or self.ask(*arguments, host=host)
        is_xml = done.stdout.startswith("<?xml")
        for suffix in (".xml", ".txt"):
            (FOLDER / (name + suffix)).unlink(missing_ok=True)
        file = FOLDER / (name + (".xml" if is_xml else ".txt"))
        file.write_text(done.stdout)
        command = shlex.join(arguments)
        if len(command) > 150:
            command = command[:150] + " …"
        error = " ".join(done.stderr.split()).replace("|", "\\|")
        self.rows[name] = f"| {file.name} | `{command}` | {done.returncode} | {error} |"
        ret = re.search(r"<opRet>(.*?)</opRet>", done.stdout)
        text = re.search(r"<opErrno>.*?</opErrno>\s*<opErrstr.*?(?=\n)", done.stdout, re.DOTALL)
        print(f"{name}: status {done.returncode} opRet {ret and ret.group(1)} "
              f"{text.group(0) if text else done.stdout[:200]!r} {error} [{time.monotonic() - begun:.1f} s]", flush=True)
        return done

    def until(self, name, condition, *arguments, host=0):
        """The first such answer that meets 'condition' (a text in it, or a function of it)."""
        meets = condition if callable(condition) else lambda text: condition in text
        answers = []

        def asked():
            answers.append(self.ask(*arguments, host=host))
            return meets(answers[-1].stdout + answers[-1].stderr)
        try:
            wait_for(asked, f"{name}: {condition}")
        except AssertionError as error:
            raise AssertionError(answers[-1].stdout) from error
        return self(name, *arguments, done=answers[-1])

    def close(self):
        readme = FOLDER / "README.md"
        prose, _, table = readme.read_text().partition(TABLE)
        rows = {line.split(" ", 2)[1].rsplit(".", 1)[0]: line for line in table.splitlines() if line.startswith("| ")}
        rows.update(self.rows)
        readme.write_text(prose + TABLE + "".join(rows[name] + "\n" for name in sorted(rows)))


def peers(record, pool):
    first, second, third, spare = pool.hosts
    record("pool-list", "pool", "list")
    record("peer-status", "peer", "status")
    record("peer-probe", "peer", "probe", spare.address)
    record("peer-probe-member", "peer", "probe", spare.address)
    record("peer-probe-localhost", "peer", "probe", first.address)
    record("peer-probe-unreachable", "peer", "probe", "10.77.2.99")
    record("peer-probe-unknown-name", "peer", "probe", "no-such-host.invalid")
    record("peer-detach", "peer", "detach", spare.address)
    record("peer-detach-unknown", "peer", "detach", spare.address)
    record("peer-detach-localhost", "peer", "detach", first.address)
    record("peer-status-one-alone", "peer", "status", host=3)
    record("pool-list-one-alone", "pool", "list", host=3)
    spare.run("volume", "create", "other", f"{spare.address}:/bricks/other-0", "force")
    record("peer-probe-has-volumes", "peer", "probe", spare.address)
    spare.run("volume", "delete", "other")
    spare.stop_glusterd()
    record("peer-probe-no-glusterd", "peer", "probe", spare.address)
    spare.start_glusterd()
    pool.make_volume("gv0", [pool.brick(1, "gv0", 0), pool.brick(2, "gv0", 0)])
    record("peer-detach-with-bricks", "peer", "detach", third.address)
    record("peer-detach-with-bricks-force", "peer", "detach", third.address, "force")
    pool.remove_volume("gv0")
    pool.make_volume("gv1", [pool.brick(2, "gv1", 0)])
    record("peer-detach-with-whole-volume", "peer", "detach", third.address)
    record("volume-list-detached-with-volume", "volume", "list", host=2)
    third.run("volume", "stop", "gv1", "force")
    third.run("volume", "delete", "gv1")
    record("peer-probe-again", "peer", "probe", third.address)
    second.kill()
    record.until("peer-status-down", "<connected>0</connected>", "peer", "status")
    record("pool-list-down", "pool", "list")
    record("peer-probe-while-one-is-down", "peer", "probe", spare.address)
    record("peer-detach-while-one-is-down", "peer", "detach", spare.address)
    record("peer-detach-down", "peer", "detach", second.address)
    record("peer-detach-down-force", "peer", "detach", second.address, "force")
    first.stop_glusterd()
    record("glusterd-stopped-volume-info", "volume", "info")
    record("glusterd-stopped-pool-list", "pool", "list")
    record("glusterd-stopped-volume-start", "volume", "start", "gv0")
    first.start_glusterd()
    first.pause_glusterd()
    record("glusterd-silent-volume-info", "--timeout=5", "volume", "info")
    first.pause_glusterd(False)


def six(pool, name):
    """Six bricks, two on a host, the hosts by turns."""
    return [pool.brick(number % 3, name, number) for number in range(6)]


def volumes(record, pool):
    """Creation, the life of volumes, their options."""
    first, second, third, spare = pool.hosts
    record("volume-info-none", "volume", "info")
    record("volume-list-none", "volume", "list")
    record("volume-status-none", "volume", "status", "all")
    record("volume-status-tasks-none", "volume", "status", "all", "tasks")
    record("volume-info-unknown", "volume", "info", "nosuch")
    record("volume-status-unknown", "volume", "status", "nosuch")
    record("volume-start-unknown", "volume", "start", "nosuch")
    record("volume-stop-unknown", "volume", "stop", "nosuch")
    record("volume-delete-unknown", "volume", "delete", "nosuch")
    record("volume-set-unknown-volume", "volume", "set", "nosuch", "nfs.disable", "on")
    kinds = {"distribute": (), "replica": ("replica", "3"), "arbiter": ("replica", "3", "arbiter", "1"),
             "disperse": ("disperse", "3", "redundancy", "1"), "distributed-replicate": ("replica", "3"),
             "distributed-disperse": ("disperse", "3", "redundancy", "1")}
    for name, kind in kinds.items():
        bricks = six(pool, name)
        record(f"volume-create-{name}", "volume", "create", name, *kind,
               *(bricks if name.startswith("distributed") else bricks[:3]), "force")
    bricks = [pool.brick(index, "bad", 0) for index in range(3)]
    record("volume-info-created", "volume", "info", "replica")
    record("volume-list", "volume", "list")
    record("volume-create-exists", "volume", "create", "replica", *bricks, "force")
    record("volume-create-relative-brick", "volume", "create", "bad", f"{first.address}:bricks/bad", "force")
    record("volume-create-no-folder", "volume", "create", "bad", f"{first.address}:/bricks/deep/er/bad", "force")
    record("volume-create-brick-in-use", "volume", "create", "bad", six(pool, "replica")[0], "force")
    record("volume-create-brick-within-brick", "volume", "create", "bad", six(pool, "replica")[0] + "/below", "force")
    record("volume-create-not-in-pool", "volume", "create", "bad", f"{spare.address}:/bricks/bad", "force")
    record("volume-create-unknown-host", "volume", "create", "bad", "no-such-host.invalid:/bricks/bad", "force")
    record("volume-create-loopback", "volume", "create", "bad", "127.0.0.1:/bricks/bad", "force")
    record("volume-create-same-brick-twice", "volume", "create", "bad", bricks[0], bricks[0], "force")
    record("volume-create-wrong-count", "volume", "create", "bad", "replica", "3", *bricks[:2], "force")
    record("volume-create-bad-redundancy", "volume", "create", "bad", "disperse", "3", "redundancy", "2", *bricks, "force")
    record("volume-create-replica-2", "volume", "create", "bad", "replica", "2", *bricks[:2])
    record("volume-create-same-host", "volume", "create", "bad", "replica", "3",
           *[pool.brick(0, "same", number) for number in range(3)])
    record("volume-create-root-partition", "volume", "create", "bad", f"{first.address}:/bad")
    record("volume-create-mount-point", "volume", "create", "bad", f"{first.address}:/bricks")
    record("volume-create-bad-name", "volume", "create", "b@d", *bricks, "force")
    record("volume-create-no-bricks", "volume", "create", "bad")
    record("volume-create-bad-transport", "volume", "create", "bad", "transport", "pigeon", *bricks, "force")
    record("volume-status-stopped", "volume", "status", "replica")
    record("volume-stop-not-started", "volume", "stop", "replica")
    record("volume-start", "volume", "start", "replica")
    record("volume-start-started", "volume", "start", "replica")
    record("volume-start-force", "volume", "start", "replica", "force")
    record("volume-delete-started", "volume", "delete", "replica")
    for name in kinds:
        record.ask("volume", "start", name)
    pool.wait_online("distributed-disperse", 6)
    record("volume-info", "volume", "info")
    record("volume-info-one", "volume", "info", "replica")
    record("volume-status-all", "volume", "status", "all")
    record("volume-status-all-detail", "volume", "status", "all", "detail")
    record("volume-status", "volume", "status", "replica")
    record("volume-status-detail", "volume", "status", "replica", "detail")
    first.mount("replica")
    first.fill("/mnt/replica", 5)
    with_open = first.path("/mnt/replica/open").open("w")
    for what in ("clients", "mem", "inode", "fd", "callpool", "client-list", "tasks"):
        record(f"volume-status-{what}", "volume", "status", "replica", what)
    with_open.close()
    first.unmount("replica")
    record("volume-status-brick", "volume", "status", "replica", six(pool, "replica")[0])
    record("volume-status-shd", "volume", "status", "replica", "shd")
    record("volume-status-brick-unknown", "volume", "status", "replica", f"{first.address}:/bricks/nosuch")
    record("volume-status-all-tasks", "volume", "status", "all", "tasks")
    pool.kill_brick(six(pool, "replica")[1])
    record.until("volume-status-dead-brick", "<status>0</status>", "volume", "status", "replica")
    record("volume-status-dead-brick-detail", "volume", "status", "replica", "detail")
    record("volume-status-dead-brick-clients", "volume", "status", "replica", "clients")
    first.run("volume", "start", "replica", "force")
    pool.wait_online("replica", 3)
    third.kill()
    wait_for(lambda: "<connected>0</connected>" in record.ask("peer", "status").stdout, "the death of a host")
    record("volume-status-down-peer", "volume", "status", "replica")
    record("volume-status-down-peer-detail", "volume", "status", "replica", "detail")
    record("volume-info-down-peer", "volume", "info", "replica")
    record("volume-set-down-peer", "volume", "set", "replica", "performance.cache-size", "64MB")
    record("volume-stop-down-peer", "volume", "stop", "distribute")
    record("volume-delete-down-peer", "volume", "delete", "distribute")
    record("volume-create-down-peer", "volume", "create", "bad", *bricks, "force")
    third.boot()
    pool.wait_connected(pool.hosts[:3])
    pool.wait_online("replica", 3)
    record("volume-stop", "volume", "stop", "disperse")
    record("volume-info-stopped", "volume", "info", "disperse")
    record("volume-delete", "volume", "delete", "disperse")
    record("volume-create-brick-was-in-use", "volume", "create", "again", *six(pool, "disperse")[:3])
    record("volume-sync-unknown", "volume", "sync", "no-such-host.invalid")
    record("volume-barrier", "volume", "barrier", "replica", "enable")
    record("volume-statedump", "volume", "statedump", "replica")
    record("volume-clear-locks", "volume", "clear-locks", "replica", "/", "kind", "all", "inode")


def options(record, pool):
    pool.make_volume("gv0", [pool.brick(index, "gv0", 0) for index in range(3)], "replica", "3")
    record("volume-set", "volume", "set", "gv0", "performance.cache-size", "64MB")
    record("volume-set-several", "volume", "set", "gv0", "performance.cache-size", "32MB", "nfs.disable", "on")
    record("volume-set-unknown-option", "volume", "set", "gv0", "no.such-option", "1")
    record("volume-set-nearly", "volume", "set", "gv0", "performance.cache-sized", "1")
    record("volume-set-bad-value", "volume", "set", "gv0", "performance.cache-size", "green")
    record("volume-set-out-of-range", "volume", "set", "gv0", "network.ping-timeout", "999999")
    record("volume-set-bad-boolean", "volume", "set", "gv0", "performance.quick-read", "perhaps")
    record("volume-set-no-value", "volume", "set", "gv0", "performance.cache-size")
    record("volume-set-user-option", "volume", "set", "gv0", "user.owner", "somebody")
    record("volume-set-all", "volume", "set", "all", "cluster.server-quorum-ratio", "51%")
    record("volume-set-all-unknown", "volume", "set", "all", "no.such-option", "1")
    record("volume-set-all-bad", "volume", "set", "all", "performance.cache-size", "64MB")
    record("volume-set-group", "volume", "set", "gv0", "group", "virt")
    record("volume-set-group-unknown", "volume", "set", "gv0", "group", "nosuch")
    record("volume-info-with-options", "volume", "info", "gv0")
    record("volume-get", "volume", "get", "gv0", "performance.cache-size")
    record("volume-get-user-option", "volume", "get", "gv0", "user.owner")
    record("volume-get-all", "volume", "get", "gv0", "all")
    record("volume-get-of-all", "volume", "get", "all", "all")
    record("volume-get-unknown-option", "volume", "get", "gv0", "no.such-option")
    record("volume-get-unknown-volume", "volume", "get", "nosuch", "all")
    record("volume-set-help", "volume", "set", "help")
    record("volume-set-help-xml", "volume", "set", "help-xml")
    record("volume-reset", "volume", "reset", "gv0", "performance.cache-size")
    record("volume-reset-again", "volume", "reset", "gv0", "performance.cache-size")
    record("volume-reset-unknown-option", "volume", "reset", "gv0", "no.such-option")
    record("volume-reset-protected", "volume", "reset", "gv0", "network.ping-timeout")
    record("volume-reset-all", "volume", "reset", "gv0")
    record("volume-reset-all-force", "volume", "reset", "gv0", "force")
    record("volume-reset-unknown-volume", "volume", "reset", "nosuch")


def races(record, pool):
    """Two commands on one volume at once."""
    pool.make_volume("gv0", [pool.brick(index, "gv0", 0) for index in range(3)], "replica", "3")
    pool.run("volume", "profile", "gv0", "start")
    for place, other in (("here", 0), ("elsewhere", 1)):
        ended = threading.Event()

        def disturb(by=other, ended=ended):
            while not ended.is_set():
                record.ask("volume", "set", "gv0", "user.b", "1", host=by)
        threads = [threading.Thread(target=disturb) for _ in range(2)]
        for thread in threads:
            thread.start()
        for name, *question in (("set", "set", "gv0", "user.a", "1"), ("status", "status", "gv0"),
                                ("status-all", "status", "all"), ("status-tasks", "status", "all", "tasks"),
                                ("profile", "profile", "gv0", "info"), ("start", "start", "gv0", "force"),
                                ("heal", "heal", "gv0")):
            record.until(f"busy-{place}-{name}", failed, "volume", *question)
        if other:
            record.until("locking-failed", "ocking failed", "volume", "set", "gv0", "user.a", "1")
        ended.set()
        for thread in threads:
            thread.join()


def services(record, pool):
    """A volume with every service there is, and a task."""
    pool.make_volume("services", [pool.brick(i, "services", i) for i in range(2)])
    for command in (("quota", "services", "enable"), ("bitrot", "services", "enable"),
                    ("set", "services", "features.uss", "enable"),
                    ("add-brick", "services", pool.brick(2, "services", 2), "force"),
                    ("rebalance", "services", "start")):
        pool.run("volume", *command)
    record("status-services-info", "volume", "info", "services")
    record.until("status-services", lambda text: "completed" in text and text.count("Daemon") == 12
                 and "<status>0</status>" not in text, "volume", "status", "services")
    pool.run("volume", "quota", "services", "disable")


def failed(text):
    return "<opRet>0" not in text or ("<volStatus>" in text and "gv0" not in text)


def use(host, folder):
    """Some of each call, so that there is something to count."""
    host.inside("sh", "-c", f"""cd {folder} && mkdir dir 'a<b&c' && for size in 1 2 3; do
        dd if=/dev/zero of=file$size oflag=direct bs=16k count=$size status=none &&
            dd if=file$size of=/dev/null iflag=direct bs=16k status=none
        done && ls . dir && printf x > 'a<b&c/d e'""", check=True)


def profiles(record, pool):
    bricks = [pool.brick(index, "gv0", 0) for index in range(3)]
    # Or it joins writes of its own accord.
    pool.make_volume("gv0", bricks, "replica", "3", options=[("performance.write-behind", "off")])
    pool.run("volume", "create", "gv1", pool.brick(0, "gv1", 0), "force")
    record("volume-profile-info-off", "volume", "profile", "gv0", "info")
    record("volume-profile-stop-off", "volume", "profile", "gv0", "stop")
    record("volume-profile-unknown", "volume", "profile", "nosuch", "start")
    record("volume-profile-start", "volume", "profile", "gv0", "start")
    record("volume-profile-start-again", "volume", "profile", "gv0", "start")
    record("volume-profile-start-stopped-volume", "volume", "profile", "gv1", "start")
    record("volume-profile-info-stopped-volume", "volume", "profile", "gv1", "info")
    use(pool.hosts[0], pool.hosts[0].mount("gv0"))
    held = os.open(pool.hosts[0].path("/mnt/gv0/a<b&c/d e"), os.O_WRONLY)
    os.pwrite(held, b"y", 0)
    os.fsync(held)  # only now it is opened on the bricks
    record("volume-profile-info", "volume", "profile", "gv0", "info")
    record("volume-profile-info-peek", "volume", "profile", "gv0", "info", "peek")
    record("volume-profile-info-incremental", "volume", "profile", "gv0", "info", "incremental")
    record("volume-profile-info-cumulative", "volume", "profile", "gv0", "info", "cumulative")
    for what in ("open", "read", "write", "opendir", "readdir", "read-perf", "write-perf"):
        record(f"volume-top-{what}", "volume", "top", "gv0", what)
    record("volume-top-write-measured", "volume", "top", "gv0", "write-perf", "bs", "4096", "count", "100")
    record("volume-top-brick", "volume", "top", "gv0", "write", "brick", bricks[1], "list-cnt", "2")
    record("volume-top-brick-unknown", "volume", "top", "gv0", "write", "brick", bricks[1] + "x")
    record("volume-top-unknown", "volume", "top", "nosuch", "write")
    record("volume-top-stopped-volume", "volume", "top", "gv1", "write")
    pool.kill_brick(bricks[1])
    record.until("volume-top-brick-dead", lambda text: not text, "volume", "top", "gv0", "write", "brick", bricks[1])
    record("volume-profile-info-dead-brick", "volume", "profile", "gv0", "info", "cumulative")
    record("volume-top-clear", "volume", "top", "gv0", "clear")
    pool.hosts[0].inside("/usr/bin/python3", "-c", r"open(b'/mnt/gv0/not\xffutf8', 'w').write('x')", check=True)
    record("volume-top-not-utf8", "volume", "top", "gv0", "write")
    record("volume-profile-info-clear", "volume", "profile", "gv0", "info", "clear")
    record("volume-profile-stop", "volume", "profile", "gv0", "stop")
    os.close(held)


def quotas(record, pool):
    pool.make_volume("gv0", [pool.brick(index, "gv0", 0) for index in range(3)], "replica", "3")
    pool.run("volume", "create", "gv1", pool.brick(0, "gv1", 0), "force")
    use(pool.hosts[0], pool.hosts[0].mount("gv0"))

    def quota(name, *arguments, volume="gv0"):
        record(f"volume-quota-{name}", "volume", "quota", volume, *arguments)
    quota("unknown", "enable", volume="nosuch")
    quota("stopped-volume", "enable", volume="gv1")
    quota("list-stopped-volume", "list", volume="gv1")
    quota("list-off", "list")
    quota("limit-off", "limit-usage", "/dir", "10485760")
    quota("disable-off", "disable")
    quota("enable", "enable")
    quota("enable-again", "enable")
    quota("list-none", "list")
    quota("list-objects-none", "list-objects")
    quota("limit-usage", "limit-usage", "/dir", "10485760")
    quota("limit-usage-percent", "limit-usage", "/a<b&c", "100000", "60")
    quota("limit-objects", "limit-objects", "/dir", "100", "30")
    quota("limit-usage-unknown-path", "limit-usage", "/nosuch", "10485760")
    quota("limit-usage-file", "limit-usage", "/file1", "10485760")
    quota("limit-usage-relative-path", "limit-usage", "dir", "10485760")
    quota("limit-usage-zero", "limit-usage", "/dir", "0")
    quota("limit-usage-bad-percent", "limit-usage", "/dir", "10485760", "101")
    quota("limit-objects-only", "limit-objects", "/", "5")
    quota("list", "list")
    quota("list-objects", "list-objects")
    quota("list-path", "list", "/dir")
    quota("list-path-no-limit", "list", "/")
    quota("list-unknown-path", "list", "/nosuch")
    quota("list-file", "list", "/file1")
    quota("list-objects-file", "list-objects", "/file1")
    pool.run("volume", "quota", "gv0", "limit-usage", "/a<b&c", "100")
    record.until("volume-quota-list-exceeded", "<hl_exceeded>Yes", "volume", "quota", "gv0", "list")
    quota("remove", "remove", "/dir")
    quota("remove-again", "remove", "/dir")
    quota("remove-unknown-path", "remove", "/nosuch")
    quota("remove-objects-none", "remove-objects", "/a<b&c")
    pool.hosts[0].inside("rmdir", "/mnt/gv0/dir", check=True)
    quota("list-objects-path-gone", "list-objects")
    quota("default-soft-limit", "default-soft-limit", "70")
    quota("disable", "disable")
    quota("list-disabled", "list")


def rebalance(record, pool):
    """Adding and removing bricks of distributed volumes, and what moves files for it."""
    first, second, third, spare = pool.hosts
    ask = record.ask
    dist = [pool.brick(index, "dist", 0) for index in range(3)]
    pool.make_volume("dist", dist[:2], options=[("cluster.rebal-throttle", "lazy")])
    pool.make_volume("replica", [pool.brick(index, "replica", 0) for index in range(3)], "replica", "3")
    pool.make_volume("both", six(pool, "both"), "replica", "3")
    record("rebalance-status-never", "volume", "rebalance", "dist", "status")
    record("rebalance-stop-never", "volume", "rebalance", "dist", "stop")
    record("rebalance-start-not-distributed", "volume", "rebalance", "replica", "start")
    record("rebalance-start-unknown", "volume", "rebalance", "nosuch", "start")
    record("rebalance-status-unknown", "volume", "rebalance", "nosuch", "status")
    first.fill(first.mount("dist"), 3000)
    record("add-brick", "volume", "add-brick", "dist", dist[2])
    record("add-brick-exists", "volume", "add-brick", "dist", dist[2])
    record("add-brick-in-use", "volume", "add-brick", "dist", pool.brick(0, "replica", 0))
    record("add-brick-not-in-pool", "volume", "add-brick", "dist", f"{spare.address}:/bricks/dist-9")
    record("add-brick-unknown-volume", "volume", "add-brick", "nosuch", pool.brick(0, "nosuch", 0))
    record("add-brick-wrong-count", "volume", "add-brick", "replica", pool.brick(0, "replica", 1))
    record("add-brick-wrong-replica", "volume", "add-brick", "replica", "replica", "2", pool.brick(0, "replica", 1))
    record("add-brick-no-folder", "volume", "add-brick", "dist", f"{first.address}:/bricks/deep/er/brick")
    record("volume-info-added-brick", "volume", "info", "dist")
    record("rebalance-start", "volume", "rebalance", "dist", "start")
    record.until("rebalance-status-running", moving, "volume", "rebalance", "dist", "status")
    record("rebalance-status-running-elsewhere", "volume", "rebalance", "dist", "status", host=2)
    record("rebalance-start-running", "volume", "rebalance", "dist", "start")
    record("rebalance-fix-layout-running", "volume", "rebalance", "dist", "fix-layout", "start")
    record("volume-status-tasks-rebalance", "volume", "status", "dist", "tasks")
    record("volume-status-rebalance", "volume", "status", "dist")
    record("volume-status-all-tasks-rebalance", "volume", "status", "all", "tasks")
    record("add-brick-rebalancing", "volume", "add-brick", "dist", pool.brick(0, "dist", 1), "force")
    record("remove-brick-start-rebalancing", "volume", "remove-brick", "dist", dist[2], "start")
    record("volume-stop-rebalancing", "volume", "stop", "dist")
    record("rebalance-stop", "volume", "rebalance", "dist", "stop")
    record("rebalance-status-stopped", "volume", "rebalance", "dist", "status")
    record("rebalance-stop-stopped", "volume", "rebalance", "dist", "stop")
    record("volume-status-tasks-rebalance-stopped", "volume", "status", "dist", "tasks")
    record("rebalance-fix-layout", "volume", "rebalance", "dist", "fix-layout", "start")
    record.until("rebalance-status-fix-layout", ended, "volume", "rebalance", "dist", "status")
    record("volume-status-tasks-fix-layout", "volume", "status", "dist", "tasks")
    ask("volume", "rebalance", "dist", "start")
    wait_for(lambda: moving(ask("volume", "rebalance", "dist", "status").stdout), "the rebalance")
    for pid, command in second.cell.processes("glusterfs"):
        if "rebalance/dist" in command:
            os.kill(pid, signal.SIGKILL)
    # Of a process that was killed glusterd says for ever that it is in progress.
    record.until("rebalance-status-one-killed", lambda text: text.count("<statusStr>completed") == 2,
                 "volume", "rebalance", "dist", "status")
    record("volume-status-tasks-rebalance-one-killed", "volume", "status", "dist", "tasks")
    second.stop_glusterd()
    record("rebalance-status-one-killed-no-glusterd", "volume", "rebalance", "dist", "status")
    second.start_glusterd()  # begins its share anew
    pool.wait_connected(pool.hosts[:3])
    record.until("rebalance-status-one-killed-glusterd-restarted", lambda text: text.count("<statusStr>completed") == 4,
                 "volume", "rebalance", "dist", "status")
    first.fill("/mnt/dist", 2000, "more")
    ask("volume", "add-brick", "dist", pool.brick(0, "dist", 1))
    ask("volume", "rebalance", "dist", "start", "force")
    wait_for(lambda: moving(ask("volume", "rebalance", "dist", "status").stdout), "the rebalance")
    third.kill()
    wait_for(lambda: "<connected>0</connected>" in ask("peer", "status").stdout, "the death of a host")
    record("rebalance-status-down-peer", "volume", "rebalance", "dist", "status")
    record("volume-status-tasks-rebalance-down-peer", "volume", "status", "dist", "tasks")
    record("rebalance-start-down-peer", "volume", "rebalance", "dist", "start")
    third.boot()
    pool.wait_connected(pool.hosts[:3])
    pool.wait_online("dist", 4)
    record("rebalance-status-after-boot", "volume", "rebalance", "dist", "status")
    record.until("rebalance-status-ended-after-boot", ended, "volume", "rebalance", "dist", "status")
    record("volume-status-tasks-rebalance-ended-after-boot", "volume", "status", "dist", "tasks")
    ask("volume", "set", "dist", "cluster.rebal-throttle", "aggressive")
    record("rebalance-start-force", "volume", "rebalance", "dist", "start", "force")
    record.until("rebalance-status-completed", ended, "volume", "rebalance", "dist", "status")
    record("volume-status-tasks-rebalance-completed", "volume", "status", "dist", "tasks")
    second.stop_glusterd()
    second.start_glusterd()
    pool.wait_connected(pool.hosts[:3])
    record("rebalance-status-completed-glusterd-restarted", "volume", "rebalance", "dist", "status")
    wait_for(lambda: ended(ask("volume", "rebalance", "dist", "status").stdout), "the rebalance")
    record("rebalance-stop-completed", "volume", "rebalance", "dist", "stop")

    ask("volume", "set", "dist", "cluster.rebal-throttle", "lazy")
    remove = ("volume", "remove-brick", "dist", dist[2])
    record("remove-brick-status-never", *remove, "status")
    record("remove-brick-stop-never", *remove, "stop")
    record("remove-brick-commit-never", *remove, "commit")
    record("remove-brick-start-no-such-brick", *remove[:3], f"{first.address}:/bricks/nosuch", "start")
    record("remove-brick-start-unknown-volume", "volume", "remove-brick", "nosuch", dist[2], "start")
    record("remove-brick-start-all", *remove[:3], *dist, pool.brick(0, "dist", 1), "start")
    record("remove-brick-no-word", *remove)
    record("remove-brick-start", *remove, "start")
    record.until("remove-brick-status-running", moving, *remove, "status")
    record("remove-brick-start-running", *remove, "start")
    record("remove-brick-commit-running", *remove, "commit")
    record("remove-brick-status-other-brick", *remove[:3], dist[0], "status")
    record("rebalance-start-removing", "volume", "rebalance", "dist", "start")
    record("rebalance-status-removing", "volume", "rebalance", "dist", "status")
    record("volume-status-tasks-removing", "volume", "status", "dist", "tasks")
    record("volume-info-removing", "volume", "info", "dist")
    record("remove-brick-stop", *remove, "stop")
    record("remove-brick-status-stopped", *remove, "status")
    record("volume-status-tasks-removal-stopped", "volume", "status", "dist", "tasks")
    record("volume-info-removal-stopped", "volume", "info", "dist")
    record("remove-brick-commit-stopped", *remove, "commit")
    ask("volume", "set", "dist", "cluster.rebal-throttle", "aggressive")
    ask(*remove, "start")
    record.until("remove-brick-status-completed", ended, *remove, "status")
    record("volume-status-tasks-removed", "volume", "status", "dist", "tasks")
    record("volume-info-removed", "volume", "info", "dist")
    record("remove-brick-stop-completed", *remove, "stop")
    record("remove-brick-status-completed-and-stopped", *remove, "status")
    ask(*remove, "start")
    wait_for(lambda: ended(ask(*remove, "status").stdout), "the removal")
    record("remove-brick-commit", *remove, "commit")
    record("remove-brick-status-committed", *remove, "status")
    record("remove-brick-commit-again", *remove, "commit")
    record("volume-status-tasks-committed", "volume", "status", "dist", "tasks")
    record("volume-info-committed", "volume", "info", "dist")
    record("remove-brick-force", *remove[:3], pool.brick(0, "dist", 1), "force")
    record("remove-brick-replica-incomplete", "volume", "remove-brick", "both", six(pool, "both")[0], "start")
    record("remove-brick-replica-wrong-set", "volume", "remove-brick", "both", *six(pool, "both")[1:4], "start")
    record("remove-brick-replica-same-count", "volume", "remove-brick", "both", "replica", "3",
           *six(pool, "both")[3:], "start")
    record("remove-brick-replica-larger-count", "volume", "remove-brick", "both", "replica", "4",
           *six(pool, "both")[3:], "start")
    record("remove-brick-replica-reduce-start", "volume", "remove-brick", "replica", "replica", "2",
           pool.brick(2, "replica", 0), "start")
    record("remove-brick-replica-reduce-force", "volume", "remove-brick", "replica", "replica", "2",
           pool.brick(2, "replica", 0), "force")
    record("remove-brick-replica-last-set", "volume", "remove-brick", "replica", pool.brick(0, "replica", 0),
           pool.brick(1, "replica", 0), "start")
    record("remove-brick-distributed-replicate-start", "volume", "remove-brick", "both", *six(pool, "both")[3:], "start")
    record.until("remove-brick-distributed-replicate-completed", ended,
                 "volume", "remove-brick", "both", *six(pool, "both")[3:], "status")
    record("volume-status-all-tasks-removed", "volume", "status", "all", "tasks")


def moving(text):
    """Some have moved, and more will."""
    return "<statusStr>in progress" in text and re.search("<files>[1-9]", text)


def ended(text):
    return "<statusStr>" in text and "in progress" not in text and "not started" not in text


def bricks(record, pool):
    """Replaced, and emptied and taken back."""
    first, _, _, spare = pool.hosts
    gv0 = [pool.brick(index, "gv0", 0) for index in range(3)]
    new = pool.brick(2, "gv0", 1)
    pool.make_volume("gv0", gv0, "replica", "3")
    pool.make_volume("dist", [pool.brick(index, "dist", 0) for index in range(2)])
    record("replace-brick-no-word", "volume", "replace-brick", "gv0", gv0[2], new)
    record("replace-brick-start", "volume", "replace-brick", "gv0", gv0[2], new, "start")
    record("replace-brick-unknown-brick", "volume", "replace-brick", "gv0", f"{first.address}:/bricks/nosuch", new,
           "commit", "force")
    record("replace-brick-unknown-volume", "volume", "replace-brick", "nosuch", gv0[2], new, "commit", "force")
    record("replace-brick-in-use", "volume", "replace-brick", "gv0", gv0[2], pool.brick(0, "dist", 0), "commit", "force")
    record("replace-brick-not-in-pool", "volume", "replace-brick", "gv0", gv0[2], f"{spare.address}:/bricks/new",
           "commit", "force")
    record("replace-brick-distribute", "volume", "replace-brick", "dist", pool.brick(0, "dist", 0),
           pool.brick(2, "dist", 1), "commit", "force")
    record("replace-brick", "volume", "replace-brick", "gv0", gv0[2], new, "commit", "force")
    pool.wait_online("gv0", 3)
    pool.wait_healed("gv0")
    record("reset-brick-commit-not-started", "volume", "reset-brick", "gv0", new, new, "commit")
    record("reset-brick-start-unknown", "volume", "reset-brick", "gv0", f"{first.address}:/bricks/nosuch", "start")
    record("reset-brick-start", "volume", "reset-brick", "gv0", new, "start")
    record("reset-brick-start-again", "volume", "reset-brick", "gv0", new, "start")
    record("volume-status-resetting", "volume", "status", "gv0")
    record("volume-info-resetting", "volume", "info", "gv0")
    record("reset-brick-commit", "volume", "reset-brick", "gv0", new, new, "commit")
    record("reset-brick-commit-other", "volume", "reset-brick", "gv0", new, gv0[2], "commit", "force")
    record("reset-brick-commit-force", "volume", "reset-brick", "gv0", new, new, "commit", "force")
    record("reset-brick-distribute", "volume", "reset-brick", "dist", pool.brick(0, "dist", 0), "start")
    pool.wait_online("gv0", 3)
    pool.wait_healed("gv0")
    record.ask("volume", "stop", "gv0")
    record("replace-brick-stopped", "volume", "replace-brick", "gv0", new, gv0[2], "commit", "force")


def bitrot(record, pool):
    pool.make_volume("gv0", [pool.brick(index, "gv0", 0) for index in range(3)], "replica", "3")
    scrub = ("volume", "bitrot", "gv0")
    record("bitrot-status-not-enabled", *scrub, "scrub", "status")
    record("bitrot-enable", *scrub, "enable")
    record("bitrot-enable-again", *scrub, "enable")
    record("bitrot-status", *scrub, "scrub", "status")
    record("bitrot-scrub-throttle", *scrub, "scrub-throttle", "lazy")
    record("bitrot-scrub-frequency", *scrub, "scrub-frequency", "weekly")
    record("bitrot-scrub-ondemand", *scrub, "scrub", "ondemand")
    record("bitrot-scrub-pause", *scrub, "scrub", "pause")
    record("bitrot-scrub-resume", *scrub, "scrub", "resume")
    record("volume-status-bitrot", "volume", "status", "gv0")
    record("bitrot-disable", *scrub, "disable")
    record("bitrot-unknown-volume", "volume", "bitrot", "nosuch", "enable")


def georep(record, pool):
    """From a volume of the pool to one of a host that is not in it."""
    first, second, third, far = pool.hosts
    pool.make_volume("near", [pool.brick(index, "near", 0) for index in range(3)], "replica", "3")
    pool.run("volume", "create", "asleep", pool.brick(0, "asleep", 0), "force")
    far.run("volume", "create", "far", f"{far.address}:/bricks/far-0", "force")
    session = ("volume", "geo-replication", "near", f"{far.address}::far")

    def row(status):
        return lambda text: f"<status>{status}</status>" in text
    record("georep-status-none", "volume", "geo-replication", "status")
    record("georep-status-volume-none", "volume", "geo-replication", "near", "status")
    record("georep-status-session-none", *session, "status")
    record("georep-status-unknown-volume", "volume", "geo-replication", "nosuch", "status")
    record("georep-config-none", *session, "config")
    record("georep-start-none", *session, "start")
    record("georep-delete-none", *session, "delete")
    record("georep-create-no-keys", *session, "create", "push-pem")
    record("georep-gsec-create", "system::", "execute", "gsec_create")
    record("georep-create-no-ssh", *session, "create", "push-pem")
    pool.enable_ssh()
    record("georep-create-far-stopped", *session, "create", "push-pem")
    far.run("volume", "start", "far")
    record("georep-create-far-unknown", *session[:3], f"{far.address}::nosuch", "create", "push-pem")
    record("georep-create-unreachable", *session[:3], "10.77.2.99::far", "create", "push-pem")
    record("georep-create-bad-target", *session[:3], "far", "create", "push-pem")
    record("georep-create-unknown-volume", "volume", "geo-replication", "nosuch", session[3], "create", "push-pem")
    record("georep-create-stopped", "volume", "geo-replication", "asleep", session[3], "create", "push-pem")
    record("georep-create", *session, "create", "push-pem")
    record("georep-create-exists", *session, "create", "push-pem")
    record("georep-create-force", *session, "create", "push-pem", "force")
    record("georep-status-created", *session, "status")
    record("georep-pause-not-started", *session, "pause")
    record("georep-resume-not-paused", *session, "resume")
    record("georep-stop-not-started", *session, "stop")
    record("georep-config", *session, "config")
    record("georep-config-one", *session, "config", "sync-method")
    record("georep-config-set", *session, "config", "sync-method", "tarssh")
    record("georep-config-unset", *session, "config", "!sync-jobs")
    record("georep-config-unknown", *session, "config", "no-such-option", "1")
    record("georep-config-get-unknown", *session, "config", "no-such-option")
    record("georep-config-bad-value", *session, "config", "sync-jobs", "many")
    record("georep-start", *session, "start")
    record.until("georep-status-initializing", row("Initializing..."), *session, "status")
    record("georep-start-started", *session, "start")
    first.fill(first.mount("near"), 20)
    record.until("georep-status-active", lambda text: row("Active")(text) and text.count("Passive<") == 2,
                 *session, "status")
    record.until("georep-status-detail", "<entry>0</entry>", *session, "status", "detail")
    record("georep-status-all", "volume", "geo-replication", "status")
    record("georep-status-volume", "volume", "geo-replication", "near", "status")
    record("georep-status-elsewhere", *session, "status", host=1)
    record("georep-config-checkpoint", *session, "config", "checkpoint", "now")
    record("georep-status-checkpoint", *session, "status", "detail")
    record("volume-info-georep", "volume", "info", "near")
    record("volume-status-georep", "volume", "status", "near")
    record("volume-stop-georep", "volume", "stop", "near")
    record("volume-delete-georep", "volume", "delete", "near")
    record("georep-delete-started", *session, "delete")
    record("georep-pause", *session, "pause")
    record("georep-pause-paused", *session, "pause")
    record("georep-status-paused", *session, "status")
    record("georep-start-paused", *session, "start")
    record("georep-resume", *session, "resume")
    record("georep-resume-resumed", *session, "resume")
    record.until("georep-status-resumed", row("Active"), *session, "status")
    far.kill()
    record.until("georep-status-faulty", row("Faulty"), *session, "status")
    far.boot()
    pool.enable_ssh()
    wait_for(lambda: "Active" in record.ask(*session, "status").stdout, "the session")
    third.kill()
    wait_for(lambda: "<connected>0</connected>" in record.ask("peer", "status").stdout, "the death of a host")
    record("georep-status-down-peer", *session, "status")
    record("georep-stop-down-peer", *session, "stop")
    record("georep-stop-down-peer-force", *session, "stop", "force")
    third.boot()
    pool.enable_ssh()
    pool.wait_connected(pool.hosts[:3])
    record("georep-start-force", *session, "start", "force")
    record("georep-stop", *session, "stop")
    record("georep-stop-stopped", *session, "stop")
    record("georep-status-stopped", *session, "status")
    pool.make_volume("near2", [pool.brick(index, "near2", 0) for index in range(2)], "replica", "2")
    far.run("volume", "create", "far2", f"{far.address}:/bricks/far2-0", "force")
    far.run("volume", "start", "far2")
    for words in (("create", "push-pem"), ("start",)):
        record.ask(*session[:2], "near2", f"{far.address}::far2", *words)
    record.until("georep-status-two", row("Active"), "volume", "geo-replication", "status")
    for word in ("stop", "delete"):
        record.ask(*session[:2], "near2", f"{far.address}::far2", word)
    record("georep-delete", *session, "delete")
    record("georep-delete-deleted", *session, "delete")
    record("volume-info-georep-deleted", "volume", "info", "near")
    record("georep-status-deleted", "volume", "geo-replication", "status")


TOPICS = ("peers", "volumes", "options", "races", "services", "profiles", "quotas", "rebalance", "bricks",
          "bitrot", "georep")


def main():
    FOLDER.mkdir(exist_ok=True)
    topics = sys.argv[1:] or TOPICS
    for topic in topics:
        print(f"== {topic}", flush=True)
        with Pool(4, members=3) as pool:
            record = Recorder(pool, topic)
            globals()[topic](record, pool)
            record.close()


if __name__ == "__main__":
    main()
