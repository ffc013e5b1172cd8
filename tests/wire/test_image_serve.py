# SPDX-License-Identifier: Apache-2.0
"""image.serve and unserve, with other people's NBD clients: nbdinfo, nbdcopy, qemu-img, qemu-io."""
import json
import os
import pathlib
import select
import signal
import subprocess
import threading

import pytest

from rig.certificates import Authority
from rig.client import TIMEOUT, RpcError
from rig.images import data_path, qcow2, random_raw, same

SIZE = 5 << 20


@pytest.fixture
def source(client, tmp_path):
    """'raw' and 'qcow2' in 'fast', of the same contents; gives the raw file."""
    raw = random_raw(tmp_path / "source.raw", SIZE)
    for form, path in (("raw", raw), ("qcow2", qcow2(tmp_path / "source.qcow2", raw))):
        ended = client.run("image.import", {"repository": "fast", "image": form, "path": str(path), "sourceFormat": form})
        assert ended["status"] == "done", ended
    return raw


def only_server(agent):
    (pid,) = agent.servers()
    return pid


def wait_until_dead(pidfd):
    assert select.select([pidfd], [], [], TIMEOUT)[0], "it did not end"
    os.close(pidfd)


def kill(pid):
    pidfd = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    wait_until_dead(pidfd)


def run(*arguments):
    return subprocess.run(arguments, capture_output=True, text=True, timeout=TIMEOUT)


def info(uri):
    done = run("nbdinfo", "--json", uri)
    assert done.returncode == 0, done.stderr
    (export,) = json.loads(done.stdout)["exports"]
    return export


def download(uri, path):
    done = run("nbdcopy", uri, str(path))
    assert done.returncode == 0, done.stderr
    return path


def write(uri, offset, letter, size=65536):
    done = run("qemu-io", "-f", "raw", "-c", f"write -P {ord(letter)} {offset} {size}", "-c", "flush", uri)
    assert done.returncode == 0 and "wrote" in done.stdout, done.stdout + done.stderr


def shows(uri, offset, letter, size=65536):
    done = run("qemu-io", "-r", "-f", "raw", "-c", f"read -P {ord(letter)} {offset} {size}", uri)
    return done.returncode == 0 and "read" in done.stdout and "verification failed" not in done.stdout


def fast(image, **more):
    return {"repository": "fast", "image": image, **more}


@pytest.mark.parametrize("form", ["raw", "qcow2"])
def test_readers_get_the_visible_contents(agent, client, source, tmp_path, form):
    served = client.call("image.serve", fast(form))
    assert served == {**fast(form), "uri": served["uri"], "writable": False, "tls": False}
    assert served["uri"].startswith(f"nbd+unix:///{form}?socket={agent.run_dir}/serve/")
    socket = served["uri"].split("socket=")[1]
    assert os.stat(socket).st_mode & 0o777 == 0o600
    export = info(served["uri"])
    assert export["export-size"] == SIZE and export["is_read_only"] and export["can_multi_conn"]
    assert same(download(served["uri"], tmp_path / "got.raw"), source)
    assert run("qemu-img", "compare", "-f", "raw", "-F", "raw", served["uri"], str(source)).returncode == 0
    assert "Permission denied" in run("qemu-io", "-f", "raw", "-c", "write 0 512", served["uri"]).stderr
    status = client.call("image.status", fast(form))
    assert (status["state"], status["reason"]) == ("optimized", f"served read-only at {served['uri']}")
    status = client.call("image.unserve", fast(form))
    assert (status["generation"], status["reason"]) == (1, None)
    assert not agent.servers() and os.listdir(agent.run_dir / "serve") == []
    assert run("nbdinfo", served["uri"]).returncode != 0


def test_several_readers_at_once(agent, client, source):
    uri = client.call("image.serve", fast("raw"))["uri"]
    holding = subprocess.Popen(["qemu-io", "-r", "-f", "raw", uri], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True)
    holding.stdin.write("length\n")
    holding.stdin.flush()
    assert holding.stdout.readline()
    assert info(uri)["export-size"] == SIZE
    client.call("image.unserve", fast("raw"))  # cuts the one that holds on
    holding.stdin.close()
    assert holding.wait(TIMEOUT) in (0, 1)
    holding.stdout.close()


