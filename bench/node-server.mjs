// SPDX-License-Identifier: Apache-2.0
// The peer: what most would write.  npm ws, JSON.parse, a switch; and a broadcast of events.
//   node node-server.mjs EVENT-BYTES     prints its port
import { WebSocketServer } from 'ws';

const subscribers = new Set();
const padding = 'x'.repeat(Math.max(0, Number(process.argv[2] || 200) - 120));
let seq = 0;
const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false },
  () => console.log(server.address().port));
server.on('connection', (socket) => {
  socket.on('close', () => subscribers.delete(socket));
  socket.on('message', (data) => {
    const call = JSON.parse(data);
    let result = {};
    if (call.method === 'event.subscribe')
      subscribers.add(socket);
    else if (call.method === 'publish') {
      const event = JSON.stringify({ jsonrpc: '2.0', method: 'event', params: {
        instance: 'n', seq: ++seq, time: new Date().toISOString(), topic: 'task.ended', data: padding } });
      for (const subscriber of subscribers)
        subscriber.send(event);
    } else if (call.method !== 'host.ping')
      result = undefined;
    socket.send(JSON.stringify({ jsonrpc: '2.0', id: call.id, result }));
  });
});
