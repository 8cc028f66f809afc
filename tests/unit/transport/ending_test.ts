// Tests that every transport ends exactly once, whoever ends it, and that no exception leaves a socket callback.

import { assertEquals, assertInstanceOf, assertStrictEquals } from "@std/assert";
import { platform } from "node:process";
import { test } from "../../support/runner.ts";
import { canStartServers, startServer } from "../../support/servers/server.ts";
import { gone, hashOf, listen, noise, open, type Peer, readAll, send, type WatchfulSink } from "./peers.ts";

const MIB = 1024 * 1024;

/** All late callbacks have run: a connection was opened and answered after `sink` had ended. */
async function afterwards(peer: Peer, sink: WatchfulSink, ends: readonly unknown[]): Promise<void> {
  const { transport, sink: other } = await open(peer.endpoint());
  await send(await peer.accept(), "x");
  await other.until(1);
  transport.close();
  await other.ended;
  assertEquals([sink.ends, sink.violations], [ends, []]);
}

test("close ends once, without a cause, after it has returned", async () => {
  await using peer = await listen();
  const { transport, sink } = await open(peer.endpoint());
  const socket = await peer.accept();
  transport.close();
  assertEquals(sink.ends, []);
  transport.close();
  assertEquals(await sink.ended, undefined);
  transport.close();
  assertEquals(transport.write(noise(10)), undefined);
  assertEquals((await readAll(socket)).count, 0);
  await afterwards(peer, sink, [undefined]);
});

test("bytes taken before close still arrive, and then the end", async () => {
  await using peer = await listen();
  const { transport, sink } = await open(peer.endpoint());
  const socket = await peer.accept();
  const bytes = noise(100_000);
  await transport.write(bytes);
  transport.close();
  await sink.ended;
  assertEquals(await readAll(socket), { count: bytes.length, hash: hashOf(bytes) });
});

test("the other side's end follows its last bytes, without a cause, and closes this side", async () => {
  await using peer = await listen();
  const { sink } = await open(peer.endpoint(), { room: 1_000 });
  const socket = await peer.accept();
  const bytes = noise(300_000);
  const read = readAll(socket); // the script does not close: its end is only a FIN
  socket.end(bytes);
  assertEquals(await sink.ended, undefined);
  assertEquals([sink.count, sink.digest()], [bytes.length, hashOf(bytes)]);
  assertEquals((await read).count, 0);
  await gone(socket);
  await afterwards(peer, sink, [undefined]);
});

test("a reset by the other side is an end with its cause", async () => {
  await using peer = await listen();
  const { transport, sink } = await open(peer.endpoint());
  const socket = await peer.accept();
  await send(socket, "x");
  await sink.until(1);
  socket.resetAndDestroy();
  const cause = await sink.ended;
  assertInstanceOf(cause, Error);
  assertEquals(transport.write(noise(10)), undefined);
  transport.close();
  await afterwards(peer, sink, [cause]);
});

test("close while a write waits settles its promise", async () => {
  await using peer = await listen();
  const { transport, sink } = await open(peer.endpoint());
  await peer.accept();
  const written = transport.write(noise(64 * MIB));
  assertInstanceOf(written, Promise);
  transport.close();
  await written;
  assertEquals(await sink.ended, undefined);
  await afterwards(peer, sink, [undefined]);
});

test("a reset while a write waits settles its promise", async () => {
  await using peer = await listen();
  const { transport, sink } = await open(peer.endpoint());
  const socket = await peer.accept();
  const written = transport.write(noise(64 * MIB));
  assertInstanceOf(written, Promise);
  socket.resetAndDestroy();
  await written;
  const cause = await sink.ended;
  assertInstanceOf(cause, Error);
  await afterwards(peer, sink, [cause]);
});

test("the other side's end while a write waits settles its promise", async () => {
  await using peer = await listen();
  const { transport, sink } = await open(peer.endpoint());
  const socket = await peer.accept();
  const written = transport.write(noise(64 * MIB));
  assertInstanceOf(written, Promise);
  socket.end("bye");
  await written;
  assertEquals([sink.count, await sink.ended], [3, undefined]);
  await afterwards(peer, sink, [undefined]);
});

test("close from within received stops the reading, and ends after received has returned", async () => {
  await using peer = await listen();
  let close = () => {};
  const { transport, sink } = await open(peer.endpoint(), { room: 10, onReceived: () => close() });
  close = () => transport.close();
  const socket = await peer.accept();
  socket.write(noise(100_000));
  assertEquals(await sink.ended, undefined);
  assertEquals([sink.count <= 10, sink.calls], [true, 1]);
  await gone(socket);
  await afterwards(peer, sink, [undefined]);
});

test("close from within space ends it too", async () => {
  await using peer = await listen();
  let close = () => {};
  const { transport, sink } = await open(peer.endpoint(), { room: 10, onSpace: () => close() });
  close = () => transport.close();
  (await peer.accept()).write(noise(100));
  assertEquals(await sink.ended, undefined);
  await afterwards(peer, sink, [undefined]);
});

test("a sink that throws in received ends its transport with that error", async () => {
  await using peer = await listen();
  const thrown = new Error("by the sink");
  const { transport, sink } = await open(peer.endpoint(), {
    onReceived: () => {
      throw thrown;
    },
  });
  const socket = await peer.accept();
  socket.write(noise(1_000));
  assertStrictEquals(await sink.ended, thrown);
  assertEquals(transport.write(noise(10)), undefined);
  await gone(socket);
  await afterwards(peer, sink, [thrown]);
});

test("a sink that throws in space ends its transport with that error", async () => {
  await using peer = await listen();
  const thrown = new Error("by the sink");
  let broken = false;
  const { sink } = await open(peer.endpoint(), {
    onSpace: () => {
      if (broken) throw thrown;
    },
  });
  const socket = await peer.accept();
  broken = true;
  socket.write(noise(1_000));
  assertStrictEquals(await sink.ended, thrown);
  await gone(socket);
  await afterwards(peer, sink, [thrown]);
});

test("a sink that throws in closed has no effect", async () => {
  await using peer = await listen();
  const { transport, sink } = await open(peer.endpoint(), {
    onClosed: () => {
      throw new Error("by the sink");
    },
  });
  await peer.accept();
  transport.close();
  await sink.ended;
  await afterwards(peer, sink, [undefined]);
});

test("a suspended server is not noticed: the transport stays open, takes writes and can be closed", async () => {
  await using server = await startServer();
  const { transport, sink } = await open({ kind: "tcp", hostname: server.host, port: server.port });
  await transport.write(new TextEncoder().encode("PING\r\n"));
  await sink.until(7);
  await server.kill("SIGSTOP");
  try {
    await transport.write(new TextEncoder().encode("PING\r\n")); // the operating system takes it
    await using peer = await listen();
    await afterwards(peer, sink, []);
    assertEquals(sink.count, 7);
  } finally {
    await server.kill("SIGCONT");
  }
  await sink.until(14); // nothing was lost meanwhile
  transport.close();
  assertEquals([await sink.ended, sink.violations], [undefined, []]);
}, { ignore: platform === "win32" || !(await canStartServers()) });
