# SPDX-License-Identifier: Apache-2.0
"""JSON-RPC 2.0 over the wire: the specification's examples case by case, and our own rules."""
import json

import pytest


def error_of(message):
    assert message["jsonrpc"] == "2.0" and "result" not in message
    return message["error"]["code"], message["id"]


def silence(client):
    """Proves that nothing was answered before: the next answer is this ping's."""
    assert client.call("host.ping") == {}
    assert client.raw.empty()


def test_a_call_with_named_parameters_is_answered_under_its_id(client):
    reply = client.wait(client.request("event.history", {"limit": 1}, id="named"))
    assert reply["id"] == "named" and reply["jsonrpc"] == "2.0" and "events" in reply["result"]


def test_positional_parameters_follow_the_order_of_the_table(client):
    """task.status has 'task' first, so both forms ask for the same."""
    assert client.error("task.status", ["nobody"]).name == "TaskNotFound"
    assert client.error("task.status", {"task": "nobody"}).name == "TaskNotFound"


def test_too_many_positional_parameters_are_refused(client):
    assert client.error("task.status", ["a", "b", "c", "d"]).name == "InvalidParams"


@pytest.mark.parametrize("text", [
    '{"jsonrpc":"2.0","method":"host.ping","params":{}}',
    '{"jsonrpc":"2.0","method":"foobar"}',
    '{"jsonrpc":"2.0","method":"image.create","params":{"size":-1}}',
    '{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":1}}',
    '{"jsonrpc":"2.0","method":"$/setTrace","params":{"value":"off"}}',
    '[{"jsonrpc":"2.0","method":"notify_sum","params":[1,2,4]},{"jsonrpc":"2.0","method":"notify_hello"}]',
])
def test_a_notification_is_never_answered(client, text):
    client.send(text)
    silence(client)


@pytest.mark.parametrize("text", [
    '{"jsonrpc":"2.0","result":7,"id":"1"}',
    '{"jsonrpc":"2.0","error":{"code":-1,"message":"x"},"id":null}',
    '{"error":{"code":-32601,"message":"Method not found"}}',
])
def test_a_message_that_looks_like_a_response_is_ignored(client, text):
    client.send(text)
    silence(client)


def test_an_unknown_method_is_answered_with_its_id(client):
    reply = client.wait(client.request("foobar", id="1"))
    assert error_of(reply) == (-32601, "1")
    assert reply["error"]["data"]["name"] == "MethodNotFound"


@pytest.mark.parametrize("text", [
    '{"jsonrpc":"2.0","method":"foobar, "params":"bar","baz]',
    '[{"jsonrpc":"2.0","method":"sum","params":[1,2,4],"id":"1"},{"jsonrpc":"2.0","method"]',
    '', ' ', '{', '}', '{"jsonrpc":"2.0",}', 'nul', '"', '\ufeff{}', '{} {}',
    '{"jsonrpc":"2.0","method":"host.ping","id":1}x', '{"a":"\\ud800"}', '{"a":01}', "{'a':1}",
    '{"jsonrpc":"2.0","method":"host.ping","id":1\x00}', '[1,',
])
def test_what_is_not_json_is_a_parse_error_with_id_null(client, text):
    code, id = error_of(client.exchange(text))
    assert (code, id) == (-32700, None)
    silence(client)


@pytest.mark.parametrize("text", ["[" * 3000 + "]" * 3000, '{"a":' * 65 + "1" + "}" * 65, "[" * 100000], ids=str.__len__)
def test_what_is_nested_too_deep_is_over_a_limit(client, text):
    reply = client.exchange(text)
    assert error_of(reply) == (1013, None)
    assert (reply["error"]["data"]["limit"], reply["error"]["data"]["max"]) == ("jsonDepth", 64)
    silence(client)


