# SPDX-License-Identifier: Apache-2.0
"""hostler: exit codes, help, progress, output, the shell, completion; against a real agent."""
import json
import os
import re
import select
import signal
import stat
import subprocess

import pytest

from rig.agent import program
from rig.client import TIMEOUT
from rig.images import random_raw
from rig.terminal import Terminal

SIZE = 16 << 20
SLOW = str(256 << 10)  # bytes a second: nobody waits for the end of such a copy
COPY = ["image", "copy", "--repository", "slow", "--image", "web1", "--target-repository", "fast"]


@pytest.fixture
def source(agent, tmp_path):
    """A 16 MiB image 'web1' in 'slow', without holes."""
    path = random_raw(tmp_path / "web1.raw", SIZE, holes=False)
    agent.cli("image", "import", "--repository", "slow", "--image", "web1", "--path", str(path),
              "--source-format", "raw", "--wait", check=0)
    return path


def command(agent, *arguments):
    return [program("hostler"), *arguments, "--url", f"unix:{agent.socket}"]


def start(agent, *arguments, **options):
    """hostler in the background, its standard error in a pipe."""
    return subprocess.Popen(command(agent, *arguments), stdin=subprocess.DEVNULL, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def slow_copy(agent, id, target="web1", **options):
    """A throttled copy under 'id' that somebody waits for; it has begun."""
    with agent.connect() as client:
        client.call("event.subscribe", {"topics": ["task.progress"], "subject": id})
        waiting = start(agent, *COPY, "--target-image", target, "--bytes-per-second", SLOW, "--id", id,
                        "--wait", **options)
        client.event()
    return waiting


def finish(process):
    out, err = process.communicate(timeout=TIMEOUT)
    return process.returncode, out, err


# Exit codes

def test_done_is_0_and_a_verb_without_result_says_done(agent):
    assert agent.cli("host", "ping", check=0).stdout == "done\n"
    assert agent.cli("HOST", "ping", check=0).stdout == "done\n"


def test_an_error_of_the_agent_is_1_with_its_name(agent):
    done = agent.cli("image", "status", "--repository", "fast", "--image", "none", check=1)
    assert "ImageNotFound" in done.stderr and done.stdout == ""
    done = agent.cli("image", "status", "--repository", "fast", "--image", "../x", check=1)
    assert "InvalidParams: --image " in done.stderr


def test_an_error_is_json_for_scripts(agent):
    done = agent.cli("image", "status", "--repository", "none", "--image", "x", "--format", "json", check=1)
    assert json.loads(done.stderr)["error"]["data"]["name"] == "RepositoryNotFound"


@pytest.mark.parametrize("arguments, meant", [
    (["imge", "list"], "did you mean 'image'?"),
    (["image", "copi"], "did you mean 'copy'?"),
    (["image", "list", "--repositroy", "fast"], "did you mean '--repository'?"),
    (["image", "status", "web1"], "did you mean --image web1?"),
    (["image", "status", "--repository", "fast"], "needs --image"),
    (["image", "create", "--repository", "fast", "--size", "10X"], "no unit of size"),
    (["image", "create", "--repository", "fast", "--size", "-1"], "not negative"),
    (["image", "create", "--repository", "fast", "--size", "8E"], "2^63"),
    (["image", "create", "--repository", "fast", "--size", "1", "--format", "qcow3"], "did you mean 'qcow2'?"),
    (["host", "ping", "--timeout", "soon"], "seconds"),
])
def test_wrong_usage_is_2_and_says_what_was_meant(agent, arguments, meant):
    done = agent.cli(*arguments, check=2)
    assert meant in done.stderr and "--help" in done.stderr and done.stdout == ""


def test_no_command_is_2_with_help(agent):
    assert "Usage:" in subprocess.run([program("hostler")], capture_output=True, text=True).stderr
    assert subprocess.run([program("hostler")], capture_output=True).returncode == 2
    assert "Commands:" in agent.cli("image", check=2).stderr


@pytest.mark.parametrize("url, tried", [
    ("unix:/nonexistent/sock", "start hostlerd"),
    ("ws://127.0.0.1:1", "--listen"),
])
def test_no_connection_is_3_and_says_what_to_try(url, tried):
    done = subprocess.run([program("hostler"), "host", "ping", "--url", url], capture_output=True, text=True)
    assert done.returncode == 3
    assert url in done.stderr and tried in done.stderr


def test_a_dead_agent_s_socket_is_told_apart(agent):
    agent.kill()
    assert "no agent serves this socket" in agent.cli("host", "ping", check=3).stderr


def test_a_wrong_url_is_2():
    for url in ["http://x", "unix:", "ws://", "ws://h:0", "ws://h:x", "ws://[::1", "x"]:
        done = subprocess.run([program("hostler"), "host", "ping", "--url", url], capture_output=True, text=True)
        assert done.returncode == 2, (url, done.stderr)


def test_a_task_aborted_after_its_answer_is_4_with_its_report(agent, source):
    waiting = slow_copy(agent, "n1")
    agent.cli("task", "abort", "--task", "n1", check=0)
    status, out, err = finish(waiting)
    assert status == 4, err
    assert "task 'n1' aborted" in err and "OUTCOME" in err and out == ""


# Help

def test_help_exists_at_each_level_for_every_verb(agent, client):
    names = [method["name"] for method in client.call("rpc.discover")["methods"]]
    whole = agent.cli("--help", check=0).stdout
    kebab = {name: re.sub("[A-Z]", lambda m: "-" + m.group().lower(), name) for name in names}
    for resource in {name.split(".")[0] for name in names}:
        assert f"  {resource} " in whole
        text = agent.cli(resource, "--help", check=0).stdout
        for name in names:
            if name.startswith(resource + "."):
                assert f"  {kebab[name].split('.')[1]} " in text
    for method in client.call("rpc.discover")["methods"]:
        text = agent.cli(*kebab[method["name"]].split("."), "--help", check=0).stdout
        assert text == agent.cli("help", *kebab[method["name"]].split("."), check=0).stdout
        for param in method["params"]:
            flag = re.sub("[A-Z]", lambda m: "-" + m.group().lower(), param["name"])
            assert f"  --{flag}" in text, (method["name"], param["name"])


def test_version_is_the_agents_own(agent):
    assert agent.cli("--version", check=0).stdout.split()[1] == agent.call("host.info")["version"]


def test_the_manual_names_every_verb(agent, client):
    text = subprocess.run([program("hostler"), "--print-manual"], capture_output=True, text=True).stdout
    for method in client.call("rpc.discover")["methods"]:
        resource, name = method["name"].split(".")
        name = re.sub("[A-Z]", lambda m: r"\-" + m.group().lower(), name)
        assert f'.SS "hostler {resource} {name}"' in text


# Results

def test_json_is_what_the_agent_answers(agent, client, source):
    for arguments in [["image", "status", "--repository", "slow", "--image", "web1"],
                      ["image", "list", "--repository", "slow"], ["repository", "list"]]:
        printed = json.loads(agent.cli(*arguments, "--format", "json", check=0).stdout)
        params = {arguments[i][2:]: arguments[i + 1] for i in range(2, len(arguments), 2)}
        answered = client.call(".".join(arguments[:2]), params)
        assert printed.keys() == answered.keys()
        if "image" in printed:
            assert printed == answered


def test_tables_are_aligned_and_sizes_readable(agent, source):
    lines = agent.cli("image", "list", "--repository", "slow", check=0).stdout.splitlines()
    assert lines[0].split()[:2] == ["IMAGE", "STATE"]
    assert lines[1].split()[0] == "web1" and "16 MiB" in lines[1]
    assert lines[0].index("STATE") == lines[1].index("optimized")


def test_sizes_take_suffixes(agent):
    agent.cli("image", "create", "--repository", "fast", "--image", "a", "--size", "1.5MiB", check=0)
    assert agent.call("image.status", {"repository": "fast", "image": "a"})["size"] == 3 << 19


def test_output_goes_to_a_file_whole_or_not_at_all(agent, source, tmp_path):
    path = tmp_path / "result.json"
    path.write_text("old")
    done = agent.cli("image", "status", "--repository", "slow", "--image", "web1", "--format", "json",
                     "--output", str(path), check=0)
    assert done.stdout == "" and json.loads(path.read_text())["image"] == "web1"
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".tmp")] == []
    agent.cli("image", "status", "--repository", "slow", "--image", "none", "--output", str(path), check=1)
    assert json.loads(path.read_text())["image"] == "web1"
    assert "/none/x" in agent.cli("host", "ping", "--output", "/none/x", check=2).stderr


