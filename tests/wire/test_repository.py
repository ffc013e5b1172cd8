# SPDX-License-Identifier: Apache-2.0
"""repository.*: connecting, remembering, health, check and fix; and what a full backend answers."""
import json
import os
import pathlib
import shutil
import subprocess

from rig import reader
from rig.images import data_path, random_raw, same


def test_what_was_connected_by_call_outlives_the_agent(agent, client, tmp_path):
    path = tmp_path / "mine"
    status = client.call("repository.connect", {"repository": "mine", "kind": "dir", "path": str(path), "create": True})
    assert status["health"] == "ok" and status["images"] == 0 and status["capacity"] > status["free"] > 0
    assert json.loads((path / "hostler.json").read_text())["uuid"] == status["uuid"]
    agent.restart()
    with agent.connect() as again:
        assert again.call("repository.status", {"repository": "mine"})["uuid"] == status["uuid"]
        again.call("repository.disconnect", {"repository": "mine"})
    agent.restart()
    with agent.connect() as again:
        assert again.error("repository.status", {"repository": "mine"}).name == "RepositoryNotFound"
        assert [r["repository"] for r in again.call("repository.list")["repositories"]] == ["fast", "slow"]


def test_a_configured_repository_that_is_not_there_says_so(make_agent, tmp_path):
    agent = make_agent(config=f"[repository gone]\nkind = dir\npath = {tmp_path}/gone\n")
    with agent.connect() as client:
        status = client.call("repository.status", {"repository": "gone"})
        assert status["health"] == "unavailable" and str(tmp_path / "gone") in status["reason"]
        error = client.error("image.list", {"repository": "gone"})
        assert error.name == "RepositoryUnavailable" and str(tmp_path / "gone") in error.message


def test_connecting_and_disconnecting_are_told(client, tmp_path):
    client.call("event.subscribe", {"topics": ["repository.*"]})
    client.call("repository.connect", {"repository": "mine", "kind": "dir", "path": str(tmp_path / "r"), "create": True})
    event = client.event()["params"]
    assert event["topic"] == "repository.connected" and event["subject"] == "mine"
    assert event["data"]["health"] == "ok"
    client.call("repository.disconnect", {"repository": "mine"})
    assert client.event()["params"]["topic"] == "repository.disconnected"


def problems(client, repository="fast"):
    return client.call("repository.check", {"repository": repository})["problems"]


def test_what_a_crash_leaves_is_found_and_freed(agent, client):
    images = agent.folder / "fast" / "images"
    for name in (".new-11111111-1111-4111-8111-111111111111", ".gone-22222222-2222-4222-8222-222222222222"):
        (images / name).mkdir()
        (images / name / "data").write_bytes(b"x" * 4096)
    client.call("image.create", {"repository": "fast", "image": "a", "size": 4096})
    (images / "a" / "copy.json").write_text("{}")
    (images / "a" / ".tmp-image.json").write_text("{")
    found = problems(client)
    assert sorted(p["kind"] for p in found) == ["clean"] * 4, found
    for problem in found:
        client.run("repository.fix", {"repository": "fast", "fix": problem["fix"]})
        assert client.error("repository.fix", {"repository": "fast", "fix": problem["fix"]}).name == "Conflict"
    assert problems(client) == [] and reader.leftovers(agent.folder / "fast") == []
    assert sorted(os.listdir(images / "a")) == ["data", "image.json", "lock"]


def test_a_fix_that_nobody_found_is_refused(client):
    for fix in ({}, {"action": "free", "name": "../.."}, {"action": "free", "name": "a"}, {"action": "burn", "name": "a"},
                {"action": "remove", "name": "a/b"}, {"action": "free", "name": ".new-/../../x"}):
        error = client.error("repository.fix", {"repository": "fast", "fix": fix})
        assert error.name == "InvalidParams" and error.data["param"] == "fix", (fix, error)


def test_an_abandoned_copy_is_mended_by_its_fix(agent, client, tmp_path):
    raw = random_raw(tmp_path / "web1.raw", 4 << 20)
    client.run("image.import", {"repository": "slow", "image": "web1", "path": str(raw), "sourceFormat": "raw"})
    client.call("image.copy", {"repository": "slow", "image": "web1", "targetRepository": "fast",
                               "bytesPerSecond": 65536}, id="part")
    assert problems(client) == []  # somebody works on it
    client.call("task.abort", {"task": "part"})
    client.call("task.wait", {"task": "part"})
    [problem] = problems(client)
    assert problem["kind"] == "mend" and problem["image"] == "web1"
    answer = client.call("repository.fix", {"repository": "fast", "fix": problem["fix"]})
    client.hurry(answer["task"])
    assert client.call("task.wait", {"task": answer["task"]})["status"] == "done"
    assert problems(client) == []
    assert same(data_path(agent.folder / "fast", "web1"), raw)


