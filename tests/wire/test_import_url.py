# SPDX-License-Identifier: Apache-2.0
"""image.import from URLs: real servers of HTTP, HTTPS and NBD, good ones and others."""
import os
import pathlib
import signal
import socket
import subprocess
import time

import pytest

from rig.certificates import Authority
from rig.client import TIMEOUT
from rig.gluster import wait_for
from rig.images import data_path, qcow2, random_raw, same
from rig.web import Web

SIZE = 9 << 20


@pytest.fixture
def raw(tmp_path):
    return random_raw(tmp_path / "source.raw", SIZE)


@pytest.fixture
def packed(tmp_path, raw):
    return qcow2(tmp_path / "source.qcow2", raw)


@pytest.fixture
def make_web():
    webs = []

    def make(path, **options):
        webs.append(Web(path, **options))
        return webs[-1]

    yield make
    for web in webs:
        web.stop()


@pytest.fixture
def start():
    """start(command...): a server that ends with the test."""
    processes = []

    def begin(*command):
        processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.wait()


def wait_for_socket(path, process):
    while not os.path.exists(path):
        assert process.poll() is None


def params(url, form="raw", **more):
    return {"repository": "fast", "image": "i", "url": url, "sourceFormat": form, **more}


def import_(client, url, form="raw", **more):
    ended = client.run("image.import", params(url, form, **more))
    assert ended["status"] == "done", ended
    return ended


def refused(client, url, form="raw", **more):
    error = client.error("image.import", params(url, form, **more))
    assert client.error("image.status", {"repository": "fast", "image": "i"}).name == "ImageNotFound"
    return error


def is_imported(agent, source, form="raw", target="raw"):
    return same(data_path(agent.folder / "fast", "i"), source, target, form)


def helpers(agent):
    """The programs that the agent runs now: name and process."""
    children = pathlib.Path(f"/proc/{agent.process.pid}/task").glob("*/children")
    return [(pathlib.Path(f"/proc/{child}/comm").read_text().strip(), int(child))
            for path in children for child in path.read_text().split()]


def no_helper_is_left(agent):
    names = [name for name, _ in helpers(agent)]
    return "nbdkit" not in names and "qemu-nbd" not in names and os.listdir(agent.run_dir / "nbd") == []


@pytest.mark.parametrize("form", ["raw", "qcow2"])
@pytest.mark.parametrize("target", ["raw", "qcow2"])
def test_what_http_serves_has_equal_contents(agent, client, raw, packed, make_web, form, target):
    web = make_web(raw if form == "raw" else packed)
    ended = import_(client, web.url(), form, format=target, userData={"from": "web"})
    assert ended["progress"] == {**ended["progress"], "done": SIZE, "total": SIZE}
    status = client.call("image.status", {"repository": "fast", "image": "i"})
    assert (status["state"], status["size"], status["generation"]) == ("optimized", SIZE, 1)
    assert status["userData"] == {"from": "web"} and status["copy"] is None
    assert is_imported(agent, raw, target=target) and no_helper_is_left(agent)
    assert all(range_ for command, _, range_ in web.requests if command == "GET")


@pytest.mark.parametrize("form", ["raw", "qcow2"])
def test_what_nbd_serves_has_equal_contents(agent, client, raw, packed, tmp_path, start, form):
    path = tmp_path / "s"
    server = start("qemu-nbd", "-r", "-t", "-x", "disk", "-f", "raw", "-k", str(path),
                   str(raw if form == "raw" else packed))
    wait_for_socket(path, server)
    import_(client, f"nbd+unix:///disk?socket={path}", form)
    assert is_imported(agent, raw, target=form)
    error = client.error("image.import", params(f"nbd+unix:///other?socket={path}", form, image="o"))
    assert error.name == "BackendFailed", error
    assert no_helper_is_left(agent)


def test_what_another_agent_serves_by_tls_can_be_imported(agent, client, raw, tmp_path, make_agent):
    authority = Authority(tmp_path / "authority")
    authority.sign_server()
    authority.sign("me", "/OU=operator/CN=me")
    other = make_agent(folder="other", arguments=authority.flags(), repositories=["far"])
    with other.connect() as far:
        far.run("image.import", {"repository": "far", "image": "web1", "path": str(raw), "sourceFormat": "raw",
                                 "format": "qcow2"})
        uri = far.call("image.serve", {"repository": "far", "image": "web1", "tls": True})["uri"]
    import_(client, f"{uri}?tls-certificates={authority.client_folder('me')}")
    assert is_imported(agent, raw)
    assert client.error("image.import", params(uri, image="o")).name == "BackendFailed"
    other.call("image.unserve", {"repository": "far", "image": "web1"})


