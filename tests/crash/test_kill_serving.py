# SPDX-License-Identifier: Apache-2.0
"""SIGKILL at each act of image.serve and image.unserve that others can see (strace --inject).

Whatever was killed, the agent or a program of its: the next agent knows what is served and what is not,
its generation rises by exactly one for each that was ended, and nothing is left when all is ended.
"""
import os
import select
import shutil

import pytest

from rig.client import TIMEOUT, RpcError
from rig.reader import state

CALLS = ["fsync", "renameat", "renameat2", "unlinkat", "mkdir", "bind", "listen", "chmod", "pidfd_open",
         "pidfd_getfd", "pidfd_send_signal", "fork,clone,clone3", "setsid", "execve"]
IMAGE = {"repository": "fast", "image": "web1"}


@pytest.fixture
def seed(tmp_path, make_agent):
    agent = make_agent("seed", repositories=["fast"])
    agent.call("image.create", {**IMAGE, "size": 1 << 20})
    agent.kill()
    return agent.folder


def serve_and_end(agent):
    """True: both were done; False: something was killed on the way."""
    try:
        agent.start()
    except AssertionError:
        return False
    try:
        (pid,) = agent.wrapped()
        pidfd = os.pidfd_open(pid)
    except (ValueError, ProcessLookupError):  # it was killed when it was just ready
        return False
    try:
        with agent.connect() as client:
            client.call("image.serve", {**IMAGE, "writable": True})
            client.call("image.unserve", IMAGE)
        return True
    except (ConnectionError, OSError):
        pass
    except RpcError as error:  # a qemu-nbd was killed, and not the agent: it has told so
        assert error.name in ("BackendFailed", "WrongState"), error
        return False
    except Exception as error:  # websockets' own names for a closed connection
        if not any(words in str(error).lower() for words in ("closed", "close frame", "valid http response")):
            raise
    finally:
        closed = select.select([pidfd], [], [], 0)[0]
        os.close(pidfd)
    assert closed or not agent.alive() or wait_for(pid), "the agent lives, and does not answer"
    return False


def wait_for(pid):
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], TIMEOUT)[0])
    finally:
        os.close(pidfd)


def check_truth(agent):
    with agent.connect() as client:
        status = client.call("image.status", IMAGE)
        truth = state(agent.folder / "fast", "web1")
        generation = status["generation"]
        assert generation == truth["generation"] and generation in (1, 2)
        served = status["reason"] is not None
        if served:
            assert truth["active"] and status["reason"].startswith("served for writing at ")
            assert generation == 1 and len(agent.servers()) == 1
            assert client.error("image.update", {**IMAGE, "userData": {}}).name == "ImageInUse"
        before = agent.servers()
        uri = client.call("image.serve", {**IMAGE, "writable": True})["uri"]
        assert not served or (uri in status["reason"] and agent.servers() == before)
        assert client.call("image.unserve", IMAGE)["generation"] == generation + 1
        assert client.call("image.status", IMAGE)["reason"] is None
        client.call("image.update", {**IMAGE, "userData": {"free": True}})
        assert os.listdir(agent.run_dir / "serve") == [] and agent.servers() == []


@pytest.mark.parametrize("call", CALLS)
def test_killed_at_each_act_of_serving_the_truth_is_told(seed, tmp_path, make_agent, call):
    kills = 0
    for n in range(1, 40):
        folder = f"{call}-{n}"
        shutil.copytree(seed / "fast", tmp_path / folder / "fast")
        agent = make_agent(folder, repositories=["fast"], arguments=["--workers", "1"], start=False,
                           wrapper=["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
                                    "-e", f"inject={call}:signal=SIGKILL:when={n}"])
        finished = serve_and_end(agent)
        agent.kill()
        agent.wrapper = []
        agent.start()
        check_truth(agent)
        agent.remove()
        if finished:
            break
        kills += 1
    else:
        raise AssertionError(f"{call} is made too often to try all")
    print(f"{call}: {kills} kills")
    assert kills > 0 or call in ("chmod", "pidfd_getfd", "renameat2"), f"{call} was never made"