def test_a_broken_image_is_removed_by_its_fix_and_a_mended_one_is_not(agent, client):
    client.call("image.create", {"repository": "fast", "image": "a", "size": 4096})
    record = agent.folder / "fast" / "images" / "a" / "image.json"
    good = record.read_text()
    record.write_text("{")
    [problem] = problems(client)
    assert problem["kind"] == "mend" and problem["problem"] == "unreadable image"
    record.write_text(good)
    assert client.error("repository.fix", {"repository": "fast", "fix": problem["fix"]}).name == "Conflict"
    record.write_text("{")
    client.run("repository.fix", {"repository": "fast", "fix": problem["fix"]})
    assert reader.images(agent.folder / "fast") == []


def test_thousands_of_images_are_listed_in_pages(agent, client):
    client.call("image.create", {"repository": "fast", "image": "i00000", "size": 4096})
    images = agent.folder / "fast" / "images"
    for number in range(1, 2000):
        shutil.copytree(images / "i00000", images / f"i{number:05}")
    seen, after = [], None
    while True:
        page = client.call("image.list", {"repository": "fast", "limit": 1000, **({"after": after} if after else {})})
        seen += [image["image"] for image in page["images"]]
        after = page.get("next")
        if not after:
            break
    assert seen == [f"i{number:05}" for number in range(2000)]
    client.call("image.update", {"repository": "fast", "image": "i00007", "userData": {"state": "broken"}})
    assert client.call("image.list", {"repository": "fast", "state": "broken"})["images"] == []
    assert client.call("repository.status", {"repository": "fast"})["images"] == 2000


def test_a_backend_with_too_much_to_do_answers_busy(make_agent):
    agent = make_agent(repositories=["fast"], arguments=["--workers", "1"], config="[limits]\nconnection-tasks = 5000\n"
                       "batch-count = 5000\n")
    with agent.connect() as client:
        client.call("image.create", {"repository": "fast", "image": "i0", "size": 4096})
        images = agent.folder / "fast" / "images"
        for number in range(1, 300):
            shutil.copytree(images / "i0", images / f"i{number}")
        calls = [{"jsonrpc": "2.0", "id": f"l{n}", "method": "image.list", "params": {"repository": "fast", "limit": 1,
                                                                                      "state": "broken"}}
                 for n in range(3000)]
        client.send(json.dumps(calls))
        answers = []
        while len(answers) < len(calls):
            answers += client.raw.get(timeout=60)
        errors = [answer["error"]["data"] for answer in answers if "error" in answer]
        assert errors and all(e["name"] == "Busy" and e["backend"] and e["retryAfterMs"] > 0 for e in errors)
        assert sum("result" in answer for answer in answers) >= 1000
        assert client.call("image.list", {"repository": "fast", "limit": 1})["images"]


def test_a_repository_section_that_is_wrong_is_named_with_file_and_line(make_agent, tmp_path):
    for config, part in ((f"[repository a]\nkind = dir\ncolour = blue\npath = {tmp_path}\n", ":3: [repository a]: there is no 'colour'"),
                         ("name = x\n[repository a]\nkind = dir\n", ":3: [repository a]: parameter 'path' is missing"),
                         ("[repository a]\nkind = dir\npath = relative\n", "must be an absolute path"),
                         ("[repository a]\nkind = tape\npath = /srv\n", ":2: [repository a]: this version connects no")):
        agent = make_agent(config=config, start=False)
        done = subprocess.run(agent.command(), capture_output=True, text=True, timeout=60,
                              env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})  # it leaves at once, freeing nothing
        assert done.returncode == 2 and part in done.stderr, done


def test_an_export_that_cannot_be_mounted_is_unavailable_and_leaves_nothing(agent, client):
    # Nobody listens on that port; and where the kernel has no NFS, that is said.
    nowhere = {"repository": "far", "kind": "nfs", "server": "127.0.0.1", "export": "/x", "options": "port=1"}
    error = client.error("repository.connect", nowhere)
    assert error.name == "RepositoryUnavailable" and "cannot mount '127.0.0.1:/x'" in error.message
    assert client.error("repository.status", {"repository": "far"}).name == "RepositoryNotFound"
    for wrong in ({"options": "ro,exec"}, {"options": "hard"}, {"server": "-o"}, {"export": "/a b"}, {"path": "/srv"}):
        error = client.error("repository.connect", {**nowhere, **wrong})
        assert error.name == "InvalidParams" and error.data["param"] in wrong, error


def test_what_an_earlier_agent_had_mounted_and_nobody_wants_is_unmounted(agent):
    agent.kill()
    point = agent.run_dir / "mnt" / "far"
    point.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(point)], check=True)
    try:
        agent.start()
        with agent.connect() as client:
            while point.exists():  # its folder goes last
                client.call("host.ping")
        assert str(point) not in pathlib.Path("/proc/self/mountinfo").read_text()
    finally:
        subprocess.run(["umount", "-l", str(point)], stderr=subprocess.DEVNULL, check=False)
