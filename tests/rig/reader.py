# SPDX-License-Identifier: Apache-2.0
"""An independent reader of the on-disk format (doc/formats.md): shares no code with the agent.

state(repository, image) says what any agent must say of an image; check() what is left about.
"""
import fcntl
import json
import os
import pathlib
import struct

F_OFD_GETLK = 36


def locked(directory):
    """Whether somebody holds the image's lock exclusively."""
    try:
        fd = os.open(directory / "lock", os.O_RDWR)
    except OSError:
        return False
    try:
        query = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
        answer = fcntl.fcntl(fd, F_OFD_GETLK, query)
        return struct.unpack("hhqqi4x", answer)[0] != fcntl.F_UNLCK
    finally:
        os.close(fd)


def read_json(path):
    try:
        value = json.loads(path.read_bytes())
        return value if isinstance(value, dict) else None
    except (OSError, ValueError):
        return None


def state(repository, image):
    """None: no such image; else a dict with state, generation, active, done."""
    directory = pathlib.Path(repository) / "images" / image
    if not directory.is_dir() or directory.is_symlink():
        return None
    record = read_json(directory / "image.json")
    data = directory / data_name(record)
    result = {"generation": None, "active": locked(directory), "done": None}
    if record is None:
        return dict(result, state="broken")
    result["generation"] = record["generation"]
    if record["damage"] or not data.is_file() or data.is_symlink():
        return dict(result, state="broken")
    if record["format"] == "raw" and data.stat().st_size < record["size"]:
        return dict(result, state="broken")
    if merged_into(record) or unfinished_snapshot(repository, directory, record):
        return dict(result, state="broken")
    if not record["complete"]:
        copy = read_json(directory / "copy.json")
        return dict(result, state="broken", done=copy and copy["done"])
    if record["version"] >= 2 and (record.get("merging") or record.get("resizing")):
        return dict(result, state="degraded")
    return dict(result, state="optimized")


def data_name(record):
    """The file in the image's directory that holds its bits."""
    return (record or {"version": 1})["version"] >= 2 and record.get("data") or "data"


def merged_into(record):
    return record["version"] >= 2 and record.get("mergedInto")


def unfinished_snapshot(repository, directory, record):
    """Whether its data file is still that of the image it is made from."""
    origin = record["version"] >= 2 and record.get("snapshotOf")
    if not origin:
        return False
    other = pathlib.Path(repository) / "images" / origin
    theirs = other / data_name(read_json(other / "image.json"))
    return theirs.exists() and os.path.samefile(theirs, directory / data_name(record))


def images(repository):
    return sorted(entry.name for entry in (pathlib.Path(repository) / "images").iterdir()
                  if not entry.name.startswith("."))


def leftovers(repository):
    """Hidden directories, and images with data files that do not count, by name: what a crash left; each
    must be reported by repository.check."""
    found = []
    for entry in (pathlib.Path(repository) / "images").iterdir():
        if entry.name.startswith("."):
            found.append(entry.name)
        elif record := read_json(entry / "image.json"):
            if any(path.name != data_name(record) for path in entry.glob("data*")):
                found.append(entry.name)
    return sorted(found)
