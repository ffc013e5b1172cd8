# SPDX-License-Identifier: Apache-2.0
"""Tickets: images moved by HTTP, with curl, Python's http.client and bare sockets, as imageio's clients do."""
import concurrent.futures
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import time
import urllib.parse

import pytest

from rig.client import TIMEOUT
from rig.images import data_path, random_raw, same
from rig.raw import Raw, address_of

SIZE = 8 << 20
LISTEN = ["--listen", "127.0.0.1:0"]
FORMATS = ["raw", "qcow2"]


@pytest.fixture
def agent(make_agent):
    return make_agent(repositories=["fast"], arguments=LISTEN)


@pytest.fixture
def source(tmp_path):
    return random_raw(tmp_path / "source.raw", SIZE, seed=7)


def make_image(client, image="web1", size=SIZE, **more):
    return client.call("image.create", {"repository": "fast", "image": image, "size": size, **more})


def get_ticket(client, *ops, image="web1", **more):
    return client.call("image.ticket", {"repository": "fast", "image": image, "ops": list(ops), **more})


def status(client, image="web1"):
    return client.call("image.status", {"repository": "fast", "image": image})


def close(client, ticket, **more):
    return client.call("image.closeTicket", {"ticket": ticket["ticket"], **more})


def curl(*arguments, check=True):
    done = subprocess.run(["curl", "-sS", *map(str, arguments)], capture_output=True, timeout=TIMEOUT)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout


class Http:
    """One kept-alive connection."""

    def __init__(self, ticket):
        url = urllib.parse.urlsplit(ticket["urls"][0])
        self.connection = http.client.HTTPConnection(url.hostname, url.port, timeout=TIMEOUT)
        self.path = url.path

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def ask(self, method, more="", body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, self.path + more, body=body, headers=headers)
        reply = self.connection.getresponse()
        return reply.status, reply.headers, reply.read()

    def get(self, first, last):
        code, headers, body = self.ask("GET", range=f"bytes={first}-{last}")
        assert code == 206 and headers["content-range"] == f"bytes {first}-{last}/{SIZE}"
        return body

    def put(self, offset, data, flush="n"):
        last = offset + len(data) - 1
        return self.ask("PUT", f"?flush={flush}", data, content_range=f"bytes {offset}-{last}/*")

    def patch(self, **message):
        return self.ask("PATCH", body=json.dumps(message), content_type="application/json")

    def extents(self):
        code, _, body = self.ask("GET", "/extents")
        assert code == 200
        return json.loads(body)


def upload(client, source, image="web1", **more):
    """An image whose contents came through a ticket."""
    make_image(client, image, **more)
    ticket = get_ticket(client, "write", image=image)
    assert curl("-T", source, ticket["urls"][0]) == b""
    close(client, ticket)
    return status(client, image)


def wait_for(holds, what):
    deadline = time.monotonic() + TIMEOUT
    while not holds():
        assert time.monotonic() < deadline, f"not within {TIMEOUT} s: {what}"
        time.sleep(0.02)


# ---- moving images ----

@pytest.mark.parametrize("image_format", FORMATS)
def test_curl_uploads_and_downloads_an_image(agent, client, source, tmp_path, image_format):
    before = make_image(client, format=image_format)
    ticket = get_ticket(client, "write")
    assert ticket["path"] == f"/images/{ticket['ticket']}" and ticket["size"] == SIZE
    assert ticket["urls"] == [agent.url().replace("ws:", "http:").replace("/rpc", ticket["path"])]
    curl("-T", source, ticket["urls"][0])
    during = status(client)
    assert during["state"] == "broken" and during["reason"] == "upload under way"
    assert close(client, ticket) == {"id": ticket["id"], "repository": "fast", "image": "web1"}
    after = status(client)
    assert after["state"] == "optimized" and after["generation"] == before["generation"] + 1
    assert same(source, data_path(agent.folder / "fast", "web1"), "raw", image_format)
    ticket = get_ticket(client, "read")
    curl("-o", tmp_path / "whole.raw", ticket["urls"][0])
    assert (tmp_path / "whole.raw").read_bytes() == source.read_bytes()
    assert curl("-r", "4095-1048576", ticket["urls"][0]) == source.read_bytes()[4095:1048577]
    close(client, ticket)
    assert status(client)["generation"] == after["generation"]