def test_an_overlay_shows_its_base(agent, client, source, tmp_path):
    client.call("image.update", fast("raw", immutable=True))
    client.call("image.create", fast("over", size=SIZE, base="raw"))
    uri = client.call("image.serve", fast("over", writable=True))["uri"]
    assert same(download(uri, tmp_path / "got.raw"), source)
    write(uri, 65536, "o")
    assert shows(uri, 65536, "o")
    assert client.call("image.unserve", fast("over"))["generation"] == 2
    uri = client.call("image.serve", fast("raw"))["uri"]
    assert not shows(uri, 65536, "o") and same(download(uri, tmp_path / "base.raw"), source)
    client.call("image.unserve", fast("raw"))


def test_what_is_written_stays_and_is_one_operation(agent, client, source, tmp_path):
    client.run("image.checksum", fast("qcow2"))
    assert client.call("image.status", fast("qcow2"))["checksum"]
    uri = client.call("image.serve", fast("qcow2", writable=True, ifGeneration=2))["uri"]
    status = client.call("image.status", fast("qcow2"))
    assert status["reason"] == f"served for writing at {uri}" and status["generation"] == 2
    error = client.error("image.copy", fast("qcow2", targetRepository="slow"))
    assert error.name == "ImageInUse" and error.data["holder"].endswith("image.serve"), error.data
    write(uri, 1 << 20, "w")
    assert client.error("image.unserve", fast("qcow2", ifGeneration=0)).name == "Conflict"
    assert shows(uri, 1 << 20, "w")
    status = client.call("image.unserve", fast("qcow2", ifGeneration=2))
    assert (status["generation"], status["checksum"], status["state"]) == (3, None, "optimized")
    expected = bytearray(source.read_bytes())
    expected[1 << 20:(1 << 20) + 65536] = b"w" * 65536
    (tmp_path / "expected").write_bytes(expected)
    assert same(data_path(agent.folder / "fast", "qcow2"), tmp_path / "expected", "qcow2")
    assert client.run("image.verify", fast("qcow2"))["status"] == "done"


def test_the_same_again_is_the_same_and_another_is_refused(agent, client, source):
    first = client.call("image.serve", fast("raw"))
    pid = only_server(agent)
    assert client.call("image.serve", fast("raw")) == first and only_server(agent) == pid
    error = client.error("image.serve", fast("raw", writable=True))
    assert error.name == "WrongState" and error.data["state"] == "served read-only", error.data
    error = client.error("image.remove", fast("raw"))
    assert error.name == "ImageInUse" and "image.unserve" in error.message, error
    error = client.error("repository.disconnect", {"repository": "fast"})
    assert error.name == "WrongState" and error.data["state"] == "served"
    client.call("image.unserve", fast("raw"))
    error = client.error("image.unserve", fast("raw"))
    assert error.name == "WrongState" and error.data["needs"] == "served", error.data
    client.call("image.remove", fast("raw"))
    assert client.error("image.unserve", fast("raw")).name == "ImageNotFound"
    client.call("repository.disconnect", {"repository": "fast"})


def test_what_cannot_be_served_is_refused(agent, client, source):
    assert client.error("image.serve", fast("none")).name == "ImageNotFound"
    assert client.error("image.serve", fast("raw", ifGeneration=7)).name == "Conflict"
    client.call("image.update", fast("raw", immutable=True))
    assert client.error("image.serve", fast("raw", writable=True)).name == "ImageImmutable"
    error = client.error("image.serve", fast("raw", tls=True))
    assert error.name == "InvalidParams" and error.data["param"] == "tls" and "--tls-listen" in error.data["reason"]
    os.truncate(data_path(agent.folder / "fast", "raw"), 4096)
    assert client.error("image.serve", fast("raw")).name == "ImageBroken"
    with open(data_path(agent.folder / "fast", "qcow2"), "r+b") as file:
        file.write(b"not QFI\xfb")
    error = client.error("image.serve", fast("qcow2"))
    assert error.name == "BackendFailed" and "not in qcow2 format" in error.data["text"], error.data
    assert not agent.servers() and os.listdir(agent.run_dir / "serve") == []
    client.call("image.update", fast("qcow2", userData={"lock": "is free"}))


