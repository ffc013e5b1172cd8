# SPDX-License-Identifier: Apache-2.0
"""npm clients that nobody here wrote drive the agent unmodified; each script asserts by itself."""
import os
import pathlib
import shutil
import subprocess

import pytest

HERE = pathlib.Path(__file__).parent


@pytest.mark.parametrize("script", sorted(path.name for path in HERE.glob("*.mjs")))
def test_a_foreign_client_drives_the_agent(make_agent, tmp_path, script):
    agent = make_agent(repositories=["fast", "slow"], arguments=["--listen", "127.0.0.1:0"])
    shutil.copy(HERE / script, os.environ["HOSTLER_CLIENTS"])  # modules are looked up beside the script
    done = subprocess.run(["node", os.path.join(os.environ["HOSTLER_CLIENTS"], script)], timeout=120, text=True,
                          capture_output=True, env=dict(os.environ, URL=f"{agent.url()}?token={agent.token()}"))
    assert done.returncode == 0 and done.stdout.strip().endswith("ok"), done.stdout + done.stderr