def test_https_is_for_servers_that_an_authority_knows(make_agent, raw, make_web, tmp_path):
    authority = Authority(tmp_path / "authority")
    authority.sign_server()
    web = make_web(raw, authority=authority)
    knowing = make_agent(folder="knowing", repositories=["fast"],
                         environment={"SSL_CERT_FILE": authority.path("ca.pem")})
    with knowing.connect() as client:
        import_(client, web.url())
        assert is_imported(knowing, raw)
    unknowing = make_agent(folder="unknowing", repositories=["fast"])
    with unknowing.connect() as client:
        error = refused(client, web.url())
        assert error.name == "BackendFailed" and "certificate" in error.message, error
    with knowing.connect() as client:
        client.call("image.remove", {"repository": "fast", "image": "i"})
        web.redirects = {"/plain": "http://127.0.0.1/disk"}
        error = refused(client, web.url("/plain"))
        assert error.name == "InvalidParams" and error.data["param"] == "url", error
        error = refused(client, web.url(host="127.0.0.2"))
        assert error.name == "BackendFailed" and "127.0.0.2" in error.message, error


def test_a_redirect_is_followed_to_http_only(agent, client, raw, make_web, tmp_path):
    web = make_web(raw)
    web.redirects = {"/there": "/disk", "/file": f"file://{raw}", "/loop": "/loop", "/ftp": "ftp://127.0.0.1/disk"}
    import_(client, web.url("/there"))
    assert is_imported(agent, raw)
    for path in ("/file", "/loop", "/ftp"):
        error = client.error("image.import", params(web.url(path), image="o"))
        assert error.name == "InvalidParams" and error.data["param"] == "url", (path, error)


@pytest.mark.parametrize("url", [
    "file:///etc/passwd", "ftp://host/disk", "ssh://host/disk", "/disk", "HTTP://host/disk", "http:///disk", "http://",
    "http://me:secret@host/disk", "nbds://me@host/", "http://host/a b", "http://host/\u00e4", "nbd+unix://host/?socket=/s",
    "nbd+unix:///disk", "https//host/disk", "--help", "nbd+vsock://2/",
])
def test_what_is_no_url_to_import_from_is_refused(client, url):
    error = refused(client, url)
    assert error.name == "InvalidParams" and error.data["param"] == "url", error
    assert "secret" not in str(error)


def test_a_url_and_a_path_are_one_too_many(client, raw):
    assert refused(client, "http://host/", path=str(raw)).data["param"] == "url"


def test_what_the_server_answers_is_told(agent, client, raw, make_web, tmp_path):
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    web = make_web(raw)
    error = refused(client, web.url("/none?key=secret"))
    assert (error.name, error.data["kind"]) == ("NotFound", "url") and "secret" not in str(error), error
    web.status = 403
    error = refused(client, web.url("/none"))
    assert (error.name, error.data["code"]) == ("BackendFailed", 403)
    error = refused(client, make_web(raw, ranges=False).url())
    assert error.name == "InvalidParams" and "ranges" in error.data["reason"] and error.data["param"] == "url"
    error = refused(client, make_web(empty).url())
    assert error.name == "InvalidParams" and error.data["param"] == "url", error
    web.stop()
    error = refused(client, web.url())
    assert error.name == "BackendFailed" and "connect" in error.message, error
    assert no_helper_is_left(agent)


def test_a_silent_server_is_given_up_when_the_call_is_aborted(agent, client, raw, make_web):
    web = make_web(raw)
    web.silent.set()
    client.request("image.import", params(web.url()), id="silent")
    assert client.call("image.list", {"repository": "fast"})["images"] == []  # nobody else waits for it
    client.call("task.abort", {"task": "silent"})
    assert client.wait("silent")["error"]["data"]["name"] == "TaskAborted"


def test_a_server_that_accepts_and_says_nothing_is_a_timeout(client):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = refused(client, f"https://127.0.0.1:{silent.getsockname()[1]}/disk")
    assert error.name == "Timeout", error


