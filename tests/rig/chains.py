# SPDX-License-Identifier: Apache-2.0
"""Chains of images: what a guest writes into them, and what they show, by QEMU's own programs."""
import json
import os
import pathlib
import subprocess

from rig import reader
from rig.images import data_path, qcow2, random_raw, same, written_to

MIB = 1 << 20


def record_of(repository, image):
    return reader.read_json(pathlib.Path(repository) / "images" / image / "image.json")


def guest_writes(repository, image, byte, offset, size=65536):
    """As a guest that is then shut down."""
    subprocess.run(["qemu-io", "-f", record_of(repository, image)["format"], "-c", f"write -P {byte} {offset} {size}",
                    data_path(repository, image)], check=True, stdout=subprocess.DEVNULL)


def opened_by_a_guest(repository, image, *options):
    """While it lasts, a program of QEMU has the image open."""
    return written_to(data_path(repository, image), record_of(repository, image)["format"], options)


def photograph(repository, image, path):
    """The image's contents as they are now, as a raw file."""
    subprocess.run(["qemu-img", "convert", "-U", "-f", record_of(repository, image)["format"], "-O", "raw",
                    data_path(repository, image), str(path)], check=True)
    return path


def virtual_size(repository, image):
    info = subprocess.run(["qemu-img", "info", "-U", "--output=json", "-f", record_of(repository, image)["format"],
                           data_path(repository, image)], check=True, capture_output=True)
    return json.loads(info.stdout)["virtual-size"]


def shows(repository, image, raw):
    """Whether the image shows what the raw file has, no more and no less."""
    return (same(data_path(repository, image), raw, record_of(repository, image)["format"])
            and virtual_size(repository, image) == (raw.stat().st_size + 511) // 512 * 512)


def begins_with(repository, image, raw, size, scratch):
    """Whether the first 'size' bytes that the image's data show are those of the raw file, and then zeros."""
    shown, wanted = photograph(repository, image, scratch / "shown.raw"), scratch / "wanted.raw"
    subprocess.run(["cp", "--sparse=always", str(raw), str(wanted)], check=True)
    for path in (shown, wanted):
        os.truncate(path, size)
    return same(shown, wanted)


def checksum(client, repository, image):
    ended = client.run("image.checksum", {"repository": repository, "image": image})
    assert ended["status"] == "done", ended
    return ended["result"]["checksum"]["value"]


def import_image(client, repository, image, folder, form, size=3 * MIB, seed=0):
    """'image' of random contents; gives them as a raw file."""
    raw = random_raw(folder / f"{image}-{seed}.raw", size, seed=seed)
    source = qcow2(folder / f"{image}.qcow2", raw) if form == "qcow2" else raw
    ended = client.run("image.import", {"repository": repository, "image": image, "path": str(source),
                                        "sourceFormat": form})
    assert ended["status"] == "done", ended
    return raw


def layers(client, repository, image):
    """The ids of a chain, from the image down."""
    found = []
    while image:
        found.append(image)
        image = client.call("image.status", {"repository": repository, "image": image})["base"]
    return found


__all__ = ["MIB", "begins_with", "checksum", "guest_writes", "import_image", "layers", "opened_by_a_guest", "photograph",
           "record_of", "shows", "virtual_size"]