def test_curl_has_its_file_name_over_a_new_layer_too(agent, client, source, tmp_path):
    """An overlay shows its base where nothing was written."""
    upload(client, source, format="qcow2")
    client.call("image.update", {"repository": "fast", "image": "web1", "immutable": True})
    make_image(client, "top", base="web1")
    ticket = get_ticket(client, "read", "write", image="top")
    with Http(ticket) as web:
        assert web.put(1 << 20, b"x" * 5000)[0] == 200
        expected = bytearray(source.read_bytes())
        expected[1 << 20:(1 << 20) + 5000] = b"x" * 5000
        code, headers, body = web.ask("GET")
        assert code == 200 and body == expected
        assert headers["content-disposition"] == 'attachment; filename="top.raw"'
    close(client, ticket)
    assert same(source, data_path(agent.folder / "fast", "web1"), "raw", "qcow2")


def test_qemu_reads_a_ticket_and_another_agent_imports_it(agent, client, make_agent, source):
    """Two clients that are not ours, libcurl in QEMU and in nbdkit; and so an image moves between hosts."""
    upload(client, source, format="qcow2")
    url = get_ticket(client, "read")["urls"][0]
    compared = subprocess.run(["qemu-img", "compare", "-f", "raw", "-F", "raw", str(source), url],
                              capture_output=True, text=True, timeout=TIMEOUT)
    assert compared.returncode == 0, compared
    other = make_agent("other", repositories=["there"])
    with other.connect() as importer:
        ended = importer.run("image.import", {"repository": "there", "image": "web1", "url": url,
                                              "sourceFormat": "raw"})
        assert ended["status"] == "done", ended
    assert same(source, data_path(other.folder / "there", "web1"))


@pytest.mark.parametrize("image_format", FORMATS)
def test_eight_connections_upload_and_download_one_image(agent, client, source, image_format):
    data, piece = source.read_bytes(), SIZE // 64
    make_image(client, format=image_format)
    ticket = get_ticket(client, "write")

    def work(number):
        with Http(ticket) as web:
            for offset in range(number * piece, SIZE, 8 * piece):
                assert web.put(offset, data[offset:offset + piece])[0] == 200
            assert web.patch(op="flush")[0] == 200
            return b"".join(web.get(offset, offset + piece - 1)
                            for offset in range(number * piece, SIZE, 8 * piece))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(work, range(8)))
    for number, part in enumerate(parts):
        assert part == b"".join(data[o:o + piece] for o in range(number * piece, SIZE, 8 * piece))
    close(client, ticket)
    assert same(source, data_path(agent.folder / "fast", "web1"), "raw", image_format)


@pytest.mark.parametrize("image_format", FORMATS)
def test_zero_makes_zeros_and_extents_tell_of_them(agent, client, source, image_format):
    upload(client, source, format=image_format)
    ticket = get_ticket(client, "read", "write")
    with Http(ticket) as web:
        for flush in (False, True):
            assert web.patch(op="zero", offset=1 << 20, size=2 << 20, flush=flush)[0] == 200
        assert web.get(1 << 20, (3 << 20) - 1) == bytes(2 << 20)
        assert web.get((3 << 20), (3 << 20) + 99) == source.read_bytes()[3 << 20:(3 << 20) + 100]
        extents = web.extents()
        assert [set(extent) for extent in extents] == [{"start", "length", "zero", "hole"}] * len(extents)
        position = 0
        for extent in extents:
            assert extent["start"] == position and extent["length"] > 0 and extent["hole"] is False
            position += extent["length"]
        assert position == SIZE
        inside = [e["zero"] for e in extents if e["start"] < 3 << 20 and e["start"] + e["length"] > 1 << 20]
        assert True in inside
        assert web.patch(op="zero", size=SIZE)[0] == 200
        assert web.extents() == [{"start": 0, "length": SIZE, "zero": True, "hole": False}]
        assert web.patch(op="zero", size=0)[0] == 200
    close(client, ticket)