def test_a_key_in_the_query_is_not_shown(agent, client, raw, make_web):
    web = make_web(raw)
    client.call("image.import", params(web.url("/disk?key=secret"), bytesPerSecond=65536), id="slow")
    status = client.call("image.status", {"repository": "fast", "image": "i"})
    assert status["copy"]["source"] == {"url": web.url("/disk?...")}, status
    assert "secret" not in str(client.call("task.status", {"task": "slow"}))
    client.call("task.abort", {"task": "slow"})
    client.call("task.wait", {"task": "slow"})
    web.stop()
    error = client.error("image.resume", {"repository": "fast", "image": "i"})
    assert error.name == "BackendFailed" and "secret" not in str(error)
    assert "secret" not in agent.log_text()


@pytest.mark.parametrize("make, words", [
    (["-b", "/etc/passwd", "-F", "raw", "-u"], "backing file"),
    (["-o", "data_file=elsewhere"], "data file"),
    (["-o", "encrypt.format=luks,encrypt.key-secret=s", "--object", "secret,id=s,data=x"], "encrypted"),
])
def test_a_qcow2_that_is_more_than_a_disk_is_refused(agent, client, tmp_path, make_web, make, words):
    path = tmp_path / "odd.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *make, str(path), "1M"], check=True, cwd=tmp_path)
    error = refused(client, make_web(path).url(), "qcow2")
    assert error.name == "InvalidParams" and words in error.message and error.data["param"] == "url", error
    assert no_helper_is_left(agent)


def test_what_is_no_qcow2_or_a_bomb_is_refused(agent, client, raw, tmp_path, make_web):
    error = refused(client, make_web(raw).url(), "qcow2")
    assert error.name == "BackendFailed" and "qcow2" in error.message, error
    bomb = tmp_path / "bomb"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=2M", str(bomb), "1000T"], check=True)
    error = refused(client, make_web(bomb).url(), "qcow2")
    assert error.name == "InvalidParams" and error.data["param"] == "url", error


def slowly(client, url, form="raw", **more):
    """An import that has begun, and has some way to go; by the task's event it has read some."""
    client.call("event.subscribe", {"topics": ["task.progress"], "subject": "slow"})
    client.call("image.import", params(url, form, bytesPerSecond=65536, **more), id="slow")
    client.event(lambda event: event["params"]["data"]["progress"]["done"] > 0)


def own_task(client):
    """The agent's, which goes on by itself; it looks for what there is to go on with when it is ready."""
    found = []
    wait_for(lambda: found.extend(client.call("task.list", {"method": "image.resume"})["tasks"]) or found, "the task")
    (task,) = found
    return task


def rest(client):
    client.call("image.resume", {"repository": "fast", "image": "i"}, id="rest")
    client.hurry("rest")
    return client.call("task.wait", {"task": "rest"})


@pytest.mark.parametrize("form", ["raw", "qcow2"])
def test_an_interrupted_import_goes_on_where_it_was(agent, client, raw, packed, make_web, form):
    web = make_web(raw if form == "raw" else packed)
    slowly(client, web.url(), form)
    status = client.call("image.status", {"repository": "fast", "image": "i"})
    assert status["state"] == "broken" and status["copy"]["source"] == {"url": web.url()}
    client.call("task.abort", {"task": "slow"})
    client.call("task.wait", {"task": "slow"})
    done = client.call("image.status", {"repository": "fast", "image": "i"})["copy"]["done"]
    web.given = 0
    assert rest(client)["status"] == "done"
    assert is_imported(agent, raw, target=form) and no_helper_is_left(agent)
    if form == "raw":
        assert web.given <= SIZE - done + (1 << 20)


def test_an_import_goes_on_by_itself_after_the_agent_was_killed(agent, client, raw, make_web):
    web = make_web(raw)
    slowly(client, web.url("/disk?key=1"), onCrash="resume")
    agent.restart()
    with agent.connect() as again:
        task = own_task(again)
        again.hurry(task["task"])
        ended = again.call("task.wait", {"task": task["task"]})
        assert ended["status"] == "done", ended
    assert is_imported(agent, raw) and no_helper_is_left(agent)


