// Tests that bytes arrive complete and in order both ways, for any sizes and any speed of the other side.

import { assert, assertEquals, assertExists, assertInstanceOf } from "@std/assert";
import { createHash } from "node:crypto";
import { test } from "../../support/runner.ts";
import { hashOf, listen, noise, open, readAll, send } from "./peers.ts";

const MIB = 1024 * 1024;

for (const [room, count] of [[1, 50_000], [7, 200_000], [4_096, 4 * MIB], [65_536, 16 * MIB], [MIB, 32 * MIB]]) {
  test(`${count} bytes arrive in order in buffers of ${room}`, async () => {
    await using peer = await listen();
    const { transport, sink } = await open(peer.endpoint(), { room });
    const socket = await peer.accept();
    const bytes = noise(count, room);
    socket.end(bytes);
    assertEquals(await sink.ended, undefined);
    assertEquals([sink.count, sink.digest()], [count, hashOf(bytes)]);
    assertEquals([sink.violations, sink.ends.length], [[], 1]);
    transport.close();
  });
}

test("bytes sent in tiny pieces arrive as they are sent", async () => {
  await using peer = await listen();
  const { transport, sink } = await open(peer.endpoint());
  const socket = await peer.accept();
  socket.setNoDelay(true);
  const bytes = noise(300);
  let sent = 0;
  for (let size = 1; sent < bytes.length; size = size % 3 + 1) {
    const part = bytes.subarray(sent, sent + size);
    sent += part.length;
    await send(socket, part);
    await sink.until(sent); // each arrives without the next having been sent
  }
  assertEquals([sink.count, sink.digest(), sink.violations], [bytes.length, hashOf(bytes), []]);
  transport.close();
  await sink.ended;
});

test("a write to a peer that does not read is a promise, which resolves when it has read", async () => {
  await using peer = await listen();
  const { transport, sink } = await open(peer.endpoint());
  const socket = await peer.accept();
  const bytes = noise(64 * MIB);
  // The completion of this write, taken at once, must not be mistaken for that of the next one.
  const early = transport.write(bytes.subarray(0, 1_000));
  if (early !== undefined) await early;
  const written = transport.write(bytes.subarray(1_000));
  assertInstanceOf(written, Promise);
  let settled = false;
  written.then(() => settled = true);
  // The other direction is open meanwhile: a round trip on it shows that time has passed.
  await send(socket, "still here");
  await sink.until(10);
  assertEquals(settled, false);
  const read = readAll(socket);
  await written;
  transport.close();
  assertEquals(await read, { count: bytes.length, hash: hashOf(bytes) });
  assertEquals([sink.violations, await sink.ended], [[], undefined]);
});

test("many writes to a peer that reads slowly arrive complete and in order", async () => {
  await using peer = await listen();
  const { transport, sink } = await open(peer.endpoint());
  const socket = await peer.accept();
  const source = noise(MIB);
  const wanted = createHash("sha256");
  const got = createHash("sha256");
  let [sent, come, waits] = [0, 0, 0];
  const read = new Promise<void>((resolve) => {
    socket.on("data", (chunk: Uint8Array) => {
      got.update(chunk);
      come += chunk.length;
      socket.pause();
      setTimeout(() => socket.resume(), come % 3);
    });
    socket.on("end", resolve);
    socket.resume();
  });
  for (let i = 0; sent < 48 * MIB; i++) {
    const from = i * 7_919 % 500_000;
    const part = source.subarray(from, from + 1 + i * 104_729 % 500_000);
    wanted.update(part);
    sent += part.length;
    const written = transport.write(part);
    if (written === undefined) continue;
    waits++;
    await written;
  }
  assert(waits > 0, "the socket was never full");
  transport.close();
  await read;
  assertEquals([come, got.digest("hex")], [sent, wanted.digest("hex")]);
  assertEquals([sink.violations, await sink.ended], [[], undefined]);
});

test("bytes written in many small pieces arrive complete and in order", async () => {
  await using peer = await listen();
  const { transport, sink } = await open(peer.endpoint());
  const read = readAll(await peer.accept());
  const bytes = noise(300_000);
  for (let from = 0, size = 1; from < bytes.length; from += size, size = size % 97 + 1) {
    await transport.write(bytes.subarray(from, from + size));
  }
  transport.close();
  assertEquals(await read, { count: bytes.length, hash: hashOf(bytes) });
  assertEquals([sink.violations, await sink.ended], [[], undefined]);
});

test("concurrent traffic in both directions is independent", async () => {
  await using peer = await listen();
  const { transport, sink } = await open(peer.endpoint(), { room: 10_000 });
  const socket = await peer.accept();
  const [there, back] = [noise(16 * MIB, 2), noise(16 * MIB, 3)];
  const read = readAll(socket);
  const sent = send(socket, back);
  for (let from = 0; from < there.length; from += 65_536) await transport.write(there.subarray(from, from + 65_536));
  await Promise.all([sent, sink.until(back.length)]);
  transport.close();
  assertEquals(await read, { count: there.length, hash: hashOf(there) });
  assertEquals([sink.digest(), sink.violations, await sink.ended], [hashOf(back), [], undefined]);
});

test("a sink may write from within received", async () => {
  await using peer = await listen();
  let answer = (_: Uint8Array) => {};
  const { transport, sink } = await open(peer.endpoint(), { onReceived: (bytes) => answer(bytes) });
  let writing = Promise.resolve();
  answer = (bytes) => writing = writing.then(() => transport.write(bytes));
  const socket = await peer.accept();
  const question = noise(1_000);
  let echoed = 0;
  const echo = Promise.withResolvers<void>();
  socket.on("data", (chunk: Uint8Array) => {
    echoed += chunk.length;
    if (echoed === 200_000) echo.resolve();
    else if (echoed % question.length === 0) socket.write(question);
  });
  socket.resume();
  socket.write(question);
  await echo.promise;
  transport.close();
  assertEquals([sink.count, sink.violations, await sink.ended], [200_000, [], undefined]);
});

test("an empty write has no effect", async () => {
  await using peer = await listen();
  const { transport, sink } = await open(peer.endpoint());
  assertEquals(transport.write(new Uint8Array(0)), undefined);
  transport.close();
  assertEquals([sink.violations, await sink.ended], [[], undefined]);
});

test("a write before the previous one has resolved ends the transport, and mixes nothing", async () => {
  await using peer = await listen();
  const { transport, sink } = await open(peer.endpoint());
  const socket = await peer.accept();
  const first = noise(64 * MIB, 4);
  const written = transport.write(first);
  assertExists(written);
  assertEquals(transport.write(noise(1_000, 5)), undefined);
  assertInstanceOf(await sink.ended, Error);
  await written;
  const { count, hash } = await readAll(socket);
  assert(count < first.length);
  assertEquals(hash, hashOf(first.subarray(0, count)));
  assertEquals([sink.violations, sink.ends.length], [[], 1]);
});
