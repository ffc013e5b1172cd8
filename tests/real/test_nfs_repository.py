# SPDX-License-Identifier: Apache-2.0
"""tests/guest/test_nfs.py in a guest: the kernel of this machine may have no NFS, and must not lose its network."""
import pytest

from rig import guest


@pytest.mark.guest
def test_all_that_needs_an_nfs_server_holds_in_a_guest(tmp_path):
    guest.run_tests("test_nfs.py", tmp_path / "share")
