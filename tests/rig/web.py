# SPDX-License-Identifier: Apache-2.0
"""An HTTP server of one file, that does what it is told to: ranges or none, redirects, silence, death."""
import http.server
import os
import re
import ssl
import threading


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, with_body):
        web = self.server.web
        web.requests.append((self.command, self.path, self.headers.get("Range")))
        if web.silent.is_set():
            web.silence_ends.wait()
            self.close_connection = True
            return
        if self.path in web.redirects:
            self.head(302, {"Location": web.redirects[self.path], "Content-Length": "0"})
            return
        if self.path.split("?")[0] != "/disk":
            self.head(web.status, {"Content-Length": "0"})
            return
        self.give(web, with_body)

    def give(self, web, with_body):
        size = os.path.getsize(web.path)
        first, last = 0, size - 1
        headers = {"ETag": web.etag} if web.etag else {}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if web.ranges:
            headers["Accept-Ranges"] = "bytes"
        if wanted and web.ranges and int(wanted[1]) >= size:
            self.head(416, {**headers, "Content-Range": f"bytes */{size}", "Content-Length": "0"})
            return
        if wanted and web.ranges:
            first, last = int(wanted[1]), min(int(wanted[2] or last), last)
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        self.head(206 if "Content-Range" in headers else 200, {**headers, "Content-Length": str(last - first + 1)})
        if with_body:
            with open(web.path, "rb") as file:
                file.seek(first)
                self.wfile.write(file.read(last - first + 1))
            web.given += last - first + 1

    def head(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass  # a client that goes away


class Web:
    """Serves 'path' at url(), until stop(); start() again has the same port."""

    def __init__(self, path, *, ranges=True, etag='"first"', authority=None):
        self.path, self.ranges, self.etag, self.authority = path, ranges, etag, authority
        self.status = 404  # of all but the file
        self.redirects = {}
        self.requests = []
        self.given = 0  # bytes of the file
        self.silent, self.silence_ends = threading.Event(), threading.Event()
        self.port = 0
        self.server = None
        self.start()

    def start(self):
        self.server = _Server(("127.0.0.1", self.port), _Handler)
        self.server.web = self
        if self.authority:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.authority.path("server.pem"), self.authority.path("server.key"))
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None
        self.silence_ends.set()

    def url(self, path="/disk", host="127.0.0.1"):
        return f"{'https' if self.authority else 'http'}://{host}:{self.port}{path}"
