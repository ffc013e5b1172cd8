# SPDX-License-Identifier: Apache-2.0
"""SIGKILL at each durable act of an upload through a ticket: the image is what it was, a torn upload, or whole."""
import http.client
import shutil
import urllib.parse

import pytest
from test_kill_at_each_act import run_until_killed

from rig import reader
from rig.client import RpcError
from rig.images import data_path, random_raw, same

SIZE = 1 << 20
CALLS = ["fsync", "fdatasync", "renameat2", "pwrite64"]


def put(ticket, offset, data, flush):
    url = urllib.parse.urlsplit(ticket["urls"][0])
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
    try:
        connection.request("PUT", f"{url.path}?flush={flush}", data,
                           {"Content-Range": f"bytes {offset}-{offset + len(data) - 1}/*"})
        reply = connection.getresponse()
        if reply.status != 200:  # strace -f follows children too: it was qemu-nbd that was killed
            raise ConnectionError(reply.read())
    finally:
        connection.close()


def upload(client, raw):
    """In two pieces, of which the first is made durable by itself."""
    data = raw.read_bytes()
    ticket = client.call("image.ticket", {"repository": "fast", "image": "web1", "ops": ["write"]})
    put(ticket, 0, data[:SIZE // 2], "y")
    put(ticket, SIZE // 2, data[SIZE // 2:], "n")
    try:
        client.call("image.closeTicket", {"ticket": ticket["ticket"]})
    except RpcError as error:
        raise ConnectionError(error) from error


@pytest.mark.parametrize("image_format", ["raw", "qcow2"])
def test_an_upload_killed_anywhere_is_told_as_what_it_is(tmp_path, make_agent, image_format):
    raw = random_raw(tmp_path / "web1.raw", SIZE)
    seed = make_agent("seed", repositories=["fast"])
    seed.call("image.create", {"repository": "fast", "image": "web1", "size": SIZE, "format": image_format})
    seed.kill()
    states, kills = set(), 0
    for call in CALLS:
        for n in range(1, 30):
            target = tmp_path / f"{call}-{n}"
            shutil.copytree(seed.folder / "fast", target / "fast")
            agent = make_agent(target.name, repositories=["fast"], arguments=["--listen", "127.0.0.1:0"], start=False,
                               wrapper=["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
                                        "-e", f"inject={call}:signal=SIGKILL:when={n}"])
            ended = run_until_killed(agent, upload, raw)
            agent.wrapper = []
            kills += not ended
            agent.start()
            states.add(check_truth(agent, raw, image_format, ended))
            agent.remove()
            if ended:
                break
    assert kills >= 5, f"only {kills} kills: the injection does not work here"
    assert states == {"untouched", "torn", "whole"}


def check_truth(agent, raw, image_format, ended):
    fast = agent.folder / "fast"
    with agent.connect() as client:
        image = client.call("image.status", {"repository": "fast", "image": "web1"})
        truth = reader.state(fast, "web1")
        assert (image["state"], image["generation"]) == (truth["state"], truth["generation"])
        if image["generation"] == 2:
            assert image["state"] == "optimized" and same(data_path(fast, "web1"), raw, image_format)
            return "whole"
        assert not ended and image["generation"] == 1
        told = "untouched"
        if image["state"] == "broken":
            assert "upload into it has not finished" in image["reason"], image
            told = "torn"
        upload(client, raw)
        image = client.call("image.status", {"repository": "fast", "image": "web1"})
        assert (image["state"], image["generation"]) == ("optimized", 2)
        assert same(data_path(fast, "web1"), raw, image_format)
        problems = client.call("repository.check", {"repository": "fast"})["problems"]
        assert [problem for problem in problems if problem["kind"] != "clean"] == []
        return told