def test_many_calls_for_one_image_get_one_server(agent, client, source):
    answers, threads = [], []

    def call():
        with agent.connect() as connection:
            answers.append(connection.call("image.serve", fast("raw")))

    for _ in range(8):
        threads.append(threading.Thread(target=call))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8 and all(answer == answers[0] for answer in answers)
    only_server(agent)
    ids = [client.request("image.unserve", fast("raw")) for _ in range(4)]
    replies = [client.wait(one) for one in ids]
    assert sorted("result" in reply for reply in replies) == [False, False, False, True], replies
    assert not agent.servers()


def test_the_next_agent_adopts_what_the_killed_one_served(agent, client, source, tmp_path):
    read = client.call("image.serve", fast("raw"))
    written = client.call("image.serve", fast("qcow2", writable=True))
    before = agent.servers()
    agent.kill()
    assert agent.servers() == before
    assert same(download(read["uri"], tmp_path / "got.raw"), source)  # with no agent at all
    write(written["uri"], 0, "k")
    agent.start()
    with agent.connect() as again:
        assert again.call("image.serve", fast("raw")) == read and agent.servers() == before
        error = again.error("image.update", fast("qcow2", userData={}))
        assert error.name == "ImageInUse" and error.data["holder"].endswith("image.serve")
        assert "served for writing" in again.call("image.status", fast("qcow2"))["reason"]
        assert again.error("repository.disconnect", {"repository": "fast"}).name == "WrongState"
        assert again.call("image.unserve", fast("qcow2"))["generation"] == 2
        assert again.call("image.unserve", fast("raw"))["generation"] == 1
        assert not agent.servers() and os.listdir(agent.run_dir / "serve") == []
        again.call("image.remove", fast("qcow2"))


def test_a_server_that_was_killed_is_noticed(agent, client, source):
    uri = client.call("image.serve", fast("raw", writable=True))["uri"]
    write(uri, 0, "d")
    client.call("event.subscribe", {"topics": ["image.changed"], "subject": "fast/raw"})
    kill(only_server(agent))
    event = client.event(lambda event: event["method"] == "event")
    assert event["params"]["data"]["reason"] is None and event["params"]["data"]["generation"] == 1
    assert client.error("image.unserve", fast("raw")).name == "WrongState"
    assert os.listdir(agent.run_dir / "serve") == []
    uri = client.call("image.serve", fast("raw"))["uri"]
    assert shows(uri, 0, "d")
    client.call("image.unserve", fast("raw"))


def test_a_server_that_died_with_the_agent_leaves_nothing(agent, client, source):
    client.call("image.serve", fast("raw", writable=True))
    pid = only_server(agent)
    agent.kill()
    kill(pid)
    assert os.listdir(agent.run_dir / "serve") != []
    agent.start()
    assert os.listdir(agent.run_dir / "serve") == []
    with agent.connect() as again:
        assert again.call("image.status", fast("raw"))["reason"] is None
        again.call("image.update", fast("raw", userData={}))


def test_another_process_of_that_number_is_not_taken_for_a_server(agent, client, source):
    client.call("image.serve", fast("raw"))
    pid = only_server(agent)
    agent.kill()
    kill(pid)
    (record,) = (agent.run_dir / "serve").glob("*.json")
    text = json.loads(record.read_text())
    record.write_text(json.dumps({**text, "pid": os.getpid()}))
    agent.start()
    with agent.connect() as again:
        assert again.error("image.unserve", fast("raw")).name == "WrongState"


def test_a_server_that_was_never_answered_is_ended_at_the_next_start(agent, client, source):
    uri = client.call("image.serve", fast("raw", writable=True))["uri"]
    pidfd = os.pidfd_open(only_server(agent))
    agent.kill()
    (record,) = (agent.run_dir / "serve").glob("*.json")
    text = json.loads(record.read_text())
    record.write_text(json.dumps({**text, "pid": 0, "started": 0, "uri": ""}))
    agent.start()
    wait_until_dead(pidfd)
    assert run("nbdinfo", uri).returncode != 0 and os.listdir(agent.run_dir / "serve") == []
    with agent.connect() as again:
        again.call("image.update", fast("raw", userData={}))