@pytest.mark.parametrize("text", [
    '{"jsonrpc":"2.0","method":1,"params":"bar"}', '{"foo":"boo"}', '1', '"x"', 'null', 'true', '[]',
    '{"jsonrpc":"1.0","method":"host.ping"}', '{"method":"host.ping"}',
    '{"jsonrpc":"2.0","method":"host.ping","params":"bar"}',
    '{"jsonrpc":"2.0","method":"host.ping","params":null,"id":{}}',
    '{"jsonrpc":"2.0","method":"host.ping","id":[1]}', '{"jsonrpc":"2.0","method":"host.ping","id":true}',
])
def test_json_that_is_no_request_is_an_invalid_request(client, text):
    message = client.exchange(text)
    assert error_of(message) == (-32600, None)
    assert message["error"]["data"]["name"] == "InvalidRequest"


@pytest.mark.parametrize("text,count", [('[1]', 1), ('[1,2,3]', 3)])
def test_each_member_of_an_invalid_batch_is_answered(client, text, count):
    answers = client.exchange(text)
    assert [error_of(answer) for answer in answers] == [(-32600, None)] * count


def test_a_mixed_batch_answers_all_but_the_notifications(client):
    answers = client.exchange(json.dumps([
        {"jsonrpc": "2.0", "method": "host.ping", "id": "1"},
        {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
        {"jsonrpc": "2.0", "method": "repository.list", "id": "2"},
        {"foo": "boo"},
        {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
        {"jsonrpc": "2.0", "method": "event.history", "params": {"limit": 1}, "id": "9"},
    ]))
    by_id = {answer["id"]: answer for answer in answers}
    assert len(answers) == 5 and set(by_id) == {"1", "2", None, "5", "9"}
    assert by_id["1"]["result"] == {} and "result" in by_id["2"] and "result" in by_id["9"]
    assert by_id[None]["error"]["code"] == -32600 and by_id["5"]["error"]["code"] == -32601


def test_a_batch_over_the_limit_is_one_error(client):
    call = {"jsonrpc": "2.0", "method": "host.ping", "id": "x"}
    message = client.exchange(json.dumps([dict(call, id=str(n)) for n in range(257)]))
    assert isinstance(message, dict) and message["id"] is None
    assert message["error"]["data"]["name"] == "LimitExceeded" and message["error"]["data"]["max"] == 256
    silence(client)


@pytest.mark.parametrize("raw", ["0", "7", "-3", "1.5", "1e2", "1.10", "-0", "9007199254740993",
                                 '"a"', '"\\u00e9"', '"\\/x"', "null"])
def test_the_response_echoes_the_id_as_it_was_written(agent, raw):
    import asyncio
    import websockets

    async def ask():
        async with websockets.unix_connect(str(agent.socket), "ws://localhost/rpc") as connection:
            await connection.send('{"jsonrpc":"2.0","method":"host.ping","id":%s}' % raw)
            return await asyncio.wait_for(connection.recv(), 30)

    text = asyncio.run(ask())
    assert f'"id":{raw}' in text.replace(": ", ":")


@pytest.mark.parametrize("id", ["", "x" * 256, "a\nb", "\x7f\x00"])
def test_an_id_that_cannot_name_a_task_is_refused(client, id):
    reply = client.exchange(json.dumps({"jsonrpc": "2.0", "method": "host.ping", "id": id})) \
        if id == "" else client.wait(client.request("host.ping", id=id))
    assert reply["error"]["data"]["name"] in ("InvalidRequest", "InvalidParams")


@pytest.mark.parametrize("params,param", [
    ({"task": 1.5}, "task"), ({}, "task"), ({"task": "x", "nonsense": 1}, "nonsense"),
    ({"task": {}}, "task"), ({"task": None}, "task"),
])
def test_a_wrong_parameter_is_named(client, params, param):
    error = client.error("task.status", params)
    assert error.name in ("InvalidParams", "TaskNotFound")
    if error.name == "InvalidParams":
        assert error.code == -32602 and error.data["param"] == param and error.data["reason"]


def test_a_duplicate_key_is_refused(client):
    message = client.exchange('{"jsonrpc":"2.0","method":"host.ping","method":"host.info","id":"d"}')
    assert message["error"]["code"] in (-32700, -32600)
    id = client.request("host.ping", id="dup")
    client.wait(id)
    client.replies['"twice"'] = __import__("queue").Queue()
    client.send('{"jsonrpc":"2.0","method":"task.status","params":{"task":"a","task":"b"},"id":"twice"}')
    error = client.wait("twice")["error"]
    assert error["data"]["name"] == "InvalidParams" and error["data"]["param"] == "task"


def test_a_number_out_of_range_is_an_error_that_names_the_place(client):
    client.replies['"big"'] = __import__("queue").Queue()
    client.send('{"jsonrpc":"2.0","method":"image.create","id":"big",'
                '"params":{"repository":"fast","image":"a","size":99999999999999999999999}}')
    error = client.wait("big")["error"]
    assert error["data"]["name"] == "InvalidParams" and error["data"]["param"] == "size"


def test_a_fragmented_message_and_a_binary_frame_are_read(agent):
    import asyncio
    import websockets

    async def ask():
        async with websockets.unix_connect(str(agent.socket), "ws://localhost/rpc") as connection:
            text = '{"jsonrpc":"2.0","method":"host.ping","id":"%s"}'
            await connection.send(iter([(text % "parts")[n:n + 1] for n in range(len(text % "parts"))]))
            first = await asyncio.wait_for(connection.recv(), 30)
            await connection.send((text % "binary").encode())
            return json.loads(first), json.loads(await asyncio.wait_for(connection.recv(), 30))

    first, second = asyncio.run(ask())
    assert (first["id"], first["result"]) == ("parts", {}) and second["id"] == "binary"


def test_if_instance_refuses_a_newborn_agent(client):
    instance = client.call("host.info")["instance"]
    assert client.call("host.ping", {"ifInstance": instance}) == {}
    error = client.error("host.ping", {"ifInstance": "00000000-0000-0000-0000-000000000000"})
    assert error.name == "WrongInstance" and error.data["instance"] == instance


def test_discovery_names_every_verb_with_roles_and_errors(client):
    document = client.call("rpc.discover")
    names = [method["name"] for method in document["methods"]]
    assert document["openrpc"].startswith("1.") and len(names) == len(set(names))
    assert {"host.ping", "task.wait", "event.subscribe", "image.copy", "repository.connect"} <= set(names)
    for method in document["methods"]:
        assert method["summary"] and method["x-role"] in ("viewer", "operator", "admin")
        assert method["result"]["schema"]
        for param in method["params"]:
            assert param["description"] and param["schema"], (method["name"], param["name"])


def test_post_answers_when_all_tasks_have_answered(make_agent):
    import urllib.request
    agent = make_agent(repositories=["fast"], arguments=["--listen", "127.0.0.1:0"])
    url = agent.url().replace("ws://", "http://")

    def post(body, token=agent.token(), path=url):
        request = urllib.request.Request(path, data=body.encode(), method="POST",
                                         headers={"Authorization": f"Bearer {token}",
                                                  "Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    status, body = post('{"jsonrpc":"2.0","method":"host.ping","id":7}')
    assert status == 200 and json.loads(body) == {"jsonrpc": "2.0", "result": {}, "id": 7}
    status, body = post('[{"jsonrpc":"2.0","method":"host.ping","id":1},{"jsonrpc":"2.0","method":"image.create",'
                        '"params":{"repository":"fast","image":"a","size":4096},"id":2}]')
    answers = {answer["id"]: answer for answer in json.loads(body)}
    assert status == 200 and answers[2]["result"]["image"] == "a" and answers[1]["result"] == {}
    status, body = post('{"jsonrpc":"2.0","method":"host.ping"}')
    assert status in (200, 204) and body == ""
    assert post('{"jsonrpc"')[0] in (200, 400)
    assert post('{"jsonrpc":"2.0","method":"host.ping","id":7}', token="wrong" * 8)[0] == 401
    with urllib.request.urlopen(url.replace("/rpc", "/healthz"), timeout=60) as reply:
        assert reply.status == 200 and reply.read().strip() == b"ok"