def test_extents_of_a_fragmented_image_come_in_pieces(agent, client):
    """More than one chunk of JSON: of unknown length, then."""
    size = 64 << 20
    make_image(client, size=size)
    with open(data_path(agent.folder / "fast", "web1"), "r+b") as file:
        for offset in range(0, size, 8192):
            file.seek(offset)
            file.write(b"x" * 4096)
    ticket = get_ticket(client, "read")
    with Http(ticket) as web:
        code, headers, body = web.ask("GET", "/extents")
        assert code == 200 and headers["transfer-encoding"] == "chunked" and len(body) > 1 << 19
        extents = json.loads(body)
        assert len(extents) == 2 * size // 8192
        assert extents[1] == {"start": 4096, "length": 4096, "zero": True, "hole": False}
        assert sum(extent["length"] for extent in extents) == size
        assert web.ask("GET", "/extents?context=zero")[2] == body
        assert web.ask("GET", "/extents?context=dirty")[0] == 404
        assert web.ask("GET", "/extents?context=other")[0] == 400
        assert web.ask("PUT", "/extents", b"")[0] == 403
    with Http(ticket) as web:
        web.connection._http_vsn, web.connection._http_vsn_str = 10, "HTTP/1.0"
        code, headers, old = web.ask("GET", "/extents")
        assert code == 200 and "transfer-encoding" not in headers and old == body
    close(client, ticket)


# ---- the interface ----

def test_options_tell_what_the_ticket_may(agent, client):
    make_image(client)
    for ops, allow, features in [(["read"], {"OPTIONS", "GET", "HEAD"}, ["extents"]),
                                 (["write"], {"OPTIONS", "GET", "HEAD", "PUT", "PATCH"},
                                  ["extents", "zero", "flush"])]:
        ticket = get_ticket(client, *ops)
        with Http(ticket) as web:
            code, headers, body = web.ask("OPTIONS")
            assert code == 200 and set(headers["allow"].split(",")) == allow
            assert json.loads(body) == {"features": features, "unix_socket": str(agent.socket), "max_readers": 8,
                                        "max_writers": 8, "transfer_format": "raw", "virtual_size": SIZE}
            web.path = "/images/*"
            code, headers, body = web.ask("OPTIONS")
            assert code == 200 and json.loads(body)["features"] == ["extents", "zero", "flush"]
        close(client, ticket)


def test_head_tells_the_size_and_sends_nothing(agent, client, source):
    upload(client, source)
    with Http(get_ticket(client, "read")) as web:
        for _ in range(2):
            code, headers, body = web.ask("HEAD")
            assert (code, headers["content-length"], body) == (200, str(SIZE), b"")
            assert headers["accept-ranges"] == "bytes"
        assert web.get(0, 9) == source.read_bytes()[:10]


def test_ranges_are_served_or_refused(agent, client, source):
    upload(client, source)
    data = source.read_bytes()
    with Http(get_ticket(client, "read")) as web:
        assert web.ask("GET", range=f"bytes={SIZE - 10}-")[2] == data[-10:]
        assert web.ask("GET", range="bytes=-100")[2] == data[-100:]
        assert web.ask("GET", range=f"bytes={SIZE - 10}-{SIZE + 10}")[2] == data[-10:]  # RFC 9110, 14.1.2
        code, headers, body = web.ask("GET", range=f"bytes={SIZE}-{SIZE + 10}")
        assert code == 416 and headers["content-range"] == f"bytes */{SIZE}"
        assert json.loads(body)["status"] == 416
        assert web.ask("GET", range="bytes=-0")[0] == 416
    for bad, code in [("bytes=9-5", 400), ("bytes=a-", 400), ("lines=1-2", 400), ("bytes=0-1,5-6", 416)]:
        with Http(get_ticket(client, "read")) as web:
            assert web.ask("GET", range=bad)[0] == code, bad


def test_what_cannot_be_written_is_refused_and_changes_nothing(agent, client):
    before = make_image(client)
    ticket = get_ticket(client, "write")
    refused = [
        (dict(content_range=f"bytes {SIZE - 2}-{SIZE + 1}/*"), b"1234", 416),
        (dict(content_range=f"bytes {SIZE}-{SIZE + 3}/*"), b"1234", 416),
        (dict(content_range="bytes 0-9/*"), b"1234", 400),
        (dict(content_range="bytes */*"), b"1234", 400),
        (dict(transfer_encoding="chunked"), None, 411),
    ]
    for headers, body, code in refused:
        with Http(ticket) as web:
            got, _, text = web.ask("PUT", body=body, **headers)
            assert got == code and json.loads(text)["status"] == code, headers
    with Http(ticket) as web:
        assert web.ask("PUT", "?flush=maybe", b"1234")[0] == 400
    for body, code in [("{", 400), ("[]", 400), ("{}", 400), ('{"op":"trim"}', 400), ('{"op":"zero"}', 400),
                       ('{"op":"zero","size":-1}', 400), ('{"op":"zero","size":1,"flush":1}', 400),
                       (json.dumps({"op": "zero", "size": SIZE + 1}), 416),
                       (json.dumps({"op": "zero", "offset": 2**63 - 1, "size": 2**63 - 1}), 416),
                       (" " * 5000, 413)]:
        with Http(ticket) as web:
            assert web.ask("PATCH", body=body)[0] == code, body
    for method in ("POST", "DELETE"):
        with Http(ticket) as web:
            code, headers, _ = web.ask(method, body=b"x")
            assert code == 405 and "PUT" in headers["allow"]
    with Http(ticket) as web:
        assert web.ask("PUT", body=b"")[0] == 200  # nothing: that can be done
    close(client, ticket)
    assert status(client) == before


