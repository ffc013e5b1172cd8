# SPDX-License-Identifier: Apache-2.0
"""SIGKILL at each durable act of an import from a URL: the same truths as of any other operation."""
import shutil

import pytest

import test_kill_at_each_act as each
from rig.images import qcow2
from rig.web import Web

prepared = each.prepared  # the fixture


@pytest.mark.parametrize("form", ["raw", "qcow2"])
def test_an_import_killed_anywhere_can_be_resumed(prepared, make_agent, tmp_path, form):
    seed, raw = prepared
    web = Web(raw if form == "raw" else qcow2(tmp_path / "source.qcow2", raw))

    def import_url(client, _):
        return client.run("image.import", {"repository": "fast", "image": "web1", "url": web.url(), "sourceFormat": form,
                                           "format": "raw"})

    kills = 0
    for call in ("fsync", "fdatasync", "renameat", "renameat2", "mkdirat", "unlinkat", "ftruncate"):
        for n in range(1, 60):
            folder = f"{call}-{n}"
            for repository in ("slow", "fast"):
                shutil.copytree(seed / repository, tmp_path / folder / repository)
            agent = make_agent(folder, repositories=["slow", "fast"], arguments=["--workers", "1"], start=False,
                               config="[limits]\ncopies = 1\n",
                               wrapper=["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
                                        "-e", f"inject={call}:signal=SIGKILL:when={n}"])
            killed = not each.run_until_killed(agent, import_url, raw)
            kills += killed
            agent.wrapper = []
            agent.start()
            each.check_truth(agent, raw, import_url)
            agent.remove()
            if not killed:
                break
    web.stop()
    assert kills >= 5, f"only {kills} kills: the injection does not work here"