def test_control_characters_of_others_never_reach_a_terminal(agent):
    data = json.dumps({"\u009b2J": "a\u202eb\u007f"}, ensure_ascii=False)
    agent.cli("image", "create", "--repository", "fast", "--image", "a", "--size", "1M", "--user-data", data, check=0)
    for more in [[], ["--format", "json"]]:
        out = agent.cli("image", "status", "--repository", "fast", "--image", "a", *more, check=0).stdout
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", out), repr(out)
    out = agent.cli("image", "status", "--repository", "fast", "--image", "a", "--format", "json").stdout
    assert json.loads(out)["userData"] == json.loads(data)


def test_names_of_relative_paths_are_completed(agent, tmp_path):
    random_raw(tmp_path / "disk.raw", 1 << 20)
    agent.cli("image", "import", "--repository", "fast", "--image", "a", "--path", "disk.raw", "--source-format",
              "raw", "--wait", check=0, cwd=tmp_path)


# Waiting

def test_without_wait_an_early_answer_names_the_task(agent, source):
    done = agent.cli(*COPY, "--bytes-per-second", SLOW, "--id", "n1", check=0)
    assert "hostler task status --task n1" in done.stderr
    assert agent.call("task.status", {"task": "n1"})["status"] == "running"
    assert "TaskIdInUse" in agent.cli("host", "ping", "--id", "n1", check=1).stderr