def test_a_file_that_is_too_large_is_refused_before_it_is_sent(agent, client, tmp_path):
    """curl asks first, and gets the reason in place of a closed socket; also when it does not ask."""
    before = make_image(client)
    large = random_raw(tmp_path / "large.raw", 4 * SIZE)
    ticket = get_ticket(client, "write")
    for header in ("Expect: 100-continue", "Expect:"):
        reply = curl("-i", "-H", header, "-T", large, ticket["urls"][0]).decode()
        assert reply.startswith("HTTP/1.1 416") and f"content-range: bytes */{SIZE}" in reply
    close(client, ticket)
    assert status(client) == before


def test_a_client_that_has_said_all_it_will_gets_its_answer(agent, client, source):
    """It shuts its side of the socket behind its request."""
    upload(client, source)
    ticket = get_ticket(client, "read")
    with Raw(address_of(agent.url())) as raw:
        raw.socket.sendall(f"GET {ticket['path']} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        raw.socket.shutdown(socket.SHUT_WR)
        assert raw.head()[0] == 200 and raw.read(SIZE) == source.read_bytes()
        assert raw.rest() == b""
    close(client, ticket)


def test_a_ticket_for_reading_writes_nothing(agent, client):
    before = make_image(client)
    ticket = get_ticket(client, "read")
    for method, body in [("PUT", b"1234"), ("PATCH", b'{"op":"zero","size":4}')]:
        with Http(ticket) as web:
            assert web.ask(method, body=body)[0] == 403
    close(client, ticket)
    assert status(client) == before


def test_requests_in_a_row_on_one_socket_are_answered_in_order(agent, client, source):
    """Pipelined: all are sent before the first answer is read."""
    upload(client, source)
    data = source.read_bytes()
    ticket = get_ticket(client, "write")
    ranges = [(0, 9), (1 << 20, (3 << 20) - 1), (5, 5), (SIZE - 100, SIZE - 1)]
    head = f"{ticket['path']} HTTP/1.1\r\nHost: x\r\n"
    with Raw(address_of(agent.url())) as raw:
        for first, last in ranges:
            raw.socket.sendall(f"GET {head}Range: bytes={first}-{last}\r\n\r\n".encode())
        raw.socket.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        for first, last in ranges:
            code, text = raw.head()
            assert code == 206 and f"content-length: {last - first + 1}\r\n" in text
            assert raw.read(last - first + 1) == data[first:last + 1]
        assert raw.head()[0] == 200 and raw.read(3) == b"ok\n"
    close(client, ticket)


@pytest.mark.parametrize("before", ["/healthz", "ticket"])
def test_a_body_that_comes_before_its_turn_is_refused_and_not_misread(agent, client, source, before):
    """libwebsockets 4.1 would take the head of a request that it had to keep for its body."""
    upload(client, source)
    ticket = get_ticket(client, "write")
    first = ticket["path"] if before == "ticket" else before
    with Raw(address_of(agent.url())) as raw:
        raw.socket.sendall(f"HEAD {first} HTTP/1.1\r\nHost: x\r\n\r\nPUT {ticket['path']} HTTP/1.1\r\nHost: x\r\n"
                           f"Content-Length: 100\r\n\r\n{'z' * 100}".encode())
        assert raw.head()[0] == 200
        code, text = raw.head()
        assert code == 503 and "connection: close" in text
    with Http(ticket) as web:
        assert web.get(0, 99) == source.read_bytes()[:100]
        assert web.put(0, b"z" * 100)[0] == 200  # a body behind its answer is what it says
        assert web.put(100, b"y" * 100)[0] == 200
        assert web.get(0, 199) == b"z" * 100 + b"y" * 100
    close(client, ticket)


def cpu_seconds(agent):
    fields = pathlib.Path(f"/proc/{agent.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(agent):
    text = pathlib.Path(f"/proc/{agent.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) << 10


def test_clients_that_do_not_read_hold_neither_worker_nor_memory_nor_processor(agent, client):
    size = 256 << 20
    make_image(client, size=size)
    with open(data_path(agent.folder / "fast", "web1"), "r+b") as file:
        for offset in range(0, size, 1 << 20):
            file.write(bytes([offset >> 20]) * (1 << 20))
    ticket = get_ticket(client, "read")
    before = resident(agent)
    ask = f"GET {ticket['path']} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    stalled = [Raw(address_of(agent.url())) for _ in range(8)]
    try:
        for raw in stalled:
            raw.socket.sendall(ask + ask)  # and one more behind it, which waits
            assert raw.head()[0] == 200
        # Another client gets all of it meanwhile.
        assert len(curl(ticket["urls"][0])) == size
        assert client.call("host.ping") == {}
        spent, begun = cpu_seconds(agent), time.monotonic()
        while time.monotonic() < begun + 1:  # measures, and waits for nothing
            client.call("host.ping")
            time.sleep(0.05)
        assert cpu_seconds(agent) - spent < 0.5, "it turns while nobody reads"
        if "asan" not in os.environ.get("HOSTLER_BUILD", ""):
            assert resident(agent) - before < 64 << 20
        assert stalled[0].read(3 << 20) == b"".join(bytes([i]) * (1 << 20) for i in range(3))
    finally:
        for raw in stalled:
            raw.socket.close()
    wait_for(lambda: client.call("image.tickets")["tickets"][0]["exchanges"] == 0, "the clients are gone")
    close(client, ticket)


def test_pages_of_named_origins_may_use_a_ticket_and_no_others(make_agent):
    agent = make_agent(repositories=["fast"], arguments=[*LISTEN, "--origin", "https://page.example"])
    with agent.connect() as client:
        make_image(client)
        ticket = get_ticket(client, "write")
        with Http(ticket) as web:
            code, headers, _ = web.ask("OPTIONS", origin="https://page.example",
                                       access_control_request_method="PUT",
                                       access_control_request_headers="content-range")
            assert code == 200 and headers["access-control-allow-origin"] == "https://page.example"
            assert "PUT" in headers["access-control-allow-methods"]
            assert "content-range" in headers["access-control-allow-headers"]
            code, headers, _ = web.ask("PUT", body=b"1234", origin="https://page.example")
            assert code == 200 and headers["access-control-allow-origin"] == "https://page.example"
            host = urllib.parse.urlsplit(ticket["urls"][0]).netloc
            assert web.ask("GET", range="bytes=0-3", origin=f"http://{host}")[2] == b"1234"
        with Http(ticket) as web:
            code, headers, _ = web.ask("PUT", body=b"5678", origin="https://elsewhere.example")
            assert code == 403 and "access-control-allow-origin" not in headers
        with Http(ticket) as web:
            assert web.get(0, 3) == b"1234"


def test_the_unix_socket_serves_tickets_too(agent, client, source):
    upload(client, source)
    ticket = get_ticket(client, "read")
    assert curl("--unix-socket", agent.socket, f"http://x{ticket['path']}") == source.read_bytes()


# ---- tickets ----

def test_a_ticket_is_told_once_and_never_shown(agent, client):
    make_image(client)
    ticket = client.call("image.ticket", {"repository": "fast", "image": "web1", "ops": ["read"]}, id="t1")
    secret = ticket["ticket"][len(ticket["id"]):]
    assert len(secret) == 32 and ticket["ticket"].startswith(ticket["id"])
    listed = client.call("image.tickets")
    assert [one["id"] for one in listed["tickets"]] == [ticket["id"]]
    curl(ticket["urls"][0], "-o", "/dev/null")
    shown = client.call("task.wait", {"task": "t1"})
    assert shown["result"]["id"] == ticket["id"] and "ticket" not in shown["result"]
    history = client.call("event.history", {"topics": ["*"]})
    seen = json.dumps([listed, shown, history, client.call("task.list")])
    client.call("image.closeTicket", {"ticket": ticket["ticket"]})
    seen += json.dumps([client.call("task.list"), client.call("event.history", {"topics": ["*"]})])
    assert secret not in seen and secret not in agent.log_text()


def test_a_ticket_is_closed_by_its_text_or_its_id_and_then_gone(agent, client):
    make_image(client)
    for name in ("ticket", "id"):
        ticket = get_ticket(client, "read")
        with Http(ticket) as web:
            assert web.get(0, 3) == bytes(4)
            client.call("image.closeTicket", {"ticket": ticket[name]})
            code, _, body = web.ask("GET")
            assert code == 404 and "no such ticket" in json.loads(body)["message"]
        error = client.error("image.closeTicket", {"ticket": ticket[name]})
        assert error.name == "NotFound" and error.data["kind"] == "ticket" and error.data["id"] == ticket["id"]
    assert client.call("image.tickets") == {"tickets": []}
    # Its id alone gives leave to nothing, nor does anything near it.
    ticket = get_ticket(client, "read")
    for wrong in (ticket["id"], ticket["ticket"][:-1] + "x", ticket["ticket"].upper() + "0", "", "..", "*"):
        with Http(ticket) as web:
            web.path = f"/images/{wrong}"
            assert web.ask("GET")[0] == 404, wrong


def test_a_ticket_that_nobody_uses_fades_and_leaves_an_upload_torn(agent, client):
    make_image(client)
    ticket = get_ticket(client, "write", timeout=5)
    assert ticket["timeout"] == 5
    with Http(ticket) as web:
        assert web.put(0, b"x" * 1000)[0] == 200
        wait_for(lambda: not client.call("image.tickets")["tickets"], "the ticket fades")
        assert web.ask("GET")[0] == 404
    assert status(client)["state"] == "broken"
    closing = [task for task in client.call("task.list", {"method": "image.closeTicket"})["tasks"]]
    assert [task["caller"] for task in closing] == ["agent"]
    close(client, get_ticket(client, "write"))
    assert status(client)["state"] == "optimized"


def test_each_use_puts_off_the_end_of_a_ticket(agent, client):
    make_image(client)
    ticket = get_ticket(client, "read")
    with Http(ticket) as web:
        def lives_longer():
            assert web.get(0, 9) == bytes(10)
            return client.call("image.tickets")["tickets"][0]["expires"] > ticket["expires"]
        wait_for(lives_longer, "its end moves on")


@pytest.mark.parametrize("params, reason", [
    ({"ops": []}, "ops"), ({"ops": ["erase"]}, "ops"), ({"ops": "read"}, "ops"),
    ({"ops": ["read"], "timeout": 0}, "timeout"), ({"ops": ["read"], "timeout": 86401}, "timeout")])
def test_wrong_parameters_are_named(agent, client, params, reason):
    make_image(client)
    error = client.error("image.ticket", {"repository": "fast", "image": "web1", **params})
    assert error.name == "InvalidParams" and error.data["param"] == reason


def test_viewers_get_no_tickets(agent, make_agent, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("viewer viewers-token-0123456789\n")
    tokens.chmod(0o600)
    agent = make_agent("other", repositories=["fast"], arguments=[*LISTEN, "--token-file", str(tokens)])
    with agent.connect() as admin:
        make_image(admin)
        ticket = get_ticket(admin, "read")
    headers = {"Authorization": "Bearer viewers-token-0123456789"}
    with agent.connect(url=agent.url(), headers=headers) as viewer:
        assert viewer.error("image.ticket", {"repository": "fast", "image": "web1", "ops": ["read"]}).name == "Forbidden"
        assert viewer.error("image.closeTicket", {"ticket": ticket["id"]}).name == "Forbidden"
        assert [one["id"] for one in viewer.call("image.tickets")["tickets"]] == [ticket["id"]]


def test_a_ticket_holds_the_image_as_its_use_needs(agent, client, source):
    upload(client, source)
    readers = [get_ticket(client, "read") for _ in range(2)]
    remove = {"repository": "fast", "image": "web1"}
    assert client.error("image.ticket", {**remove, "ops": ["write"]}).name == "ImageInUse"
    assert client.error("image.remove", remove).name == "ImageInUse"
    assert client.error("repository.disconnect", {"repository": "fast"}).name == "WrongState"
    for ticket in readers:
        close(client, ticket)
    writer = get_ticket(client, "write")
    assert client.error("image.ticket", {**remove, "ops": ["read"]}).name == "ImageInUse"
    close(client, writer)
    client.call("image.remove", remove)


def test_no_ticket_for_what_cannot_be_used(agent, client, source):
    upload(client, source)
    ask = {"repository": "fast", "image": "web1", "ops": ["write"]}
    assert client.error("image.ticket", {**ask, "image": "nobody"}).name == "ImageNotFound"
    assert client.error("image.ticket", {**ask, "repository": "nowhere"}).name == "RepositoryNotFound"
    assert client.error("image.ticket", {**ask, "ifGeneration": 1}).name == "Conflict"
    client.call("image.update", {"repository": "fast", "image": "web1", "immutable": True})
    assert client.error("image.ticket", ask).name == "ImageImmutable"
    close(client, get_ticket(client, "read"))
    os.truncate(data_path(agent.folder / "fast", "web1"), 100)
    assert client.error("image.ticket", {**ask, "ops": ["read"]}).name == "ImageBroken"


# ---- torn uploads ----

def begin_put(ticket, address, size, sent):
    """A PUT of 'size' bytes of which only 'sent' come; the open socket."""
    raw = Raw(address)
    raw.socket.sendall(f"PUT {ticket['path']} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode())
    raw.socket.sendall(b"z" * sent)
    return raw


@pytest.mark.parametrize("image_format", FORMATS)
def test_an_upload_whose_agent_is_killed_is_broken_and_goes_on(make_agent, agent, source, image_format):
    with agent.connect() as client:
        make_image(client, format=image_format)
        ticket = get_ticket(client, "write")
        raw = begin_put(ticket, address_of(agent.url()), SIZE, 3 << 20)
        wait_for(lambda: status(client)["state"] == "broken", "the first chunk is written")
        agent.kill()
        raw.socket.close()
    agent.start()
    with agent.connect() as client:
        torn = status(client)
        assert torn["state"] == "broken" and "an upload into it has not finished" in torn["reason"]
        assert torn["generation"] == 1 and torn["copy"] is None
        ask = {"repository": "fast", "image": "web1"}
        assert client.error("image.resume", ask).name == "NothingToResume"
        assert client.error("image.ticket", {**ask, "ops": ["read"]}).name == "ImageBroken"
        assert client.error("image.copy", {**ask, "targetRepository": "fast", "targetImage": "x"}).name == "ImageBroken"
        found = client.run("repository.check", {"repository": "fast"})["result"]["problems"]
        assert [(one["problem"], one["fix"]["action"]) for one in found] == [("incomplete upload", "remove")]
        ticket = get_ticket(client, "read", "write")
        curl("-T", source, ticket["urls"][0])
        close(client, ticket)
        assert status(client)["state"] == "optimized" and status(client)["generation"] == 2
    assert same(source, data_path(agent.folder / "fast", "web1"), "raw", image_format)


def test_an_upload_whose_client_is_killed_is_broken_and_can_be_removed(agent, client, source):
    make_image(client)
    ticket = get_ticket(client, "write")
    with open(source, "rb") as file:
        process = subprocess.Popen(["curl", "-sS", "--limit-rate", "2M", "-T", "-", "-H", "Transfer-Encoding:",
                                    "-H", f"Content-Length: {SIZE}", ticket["urls"][0]], stdin=file)
        wait_for(lambda: client.call("image.tickets")["tickets"][0]["written"] > 0, "something is written")
        process.send_signal(signal.SIGKILL)
        process.wait()
    wait_for(lambda: client.call("image.tickets")["tickets"][0]["exchanges"] == 0, "its end is seen")
    client.call("image.closeTicket", {"ticket": ticket["id"], "complete": False})
    assert "has not finished" in status(client)["reason"]
    client.call("image.remove", {"repository": "fast", "image": "web1"})
    assert not os.path.exists(agent.folder / "fast" / "images" / "web1")


def test_a_torn_upload_is_mended_by_removal_if_the_operator_says_so(agent, client):
    make_image(client)
    ticket = get_ticket(client, "write")
    with Http(ticket) as web:
        assert web.put(0, b"x")[0] == 200
    close(client, ticket, complete=False)
    problem, = client.run("repository.check", {"repository": "fast"})["result"]["problems"]
    client.run("repository.fix", {"repository": "fast", "fix": problem["fix"]})
    assert client.error("image.status", {"repository": "fast", "image": "web1"}).name == "ImageNotFound"


def test_an_upload_under_way_is_not_declared_complete(agent, client):
    make_image(client)
    ticket = get_ticket(client, "write")
    raw = begin_put(ticket, address_of(agent.url()), SIZE, 1000)
    wait_for(lambda: client.call("image.tickets")["tickets"][0]["exchanges"] == 1, "it has begun")
    error = client.error("image.closeTicket", {"ticket": ticket["ticket"]})
    assert error.name == "WrongState" and error.data["state"] == "uploading"
    client.call("image.closeTicket", {"ticket": ticket["ticket"], "complete": False})
    assert raw.head()[0] in (404, 0)
    raw.socket.close()
    assert client.call("image.tickets") == {"tickets": []}
    assert status(client)["state"] == "optimized"  # nothing had been written


def test_changes_of_the_image_are_told(agent, client):
    make_image(client)
    client.call("event.subscribe", {"topics": ["image.changed"]})
    ticket = get_ticket(client, "write")
    with Http(ticket) as web:
        assert web.put(0, b"x")[0] == 200
    close(client, ticket)
    states = []
    while len(states) < 2:
        event = client.events.get(timeout=TIMEOUT)["params"]
        if event["topic"] == "image.changed":
            states.append((event["data"]["state"], event["data"]["generation"]))
    assert states == [("broken", 1), ("optimized", 2)]


@pytest.mark.parametrize("image_format", FORMATS)
def test_a_full_file_system_answers_507_and_the_image_says_so(make_agent, full_disk, source, image_format):
    agent = make_agent(arguments=LISTEN)
    with agent.connect() as client:
        client.call("repository.connect", {"repository": "fast", "kind": "dir", "path": str(full_disk / "fast"),
                                           "create": True})
        make_image(client, format=image_format)
        ticket = get_ticket(client, "write")
        with Http(ticket) as web:
            data = os.urandom(SIZE)
            code, _, body = web.put(0, data, flush="y")
            assert code == 507 and json.loads(body)["name"] == "NoSpace"
        assert status(client)["state"] == "broken"
        close(client, ticket, complete=False)
        assert "has not finished" in status(client)["reason"]


@pytest.fixture
def full_disk(tmp_path):
    """A file system of 6 MiB, less than an image."""
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "none", path], check=True)
    yield path
    subprocess.run(["umount", "-l", path], check=True)


# ---- TLS ----

def test_tickets_over_tls(make_agent, tmp_path, source):
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    for name in ("ca", "client"):
        subprocess.run(["openssl", "req", "-x509", *new, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj",
                        f"/OU=admin/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"], check=True,
                       capture_output=True, cwd=tmp_path)
    agent = make_agent(repositories=["fast"], arguments=[
        "--tls-listen", "127.0.0.1:0", "--tls-cert", str(tmp_path / "ca.pem"),
        "--tls-key", str(tmp_path / "ca.key"), "--tls-ca", str(tmp_path / "ca.pem")])
    tls = ["--cacert", tmp_path / "ca.pem", "--cert", tmp_path / "ca.pem", "--key", tmp_path / "ca.key"]
    with agent.connect() as client:
        make_image(client)
        ticket = get_ticket(client, "write")
        assert ticket["urls"][0].startswith("https://127.0.0.1:")
        curl(*tls, "-T", source, ticket["urls"][0])
        assert curl(*tls, ticket["urls"][0]) == source.read_bytes()
        # One that reads slowly: what TLS did not take is offered again.
        context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
        context.load_cert_chain(tmp_path / "ca.pem", tmp_path / "ca.key")
        context.check_hostname = False
        with Raw(address_of(agent.url("wss")), tls=context) as raw:
            raw.socket.sendall(f"GET {ticket['path']} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert raw.head()[0] == 200
            curl(*tls, "-r", "0-9", ticket["urls"][0])
            assert raw.read(SIZE) == source.read_bytes()
        with Http(ticket) as web:
            url = urllib.parse.urlsplit(ticket["urls"][0])
            web.connection = http.client.HTTPSConnection(url.hostname, url.port, timeout=TIMEOUT, context=context)
            data = source.read_bytes()
            for offset in range(0, SIZE, SIZE // 4):
                assert web.put(offset, data[offset:offset + SIZE // 4])[0] == 200
            assert web.patch(op="flush")[0] == 200 and web.get(0, SIZE - 1) == data
        done = subprocess.run(["curl", "-sS", "--cacert", tmp_path / "ca.pem", ticket["urls"][0]],
                              capture_output=True, timeout=TIMEOUT)
        assert done.returncode != 0, "a client without a certificate came in"
        close(client, ticket)
    assert same(source, data_path(agent.folder / "fast", "web1"))
