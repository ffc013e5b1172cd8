# SPDX-License-Identifier: Apache-2.0
"""For a guest (rig/guest.py): a glusterd whose bricks may lie on thin logical volumes, which is all that
glusterd can take snapshots of.  No udev runs there: the device mapper's nodes are made by LVM itself."""
import os
import pathlib
import subprocess
import time

ADDRESS = "10.77.1.1"  # glusterd refuses loopback addresses as bricks'
BRICKS = pathlib.Path("/run/bricks")
TIMEOUT = 120.0

SET_UP = f"""
    grep -q '^root / overlay ' /proc/mounts  # a guest: what is removed and written below must not be the host's
    export DM_DISABLE_UDEV=1
    hostname guest
    modprobe -a dm-thin-pool loop xfs fuse
    mkdir -p {BRICKS} /run/gluster /run/lvm /run/lock/lvm /var/log/glusterfs
    mount -t tmpfs tmpfs /var/lib/glusterd
    printf '%s\\n' 'activation {{ udev_sync = 0 udev_rules = 0 monitoring = 0 }}' 'backup {{ backup = 0 archive = 0 }}' \\
        'devices {{ obtain_device_list_from_udev = 0 }}' >/etc/lvm/lvmlocal.conf
    truncate -s 3G /run/disk
    vgcreate -q vg "$(losetup -f --show /run/disk)"
    lvcreate -q -Zn -L 2G -T vg/pool
    ip addr add {ADDRESS}/32 dev lo
    # glusterd asks it a dozen questions at its start, for 20 seconds here; none is about snapshots.
    rm -f /usr/lib/*/glusterfs/gsyncd /usr/libexec/glusterfs/gsyncd
"""


def sh(text):
    done = subprocess.run(["/bin/sh", "-ec", text], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


def set_up():
    """LVM and glusterd; once a guest."""
    sh(SET_UP)
    os.environ["DM_DISABLE_UDEV"] = "1"  # glusterd runs LVM's programs
    start_glusterd()


def start_glusterd():
    sh("glusterd --log-level WARNING --pid-file /run/glusterd.pid")
    deadline = time.monotonic() + TIMEOUT
    while gluster("peer", "status", check=False).returncode != 0:
        assert time.monotonic() < deadline, "glusterd does not answer"
        time.sleep(0.1)


def gluster(*arguments, check=True):
    done = subprocess.run(["gluster", "--mode=script", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=TIMEOUT)
    assert not check or done.returncode == 0, f"gluster {arguments}: {done.stdout}"
    return done


def make_volume(name, bricks=1, thin=True):
    """A started volume, replicated where it has several bricks; each on a file system of its own."""
    paths = []
    for number in range(1, bricks + 1):
        folder, device = BRICKS / f"{name}{number}", f"{name}{number}"
        sh(f"""
            lvcreate -q {'-V 400M -T vg/pool' if thin else '-Wn -Zn -L 304M vg'} -n {device}
            mkfs.xfs -q /dev/vg/{device}
            mkdir {folder}
            mount /dev/vg/{device} {folder}
        """)
        paths.append(f"{ADDRESS}:{folder}/brick")
    gluster("volume", "create", name, *(("replica", str(bricks)) if bricks > 1 else ()), *paths, "force")
    gluster("volume", "start", name)


def mount(volume):
    """The volume's folder, mounted here."""
    folder = pathlib.Path(f"/run/mounted-{volume}")
    folder.mkdir(exist_ok=True)
    sh(f"mount -t glusterfs {ADDRESS}:/{volume} {folder}")
    return folder