def test_wait_prints_plain_lines_where_there_is_no_terminal(agent, source):
    waiting = slow_copy(agent, "n1")
    with agent.connect() as client:
        client.hurry("n1")
    status, out, err = finish(waiting)
    assert status == 0, err
    assert "%" in err and "\r" not in err and "\033" not in err
    assert "web1" in out
    assert agent.call("task.status", {"task": "n1"})["status"] == "done"


def test_wait_draws_a_bar_on_a_terminal(agent, source):
    with Terminal(command(agent, *COPY, "--bytes-per-second", SLOW, "--id", "n1", "--wait")) as terminal:
        terminal.wait_for(" left")
        assert re.search(r"\[#*\.+\].* %  .* of 16 MiB", terminal.shown)
        agent.call("task.throttle", {"task": "n1", "bytesPerSecond": 0})
        terminal.wait_for("100 %")
        assert terminal.end() == 0
        assert "\033[32m" in terminal.shown


def test_no_color_is_honoured(agent, source):
    with Terminal(command(agent, "image", "list", "--repository", "slow"), {"NO_COLOR": "1"}) as terminal:
        assert terminal.end() == 0
        assert "web1" in terminal.shown and "\033" not in terminal.shown


def test_once_finds_the_answer_of_the_first_call(agent, source):
    agent.cli(*COPY, "--id", "n1", "--wait", check=0)
    again = agent.cli(*COPY, "--id", "n1", "--wait", "--once", "--format", "json", check=0)
    assert json.loads(again.stdout)["image"] == "web1"
    assert "ImageExists" in agent.cli(*COPY, "--id", "n1", "--wait", check=1).stderr


def test_an_agent_that_dies_is_3_and_says_how_to_go_on(agent, source):
    waiting = slow_copy(agent, "n1")
    agent.kill()
    status, _, err = finish(waiting)
    assert status == 3
    assert "hostler image status --repository fast --image web1" in err and "hostler image resume" in err


def test_an_agent_that_restarts_is_recognised(agent, source):
    waiting = slow_copy(agent, "n1")
    agent.restart()
    status, _, err = finish(waiting)
    assert status == 3
    assert "restarted" in err and "hostler image status --repository fast --image web1" in err


