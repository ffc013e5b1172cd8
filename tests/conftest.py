# SPDX-License-Identifier: Apache-2.0
"""Fixtures that every outside-in test shares: real agents, each in a folder of its own."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from rig.agent import Agent  # noqa: E402

def pytest_configure(config):
    config.addinivalue_line("markers", "guest: runs in a guest of QEMU")


ALLOWED_SKIPS = pathlib.Path(__file__).with_name("skips-allowed")


@pytest.fixture
def make_agent(tmp_path):
    """make_agent(name, …): a running agent in its own folder; all die at the end of the test."""
    agents = []

    def make(folder="agent", **options):
        agent = Agent(tmp_path / folder, **options)
        agents.append(agent)
        return agent

    yield make
    crashed = []
    for agent in agents:
        if agent.process is not None and agent.process.poll() not in (None, -9):
            crashed.append(f"{agent.folder}: status {agent.process.poll()}\n{agent.log_text()[-3000:]}")
        agent.close()
    assert not crashed, "an agent died by itself:\n" + "\n".join(crashed)


@pytest.fixture
def agent(make_agent):
    """One agent with the repositories 'fast' and 'slow'."""
    return make_agent(repositories=["fast", "slow"])


@pytest.fixture
def client(agent):
    """A connection to 'agent' over its unix socket."""
    with agent.connect() as connection:
        yield connection


def pytest_runtest_logreport(report):
    """A skip that tests/skips-allowed does not list is a failure."""
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        allowed = [line.strip() for line in ALLOWED_SKIPS.read_text().splitlines()
                   if line.strip() and not line.startswith("#")]
        if not any(entry in reason for entry in allowed):
            report.outcome = "failed"
            report.longrepr = f"a skip that tests/skips-allowed does not list: {reason}"
