// SPDX-License-Identifier: Apache-2.0
// vscode-ws-jsonrpc: ids from 0, $/cancelRequest and $/setTrace notifications, which are ignored.
import assert from 'node:assert/strict';
import { createWebSocketConnection, toSocket, ConsoleLogger } from 'vscode-ws-jsonrpc';
import { CancellationTokenSource, Trace } from 'vscode-jsonrpc';
import { WebSocket } from 'ws';

const socket = new WebSocket(process.env.URL);
await new Promise((resolve, reject) => { socket.on('open', resolve); socket.on('error', reject); });
const connection = createWebSocketConnection(toSocket(socket), new ConsoleLogger());
connection.listen();
assert.deepEqual(await connection.sendRequest('host.ping'), {});
await connection.trace(Trace.Off, { log: () => {} });
const events = [];
connection.onNotification('event', (params) => events.push(params));
await connection.sendRequest('event.subscribe', { topics: ['task.ended'] });
await connection.sendRequest('image.create', { repository: 'fast', image: 'a', size: 4096 });
const cancelled = new CancellationTokenSource();
const status = connection.sendRequest('image.status', { repository: 'fast', image: 'a' }, cancelled.token);
cancelled.cancel();
assert.equal((await status).state, 'optimized');
await assert.rejects(connection.sendRequest('image.status', { repository: 'fast', image: 'nobody' }),
  (error) => error.code === 1030);
while (events.length === 0)
  await new Promise((resolve) => setTimeout(resolve, 10));
assert.equal(events[0].data.status, 'done');
console.log('ok');
process.exit(0);