def test_control_c_leaves_the_task_running(agent, source):
    waiting = slow_copy(agent, "n1")
    waiting.send_signal(signal.SIGINT)
    status, _, err = finish(waiting)
    assert status == 130 and "hostler task abort --task n1" in err
    assert agent.call("task.status", {"task": "n1"})["status"] == "running"


def test_a_time_limit_leaves_the_task_running(agent, source):
    done = agent.cli(*COPY, "--bytes-per-second", SLOW, "--id", "n1", "--wait", "--timeout", "5", check=3)
    assert "hostler task status --task n1" in done.stderr
    assert agent.call("task.status", {"task": "n1"})["status"] == "running"


# Events, top

def test_watch_prints_a_json_object_a_line(agent):
    watching = start(agent, "event", "watch", "--topics", "image.*", "--snapshot", "--format", "json", "--count", "3")
    agent.cli("image", "create", "--repository", "fast", "--image", "a", "--size", "1M", check=0)
    for number in range(1000):  # until the subscription stands, and has told of enough
        if watching.poll() is not None:
            break
        agent.cli("image", "update", "--repository", "fast", "--image", "a", "--user-data", f'{{"a":{number}}}', check=0)
    status, out, err = finish(watching)
    assert status == 0, err
    events = [json.loads(line) for line in out.splitlines()]
    assert len(events) == 3 and all(event["topic"] == "image.changed" for event in events)


def test_watch_goes_on_after_a_restart_and_says_so(agent):
    watching = start(agent, "event", "watch", "--topics", "image.*", "--format", "json")
    made = 0
    while True:  # until the subscription stands
        made += 1
        agent.cli("image", "create", "--repository", "fast", "--image", f"a{made}", "--size", "1M", check=0)
        if select.select([watching.stdout], [], [], 0.2)[0]:
            first = json.loads(watching.stdout.readline())
            break
    agent.restart()
    resync = json.loads(read_until(watching, "resync"))["resync"]
    assert resync["instance"] != first["instance"]
    agent.cli("image", "create", "--repository", "fast", "--image", "b", "--size", "1M", check=0)
    assert json.loads(read_until(watching, '"topic"'))["instance"] == resync["instance"]
    watching.send_signal(signal.SIGINT)
    assert finish(watching)[0] == 130


def read_until(process, part):
    for line in process.stdout:
        if part in line:
            return line
    raise AssertionError(f"no line with {part!r}")


def test_watch_needs_an_instance_to_count_in(agent):
    assert "--instance" in agent.cli("event", "watch", "--since", "3", check=2).stderr


def test_top_shows_running_tasks_once_and_live(agent, source):
    agent.cli(*COPY, "--bytes-per-second", SLOW, "--id", "n1", check=0)
    assert re.search(r"n1 +image.copy .*running", agent.cli("task", "top", check=0).stdout)
    tasks = json.loads(agent.cli("task", "top", "--format", "json", check=0).stdout)["tasks"]
    assert [task["task"] for task in tasks] == ["n1"]
    with Terminal(command(agent, "task", "top")) as terminal:
        terminal.wait_for("n1")
        terminal.wait_for("image.copy")
        terminal.type("q")
        assert terminal.end() == 0
        assert terminal.shown.endswith("\033[?1049l")


# Shell and completion

