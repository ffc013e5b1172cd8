#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Records what glusterd answers about snapshots into tests/unit/gluster/snapshot-*.xml, with the table of
commands and statuses in README-snapshots.md there.  Boots a guest (rig/guest.py) and runs itself in it."""
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from rig import guest, thin  # noqa: E402

TARGET = pathlib.Path(__file__).resolve().parents[1] / "unit/gluster"

# name -> command; what has no name is done and not kept.
COMMANDS = [
    ("info-none", "snapshot info"),
    ("status-none", "snapshot status"),
    ("info-unknown-volume", "snapshot info volume nosuch"),
    ("info-unknown", "snapshot info nosuch"),
    ("status-unknown", "snapshot status nosuch"),
    ("create-unknown-volume", "snapshot create s1 nosuch no-timestamp"),
    ("create-not-thin", "snapshot create s1 thick no-timestamp"),
    ("create-bad-name", "snapshot create a.b one no-timestamp"),
    ("create-empty-description", "snapshot create s1 one no-timestamp description {}"),
    ("create", "snapshot create s1 one no-timestamp description {before <the> \"upgrade\" & é}"),
    ("create-exists", "snapshot create s1 one no-timestamp"),
    ("create-timestamp", "snapshot create s1 one"),
    ("create-replica", "snapshot create s2 two no-timestamp"),
    ("activate-unknown", "snapshot activate nosuch"),
    ("deactivate-unknown", "snapshot deactivate nosuch"),
    ("deactivate-inactive", "snapshot deactivate s1"),
    ("clone-inactive", "snapshot clone c1 s1"),
    ("clone-unknown", "snapshot clone c1 nosuch"),
    ("restore-started", "snapshot restore s1"),
    ("restore-unknown", "snapshot restore nosuch"),
    ("delete-unknown", "snapshot delete nosuch"),
    ("activate", "snapshot activate s1"),
    ("activate-active", "snapshot activate s1"),
    ("activate-active-force", "snapshot activate s1 force"),
    ("list", "snapshot list"),
    ("list-unknown-volume", "snapshot list nosuch"),
    ("info", "snapshot info"),
    ("info-one", "snapshot info s1"),
    ("info-volume", "snapshot info volume one"),
    ("status", "snapshot status"),
    ("status-one", "snapshot status s1"),
    ("status-volume", "snapshot status volume one"),
    ("clone", "snapshot clone c1 s1"),
    ("clone-exists", "snapshot clone two s1"),
    ("clone-volume-info", "volume info c1"),
    ("deactivate", "snapshot deactivate s1"),
    (None, "volume stop one"),
    ("create-stopped", "snapshot create s3 one no-timestamp"),
    ("restore", "snapshot restore s1"),
    ("restored-volume-info", "volume info one"),
    ("volume-delete-with-snapshots", "volume delete one"),
    (None, "volume start one"),
    ("delete", "snapshot delete s2"),
    ("config", "snapshot config one"),
    ("config-set", "snapshot config one snap-max-hard-limit 1"),
    ("create-hard-limit", "snapshot create s3 one no-timestamp"),
    ("delete-volume", "snapshot delete volume one"),
]

HEAD = """# Snapshots, recorded from glusterd 10.3

Volume `one` has one brick, `two` is a replica of two, both on thin logical volumes; `thick` lies on another one.
By `tests/rig/record-snapshots.py`.

| file | command | status | standard error |
| --- | --- | --- | --- |
"""


def words(command):
    """One word stands in braces, for it has blanks, or nothing, in it."""
    head, brace, rest = command.partition("{")
    return head.split() + ([rest.partition("}")[0]] if brace else [])


def record(folder):
    thin.set_up()
    thin.make_volume("one")
    thin.make_volume("two", bricks=2)
    thin.make_volume("thick", thin=False)
    for name, command in COMMANDS:
        done = subprocess.run(["gluster", "--mode=script", "--xml", *words(command)], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        if name:
            (folder / f"snapshot-{name}.xml").write_bytes(done.stdout)
            error = done.stderr.decode().strip().partition("\n")[0]
            print(f"| snapshot-{name}.xml | `{command}` | {done.returncode} | {error} |")


def main():
    if len(sys.argv) > 1:
        return record(pathlib.Path(sys.argv[1]))
    with tempfile.TemporaryDirectory() as share:
        status, output = guest.run(f"exec /usr/bin/python3 '{os.path.abspath(__file__)}' /run/share", share=share)
        if status != 0:
            sys.exit(output)
        (TARGET / "README-snapshots.md").write_text(HEAD + output)
        for path in pathlib.Path(share).glob("snapshot-*.xml"):
            (TARGET / path.name).write_bytes(path.read_bytes())


if __name__ == "__main__":
    main()
