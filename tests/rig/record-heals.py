#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes what glusterd really says about healing into tests/unit/gluster/heal-*: .xml, or .txt where gluster
prints no XML despite --xml; and README-heals.md, the table of the commands.  By hand, as root."""
import os
import pathlib
import shlex
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from rig.gluster import wait_for  # noqa: E402
from rig.pool import Pool  # noqa: E402

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "unit/gluster"
ROWS = ["# Healing, recorded from glusterd 10.3 by tests/rig/record-heals.py\n",
        "| file | command | status | standard error |", "| --- | --- | --- | --- |"]
ODD = r"""
import os
open(b"/mnt/replica/bad\xff\xfe", "w").close()
open("/mnt/replica/amp<&", "w").close()
"""


def ask(pool, *arguments):
    return pool.hosts[0].inside("gluster", "--mode=script", "--xml", "volume", "heal", *arguments)


def record(pool, name, *arguments):
    done = ask(pool, *arguments)
    file = FOLDER / (f"heal-{name}." + ("xml" if done.stdout.startswith("<?xml") else "txt"))
    file.write_text(done.stdout)
    error = " ".join(done.stderr.split())
    ROWS.append(f"| {file.name} | `volume heal {shlex.join(arguments)}` | {done.returncode} | {error} |")
    print(ROWS[-1], flush=True)


def write(pool, volume, *names, text="text"):
    for name in names:
        pool.hosts[0].inside("sh", "-c", f'echo "{text}" > "/mnt/{volume}/{name}"', check=True)


def kill(pool, brick):
    pool.kill_brick(brick)
    wait_for(lambda: brick not in pool.brick_pids(brick.rsplit("/", 1)[1].rsplit("-", 1)[0]), "the end of a brick")


def refused(pool):
    pool.make_volume("distribute", [pool.brick(0, "distribute", 0)])
    pool.run("volume", "create", "stopped", "replica", "3", *(pool.brick(i, "stopped", 0) for i in range(3)), "force")
    for volume in ("distribute", "stopped", "nosuch"):
        record(pool, f"{volume}", volume)
        record(pool, f"{volume}-info", volume, "info")
        record(pool, f"{volume}-count", volume, "statistics", "heal-count")
        record(pool, f"{volume}-split-brain", volume, "info", "split-brain")


def replica(pool):
    bricks = [pool.brick(i, "replica", 0) for i in range(3)]
    pool.make_volume("replica", bricks, "replica", "3")
    pool.hosts[0].mount("replica")
    wait_for(lambda: ask(pool, "replica").returncode == 0, "the self-heal daemons")
    record(pool, "begin", "replica")
    record(pool, "begin-full", "replica", "full")
    record(pool, "info-none", "replica", "info")
    record(pool, "summary-none", "replica", "info", "summary")
    record(pool, "count-none", "replica", "statistics", "heal-count")
    kill(pool, bricks[2])
    write(pool, "replica", "one", "two", "three")
    record(pool, "info", "replica", "info")
    record(pool, "summary", "replica", "info", "summary")
    record(pool, "count", "replica", "statistics", "heal-count")
    record(pool, "begin-brick-down", "replica")
    pool.hosts[0].inside("/usr/bin/python3", "-c", ODD, check=True)
    record(pool, "info-odd-names", "replica", "info")
    write(pool, "replica", "control\x01")
    record(pool, "info-control-names", "replica", "info")
    for host in pool.hosts:
        for pid, command in host.cell.processes("glusterfs"):
            if "glustershd" in command:
                os.kill(pid, signal.SIGKILL)
    wait_for(lambda: "not running" in ask(pool, "replica").stderr, "the loss of the daemons")
    record(pool, "begin-no-daemon", "replica")
    record(pool, "count-no-daemon", "replica", "statistics", "heal-count")
    pool.hosts[0].unmount("replica")


def disperse(pool):
    bricks = [pool.brick(i, "disperse", 0) for i in range(3)]
    pool.make_volume("disperse", bricks, "disperse", "3", "redundancy", "1")
    pool.hosts[0].mount("disperse")
    kill(pool, bricks[2])
    write(pool, "disperse", "one")
    record(pool, "disperse-summary", "disperse", "info", "summary")
    record(pool, "disperse-count", "disperse", "statistics", "heal-count")
    record(pool, "disperse-split-brain", "disperse", "info", "split-brain")
    pool.hosts[0].unmount("disperse")


def split_brain(pool):
    bricks = [pool.brick(i, "split", 0) for i in range(2)]
    pool.make_volume("split", bricks, "replica", "2", options=[
        ("cluster.quorum-type", "none"), ("cluster.self-heal-daemon", "off"), ("cluster.data-self-heal", "off"),
        ("cluster.metadata-self-heal", "off"), ("cluster.entry-self-heal", "off")])
    pool.hosts[0].mount("split")
    write(pool, "split", "one", "two")
    for brick, text in zip(reversed(bricks), ("short", "much longer")):
        kill(pool, brick)
        pool.hosts[0].unmount("split")  # and mount again: it has to find out which bricks are there
        pool.hosts[0].mount("split")
        write(pool, "split", "one", "two", text=text)
        pool.restart_bricks("split", 2)
        pool.hosts[0].unmount("split")
        pool.hosts[0].mount("split")
    record(pool, "split-brain", "split", "info", "split-brain")
    record(pool, "split-brain-info", "split", "info")
    record(pool, "split-brain-summary", "split", "info", "summary")
    record(pool, "begin-disabled", "split")
    record(pool, "resolve", "split", "split-brain", "bigger-file", "/one")
    record(pool, "resolve-again", "split", "split-brain", "bigger-file", "/one")
    record(pool, "resolve-unknown", "split", "split-brain", "latest-mtime", "/nosuch")
    record(pool, "resolve-folder", "split", "split-brain", "latest-mtime", "/")
    record(pool, "resolve-brick-unknown", "split", "split-brain", "source-brick", pool.brick(2, "split", 0), "/two")
    record(pool, "resolve-all", "split", "split-brain", "source-brick", bricks[0])
    record(pool, "resolve-all-again", "split", "split-brain", "source-brick", bricks[0])
    pool.hosts[0].unmount("split")


def main():
    FOLDER.mkdir(exist_ok=True)
    with Pool() as pool:
        for topic in (refused, replica, disperse, split_brain):
            topic(pool)
    (FOLDER / "README-heals.md").write_text("\n".join([*ROWS[:3], *sorted(ROWS[3:])]) + "\n")


if __name__ == "__main__":
    main()