def test_the_shell_reads_a_script_and_ends_at_its_first_failure(agent):
    lines = "# a comment\nhost ping\nimage create --repository fast --image 'a' --size 1M\n" \
            "image status --repository fast --image none\nhost ping\n"
    done = subprocess.run(command(agent, "shell"), input=lines, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 1
    assert done.stdout.count("done") == 1 and "ImageNotFound" in done.stderr
    assert agent.call("image.status", {"repository": "fast", "image": "a"})["size"] == 1 << 20


def test_the_shell_completes_and_remembers(agent, source, tmp_path):
    environment = {"XDG_STATE_HOME": str(tmp_path / "state"), "INPUTRC": "/dev/null"}
    with Terminal(command(agent, "shell"), environment) as terminal:
        terminal.wait_for("hostler> ")
        terminal.type("host pi\t\n")
        terminal.wait_for("done")
        terminal.wait_for("hostler> ")
        terminal.type("imag\tlis\t--repos\tslow\n")
        terminal.wait_for("web1")
        terminal.wait_for("hostler> ")
        terminal.type("host ping")
        terminal.interrupt()
        terminal.wait_for("hostler> ")
        terminal.type("nonsense\n")
        terminal.wait_for("there is no resource")
        terminal.wait_for("hostler> ")
        terminal.type("exit\n")
        assert terminal.end() == 2  # of the last command
    history = tmp_path / "state" / "hostler" / "history"
    assert "image list --repository slow" in history.read_text()
    assert stat.S_IMODE(os.stat(history.parent).st_mode) == 0o700


def test_the_shell_lives_through_a_restart(agent):
    with Terminal(command(agent, "shell"), {"XDG_STATE_HOME": str(agent.folder)}) as terminal:
        terminal.wait_for("hostler> ")
        agent.restart()
        terminal.type("host ping\n")
        terminal.wait_for("done")


def complete(*words):
    """What bash would offer; the last word is the one under the cursor."""
    script = 'eval "$(hostler completion bash)"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _hostler; ' \
             'printf "%s\\n" "${COMPREPLY[@]}"'
    environment = {**os.environ, "PATH": os.path.dirname(program("hostler")) + ":" + os.environ["PATH"]}
    done = subprocess.run(["bash", "-c", script, "bash", "hostler", *words], capture_output=True, text=True,
                          env=environment, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_resources_commands_flags_and_choices(tmp_path):
    assert complete("ima") == ["image"]
    assert complete("image", "cop") == ["copy"]
    assert complete("image", "copy", "--target-rep") == ["--target-repository"]
    assert complete("image", "create", "--format", "q") == ["qcow2"]
    assert complete("image", "create", "--format", "=", "q") == ["qcow2"]
    assert complete("image", "create", "--format", "=") == ["raw", "qcow2", "table", "json"]
    assert complete("help", "ima") == ["image"]
    (tmp_path / "disk.raw").touch()
    assert complete("image", "import", "--path", f"{tmp_path}/di") == [f"{tmp_path}/disk.raw"]


def test_bash_completes_members_of_records():
    assert complete("vm", "define", "--disks", "rep") == ["repository="]
    assert complete("vm", "define", "--disks", "repository", "=", "a,boot-o") == ["a,boot-order="]
    assert complete("vm", "define", "--disks", "repository", "=", "a,bus", "=", "s") == ["scsi", "sata"]
    assert complete("vm", "define", "--disks", "repository", "=", "a", "tuning.read-i") == ["tuning.read-iops="]


# Endpoints

def test_a_token_opens_a_tcp_endpoint(make_agent, tmp_path):
    agent = make_agent(arguments=["--listen", "127.0.0.1:0"])
    hostler = [program("hostler"), "host", "ping", "--url", agent.url()]
    environment = {key: value for key, value in os.environ.items() if key != "HOSTLER_TOKEN_FILE"}
    token = tmp_path / "token"
    token.write_text(f"# mine\nadmin {agent.token()}\n")
    assert subprocess.run([*hostler, "--token-file", str(token)], env=environment).returncode == 0
    assert subprocess.run(hostler, env={**environment, "HOSTLER_TOKEN_FILE": str(token)}).returncode == 0
    token.write_text("wrong\n")
    refused = subprocess.run([*hostler, "--token-file", str(token)], capture_output=True, text=True, env=environment)
    assert refused.returncode == 3 and "--token-file" in refused.stderr
    assert agent.token() not in refused.stderr


def test_a_token_never_travels_in_clear_text(tmp_path):
    token = tmp_path / "token"
    token.write_text("secret\n")
    done = subprocess.run([program("hostler"), "host", "ping", "--url", "ws://192.0.2.1:1", "--token-file", str(token)],
                          capture_output=True, text=True)
    assert done.returncode == 2 and "clear text" in done.stderr
