# SPDX-License-Identifier: Apache-2.0
"""tests/guest/ in a guest: the kernel of this machine may have no NFS, and must not lose its network."""
import os
import pathlib
import shutil

from rig import guest
from rig.agent import ROOT, build_dir


def test_all_that_needs_an_nfs_server_holds_in_a_guest(tmp_path):
    share = tmp_path / "share"
    (share / "record").mkdir(parents=True)
    status, output = guest.run(f"""
        export HOSTLER_BUILD='{build_dir()}' HOSTLER_RECORD=/run/share/record PYTHONDONTWRITEBYTECODE=1
        hostname guest
        mkdir /run/tests && cd '{ROOT}/tests'
        exec /usr/bin/python3 -m pytest -q -rf --tb short -p no:cacheprovider --basetemp /run/tests/tmp --durations 0 guest
    """, share=share)
    print(output)
    if os.environ.get("HOSTLER_RECORD"):
        for path in (share / "record").iterdir():
            shutil.copy(path, pathlib.Path(os.environ["HOSTLER_RECORD"]) / f"guest-{path.name}")
    assert status == 0, output[-8000:]
    assert " passed" in output
