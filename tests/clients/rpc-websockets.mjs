// SPDX-License-Identifier: Apache-2.0
// rpc-websockets: numeric ids from 1, events through rpc.on and notifications named by the topic.
import assert from 'node:assert/strict';
import { Client } from 'rpc-websockets';

const client = new Client(process.env.URL);
await new Promise((resolve, reject) => { client.on('open', resolve); client.on('error', reject); });
assert.deepEqual(await client.call('host.ping'), {});
await client.subscribe('task.ended');
const ended = new Promise((resolve) => client.on('task.ended', resolve));
const image = await client.call('image.create', { repository: 'fast', image: 'a', size: 1048576 });
assert.equal(image.generation, 1);
const event = await ended;
assert.equal(event.topic, 'task.ended');
assert.equal(event.data.status, 'done');
await assert.rejects(client.call('image.status', { repository: 'fast', image: 'nobody' }),
  (error) => error.code === 1030 && error.data.name === 'ImageNotFound');
await assert.rejects(client.call('no.such'), (error) => error.code === -32601);
await client.unsubscribe('task.ended');
const copy = await client.call('image.copy', { repository: 'fast', image: 'a', targetRepository: 'slow' });
assert.deepEqual(copy, { repository: 'slow', image: 'a' });
client.close();
console.log('ok');
process.exit(0);