def test_a_damaged_record_keeps_no_agent_from_starting(agent, client, source):
    (agent.run_dir / "serve" / "nonsense.json").write_text("{")
    agent.restart()
    assert os.listdir(agent.run_dir / "serve") == [] and "nonsense.json' is damaged" in agent.log_text()


def test_an_aborted_call_leaves_no_server(agent, client, source):
    for _ in range(10):
        id = client.request("image.serve", fast("raw"))
        try:
            client.call("task.abort", {"task": id})
        except RpcError as error:
            assert error.name == "TaskNotActive"
        reply = client.wait(id)
        if "error" in reply:
            assert reply["error"]["data"]["name"] == "TaskAborted"
            assert not agent.servers() and os.listdir(agent.run_dir / "serve") == []
        else:
            client.call("image.unserve", fast("raw"))
    client.call("image.remove", fast("raw"))


def test_two_agents_share_an_image_for_reading_only(agent, client, source, make_agent, tmp_path):
    other = make_agent(folder="other", name="other")
    path = str(agent.folder / "fast")
    other.call("repository.connect", {"repository": "fast", "kind": "dir", "path": path})
    with other.connect() as second:
        mine = client.call("image.serve", fast("raw"))["uri"]
        theirs = second.call("image.serve", fast("raw"))["uri"]
        assert mine != theirs
        assert same(download(mine, tmp_path / "mine"), source) and same(download(theirs, tmp_path / "theirs"), source)
        assert second.error("image.serve", fast("raw", writable=True)).name == "WrongState"
        client.call("image.unserve", fast("raw"))
        assert client.error("image.serve", fast("raw", writable=True)).name == "ImageInUse"
        second.call("image.unserve", fast("raw"))
        client.call("image.serve", fast("raw", writable=True))
        for writable in (True, False):
            error = second.error("image.serve", fast("raw", writable=writable))
            assert error.name == "ImageInUse"
            assert error.data["holder"] == client.call("host.info")["hostId"] + " image.serve"
        client.call("image.unserve", fast("raw"))


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("authority"))
    authority.sign_server()
    authority.sign("operator", "/O=Storage/OU=Backup/OU=operator/CN=bob")
    authority.sign("viewer", "/OU=viewer/CN=carol")
    authority.sign("liar", "/CN=mallory\\,OU=admin")
    authority.sign("boaster", "/OU=not admin/CN=eve OU=admin")
    return authority


def test_tls_lets_in_who_has_the_certificate_of_an_operator(make_agent, authority, source, agent, tmp_path):
    tls = make_agent(folder="tls", arguments=authority.flags())
    with tls.connect() as client:
        client.call("repository.connect", {"repository": "fast", "kind": "dir", "path": str(agent.folder / "fast")})
        served = client.call("image.serve", fast("raw", tls=True))
        uri = served["uri"]
        assert uri.startswith("nbds://127.0.0.1:") and uri.endswith("/raw") and served["tls"]
        good = f"{uri}?tls-certificates={authority.client_folder('operator')}"
        assert info(good)["export-size"] == SIZE
        assert same(download(good, tmp_path / "got.raw"), source)
        for name in ("viewer", "liar", "boaster"):
            done = run("nbdinfo", f"{uri}?tls-certificates={authority.client_folder(name)}")
            assert done.returncode != 0, name
        assert run("nbdinfo", uri.replace("nbds:", "nbd:")).returncode != 0
        other = Authority(tmp_path / "other")
        other.sign("operator", "/OU=operator/CN=bob")
        (tmp_path / "other" / "ca.pem").write_bytes(pathlib.Path(authority.path("ca.pem")).read_bytes())
        assert run("nbdinfo", f"{uri}?tls-certificates={other.client_folder('operator')}").returncode != 0
        error = client.error("image.serve", fast("raw"))
        assert error.name == "WrongState" and "TLS" in error.data["state"]
        tls.restart()
        assert tls.call("image.serve", fast("raw", tls=True))["uri"] == uri and info(good)
        tls.call("image.unserve", fast("raw"))
        assert run("nbdinfo", good).returncode != 0
