# SPDX-License-Identifier: Apache-2.0
"""A JSON-RPC client for tests, over python3-websockets, with a plain synchronous face.

Every request and reply of a run is recorded (HOSTLER_RECORD names a folder): rig/check-recorded.py
then proves that each reply matched its verb's schema and that each verb and error was seen.
"""
import asyncio
import itertools
import json
import os
import queue
import threading
import time
import uuid

import websockets

TIMEOUT = 180.0  # seconds; only ever reached by a failure, however busy the machine


class RpcError(Exception):
    """The agent answered an error."""

    def __init__(self, error):
        self.code = error["code"]
        self.data = error.get("data") or {}
        self.name = self.data.get("name")
        self.message = error["message"]
        super().__init__(f"{self.name} ({self.code}): {self.message} {self.data}")


class _Loop:
    """One asyncio loop in a thread of its own, for all clients of the process."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def run(self, coroutine, timeout=TIMEOUT):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)


_loop = None


def background():
    global _loop
    if _loop is None:
        _loop = _Loop()
    return _loop


_record_lock = threading.Lock()


def record(kind, message):
    folder = os.environ.get("HOSTLER_RECORD")
    if not folder:
        return
    line = json.dumps({"kind": kind, "message": message})
    with _record_lock, open(os.path.join(folder, f"{os.getpid()}.jsonl"), "a") as file:
        file.write(line + "\n")


class Client:
    """One WebSocket connection.  Use call() for one call, request()/wait() for several at once."""

    _numbers = itertools.count(1)

    def __init__(self, *, socket=None, url=None, headers=None, subprotocols=None, origin=None,
                 ssl=None, max_size=2**24, read=True):
        self.replies = {}
        self.events = queue.Queue()
        self.raw = queue.Queue()  # messages that are neither: batches, errors without id
        self.closed = threading.Event()
        self.close_code = None
        options = dict(max_size=max_size, extra_headers=headers, subprotocols=subprotocols,
                       origin=origin, ping_interval=None, compression=None, open_timeout=TIMEOUT)
        if ssl is not None:
            options["ssl"] = ssl

        async def open_():
            if socket is not None:
                return await websockets.unix_connect(str(socket), "ws://localhost/rpc", **options)
            return await websockets.connect(url, **options)

        self.connection = background().run(open_())
        if read:
            asyncio.run_coroutine_threadsafe(self._read(), background().loop)

    async def _read(self):
        try:
            async for text in self.connection:
                self._take(text)
        except websockets.ConnectionClosed:
            pass
        finally:
            self.close_code = self.connection.close_code
            self.closed.set()
            self.events.put(None)
            self.raw.put(None)
            for waiting in list(self.replies.values()):
                waiting.put(None)

    def _take(self, text):
        message = json.loads(text)
        if isinstance(message, dict) and "method" in message:
            record("event", message)
            self.events.put(message)
            return
        for reply in message if isinstance(message, list) else [message]:
            record("reply", reply)
        if isinstance(message, dict):
            waiting = self.replies.get(json.dumps(message.get("id")))
            if waiting is not None and message.get("id") is not None:
                waiting.put(message)
                return
        self.raw.put(message)

    def send(self, text):
        """Sends one frame as it stands: text, or bytes for a binary frame."""
        try:
            message = json.loads(text)
            for one in message if isinstance(message, list) else [message]:
                record("request", one)
        except (ValueError, RecursionError):
            pass
        background().run(self.connection.send(text))

    def request(self, method, params=None, *, id=None, **more):
        """Sends a call and returns its id; wait() gets the answer."""
        if id is None:
            id = str(uuid.uuid4())
        message = {"jsonrpc": "2.0", "id": id, "method": method, **more}
        if params is not None:
            message["params"] = params
        self.replies[json.dumps(id)] = queue.Queue()
        self.send(json.dumps(message))
        return id

    def wait(self, id, timeout=TIMEOUT):
        """The whole reply to 'id'."""
        try:
            reply = self.replies[json.dumps(id)].get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"no answer to {id!r} within {timeout} s") from None
        if reply is None:
            raise ConnectionError(f"the connection closed ({self.close_code}) before {id!r} was answered")
        del self.replies[json.dumps(id)]
        return reply

    def call(self, method, params=None, *, id=None, timeout=TIMEOUT):
        """The result, or RpcError."""
        reply = self.wait(self.request(method, params, id=id), timeout)
        if "error" in reply:
            raise RpcError(reply["error"])
        return reply["result"]

    def error(self, method, params=None, *, id=None):
        """The RpcError that the call must be answered with."""
        try:
            result = self.call(method, params, id=id)
        except RpcError as error:
            return error
        raise AssertionError(f"{method} {params} succeeded: {result}")

    def exchange(self, text, timeout=TIMEOUT):
        """Sends a frame as it stands and returns the next message that answers no request()."""
        self.send(text)
        return self.raw.get(timeout=timeout)

    def event(self, match=lambda event: True, timeout=TIMEOUT):
        """The next notification for which match(message) holds; those before it are dropped."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                message = self.events.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no such event within {timeout} s") from None
            if message is None:
                raise ConnectionError(f"the connection closed ({self.close_code})")
            if match(message):
                return message

    def run(self, method, params=None, *, id=None, timeout=TIMEOUT):
        """Calls, waits until the task has ended, and returns its status."""
        id = id or str(uuid.uuid4())
        reply = self.wait(self.request(method, params, id=id), timeout)
        if "error" in reply:
            raise RpcError(reply["error"])
        return self.call("task.wait", {"task": id, "timeoutMs": int(timeout * 1000)}, timeout=timeout + 5)

    def hurry(self, task):
        """Lifts the task's throttle.  One that is bound to fail may have done so before."""
        try:
            self.call("task.throttle", {"task": task, "bytesPerSecond": 0})
        except RpcError as error:
            if error.name != "TaskNotActive":
                raise

    def close(self):
        if not self.closed.is_set():
            background().run(self.connection.close())
            self.closed.wait(TIMEOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
