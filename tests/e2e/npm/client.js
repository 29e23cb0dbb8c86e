// Run by test_npm.py: the MessagePack-RPC client of npm against a running mregiond, at the Unix socket
// or HOST:PORT of its argument. What is wrong ends it with an exception.
'use strict';

const assert = require('assert');
const net = require('net');
const Session = require('msgpack5rpc');

const address = process.argv[2];
const [host, port] = address.split(':');
const socket = address.startsWith('/') ? net.connect(address) : net.connect(Number(port), host);
const session = new Session();

function call(method, ...params) {
  return new Promise((resolve, reject) => {
    session.request(method, params, (error, result) => (error ? reject(new Error(error)) : resolve(result)));
  });
}

async function everyByte() {
  const blob = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  const at = await call('addBlob', 'npm', blob);

  assert.deepStrictEqual(await call('loadBlob', 'npm', at, 256), blob);
  assert.strictEqual(await call('storeBlob', 'npm', at, Buffer.from(blob).reverse()), null);
  assert.deepStrictEqual(await call('removeBlob', 'npm', at, 256), Buffer.from(blob).reverse());
  assert.deepStrictEqual(await call('getFreeMemory', 'npm'), [[at, 256]]);
}

// A string is as good as a buffer, and bytes come back.
async function textAndSize() {
  const at = await call('addBlob', 'npm', 'ä€');

  assert.deepStrictEqual(await call('loadBlob', 'npm', at, 5), Buffer.from('ä€'));
  const large = Buffer.alloc(2 << 20, 'large ');
  const there = await call('addBlob', 'npm', large);
  assert.ok(large.equals(await call('loadBlob', 'npm', there, large.length)));
}

// All of them are under way at once, and each gets its own answer.
async function manyAtOnce() {
  const blobs = Array.from({ length: 500 }, (_, i) => Buffer.alloc(1 + (i % 90), i));
  const places = await Promise.all(blobs.map((blob) => call('addBlob', 'npm', blob)));
  const found = await Promise.all(places.map((at, i) => call('loadBlob', 'npm', at, blobs[i].length)));

  assert.strictEqual(new Set(places).size, blobs.length);
  found.forEach((blob, i) => assert.deepStrictEqual(blob, blobs[i]));
}

async function errorsAndNotifications() {
  await assert.rejects(call('deallocate', 'npm', 2 ** 40, 1), /^Error: out_of_bounds: /);
  await assert.rejects(call('size', 'nowhere'), /^Error: no_such_region: /);
  await assert.rejects(call('fly', 'npm'), /^Error: no_such_method: /);
  await assert.rejects(call('allocate', 'npm', 1.5), /^Error: invalid_argument: /);
  const before = await call('allocated', 'npm');
  session.notify('addBlob', ['npm', Buffer.from('seven..')]);
  session.notify('noSuchThing', [1, 2, 3]);
  assert.strictEqual(await call('allocated', 'npm'), before + 7);
  const info = await call('memoryInfo', 'npm');
  assert.strictEqual(info.pages * 65536, info.capacity);
}

async function main() {
  session.attach(socket, socket);
  assert.strictEqual(await call('ping'), 'pong');
  await call('createRegion', 'npm', { fit: 'lowest' });
  await everyByte();
  await textAndSize();
  await manyAtOnce();
  await errorsAndNotifications();
  assert.strictEqual(await call('dropRegion', 'npm'), null);
  socket.end();
  console.log('all as expected');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
