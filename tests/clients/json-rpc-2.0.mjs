// SPDX-License-Identifier: Apache-2.0
// json-rpc-2.0: client and server over one socket, batches, standard notifications.
import assert from 'node:assert/strict';
import jsonrpc from 'json-rpc-2.0';
import { WebSocket } from 'ws';

const socket = new WebSocket(process.env.URL);
await new Promise((resolve, reject) => { socket.on('open', resolve); socket.on('error', reject); });
const peer = new jsonrpc.JSONRPCServerAndClient(
  new jsonrpc.JSONRPCServer(),
  new jsonrpc.JSONRPCClient((request) => { socket.send(JSON.stringify(request)); return Promise.resolve(); }));
socket.on('message', (data) => peer.receiveAndSend(JSON.parse(data.toString())));

const seen = [];
peer.addMethod('event', (params) => { seen.push(params); });
assert.deepEqual(await peer.request('host.ping'), {});
const subscription = await peer.request('event.subscribe', { topics: ['image.*'] });
assert.equal(subscription.resync, false);
await peer.request('image.create', { repository: 'fast', image: 'a', size: 4096 });
while (!seen.some((event) => event.topic === 'image.changed' && event.data.image === 'a'))
  await new Promise((resolve) => setTimeout(resolve, 10));
await assert.rejects(async () => peer.request('image.create', { repository: 'fast', image: 'b', size: 0 }),
  (error) => /size/.test(error.message) && error.code === -32602);
const batch = await peer.client.requestAdvanced([
  jsonrpc.createJSONRPCRequest('one', 'host.ping'),
  jsonrpc.createJSONRPCRequest('two', 'image.status', { repository: 'fast', image: 'a' }),
]);
assert.equal(batch.find((answer) => answer.id === 'two').result.size, 4096);
console.log('ok');
process.exit(0);
