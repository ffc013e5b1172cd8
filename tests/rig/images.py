# SPDX-License-Identifier: Apache-2.0
"""Disk images with known contents, made and compared by other people's programs."""
import contextlib
import pathlib
import random
import subprocess

from rig import reader


def random_raw(path, size, *, holes=True, seed=0):
    """A sparse raw file of 'size' bytes: data, holes, and zeros that were written."""
    source = random.Random(seed)
    with open(path, "wb") as file:
        file.truncate(size)
        offset = 0
        while offset < size:
            length = min(source.choice([4096, 65536, 1 << 20, 3 << 20]), size - offset)
            kind = source.random() if holes else 0
            if kind < 0.6:
                file.seek(offset)
                file.write(source.randbytes(length))
            elif kind < 0.75:
                file.seek(offset)
                file.write(bytes(length))
            offset += length
    return path


def qcow2(path, raw):
    """The same contents as qcow2, by qemu-img."""
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(path)], check=True)
    return path


def same(one, other, one_format="raw", other_format="raw"):
    """Whether the visible contents are equal, by qemu-img compare."""
    done = subprocess.run(["qemu-img", "compare", "-U", "-f", one_format, "-F", other_format, str(one), str(other)],
                          capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0


def data_path(repository, image):
    folder = pathlib.Path(repository) / "images" / image
    return str(folder / reader.data_name(reader.read_json(folder / "image.json")))


@contextlib.contextmanager
def written_to(path, form="qcow2", options=()):
    """While it lasts, another program (qemu-io, as a guest would) has the image open, for writing if no option says else."""
    command = ["qemu-io", *options, "-f", form, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stdin.write("length\n")
    process.stdin.flush()
    assert process.stdout.readline()  # it is open
    try:
        yield
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()