def test_what_goes_on_by_itself_waits_for_a_server_that_is_away(agent, client, raw, make_web):
    web = make_web(raw)
    slowly(client, web.url(), onCrash="resume")
    agent.kill()
    web.stop()
    agent.start()
    with agent.connect() as again:
        task = own_task(again)

        def asked():
            status = again.call("task.status", {"task": task["task"]})
            assert status["status"] in ("pending", "running"), status
            return next(step for step in status["steps"] if step["name"] == "ask server").get("attempts", 0)

        deadline = time.monotonic() + TIMEOUT
        while asked() < 2:
            assert time.monotonic() < deadline
        web.start()
        again.hurry(task["task"])
        ended = again.call("task.wait", {"task": task["task"]})
        assert ended["status"] == "done", ended
    assert is_imported(agent, raw)


def test_a_source_that_changed_is_not_continued_from(agent, client, raw, make_web):
    web = make_web(raw)
    slowly(client, web.url())
    client.call("task.abort", {"task": "slow"})
    client.call("task.wait", {"task": "slow"})
    web.etag = '"second"'
    error = client.error("image.resume", {"repository": "fast", "image": "i"})
    assert error.name == "Conflict" and "second" in error.message
    web.etag = '"first"'
    assert rest(client)["status"] == "done"


def test_a_source_that_changes_meanwhile_makes_no_image(agent, client, raw, make_web):
    web = make_web(raw)
    slowly(client, web.url())
    web.etag = '"second"'
    client.hurry("slow")
    ended = client.call("task.wait", {"task": "slow"})
    assert ended["status"] == "failed" and ended["error"]["data"]["name"] == "Conflict", ended
    assert client.call("image.status", {"repository": "fast", "image": "i"})["state"] == "broken"


def test_a_server_that_is_away_for_a_moment_is_waited_for(agent, client, raw, make_web):
    web = make_web(raw)
    slowly(client, web.url())
    web.stop()
    before = len(web.requests)
    client.hurry("slow")
    web.start()
    assert client.call("task.wait", {"task": "slow"})["status"] == "done"
    assert is_imported(agent, raw) and len(web.requests) > before


def test_a_server_that_dies_leaves_an_import_that_can_be_continued(agent, client, raw, tmp_path, start):
    path = tmp_path / "s"
    command = ["qemu-nbd", "-r", "-t", "-f", "raw", "-k", str(path), str(raw)]
    server = start(*command)
    wait_for_socket(path, server)
    slowly(client, f"nbd+unix:///?socket={path}")
    server.kill()
    server.wait()
    os.unlink(path)
    client.hurry("slow")
    ended = client.call("task.wait", {"task": "slow"})
    assert ended["status"] == "failed" and ended["error"]["data"]["name"] == "BackendFailed", ended
    status = client.call("image.status", {"repository": "fast", "image": "i"})
    assert status["state"] == "broken" and not status["copy"]["active"]
    wait_for_socket(path, start(*command))
    assert rest(client)["status"] == "done"
    assert is_imported(agent, raw) and no_helper_is_left(agent)


@pytest.mark.parametrize("form, program", [("raw", "nbdkit"), ("qcow2", "nbdkit"), ("qcow2", "qemu-nbd")])
def test_a_helper_that_is_killed_leaves_an_import_that_can_be_continued(agent, client, raw, packed, make_web, form,
                                                                        program):
    web = make_web(raw if form == "raw" else packed)
    slowly(client, web.url(), form, format="raw")
    (pid,) = [pid for name, pid in helpers(agent) if name == program]
    os.kill(pid, signal.SIGKILL)
    client.hurry("slow")
    ended = client.call("task.wait", {"task": "slow"})
    assert ended["status"] == "failed" and ended["error"]["data"]["name"] == "BackendFailed", ended
    assert client.call("image.status", {"repository": "fast", "image": "i"})["state"] == "broken"
    assert rest(client)["status"] == "done"
    assert is_imported(agent, raw) and no_helper_is_left(agent)


def test_without_nbdkit_it_says_so(make_agent, raw, make_web, tmp_path):
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("qemu-img", "qemu-nbd"):
        (programs / name).symlink_to(f"/usr/bin/{name}")
    agent = make_agent(repositories=["fast"], environment={"PATH": str(programs)})
    with agent.connect() as client:
        backends = {one["backend"]: one for one in client.call("host.info")["backends"]}
        assert backends["nbdkit"]["state"] == "unavailable" and backends["nbdkit"]["reason"] == "nbdkit is not installed"
        error = refused(client, make_web(raw).url())
        assert (error.name, error.data["backend"]) == ("BackendUnavailable", "nbdkit")
