// Tests that dialling ends in a transport, in one kind of error for one kind of failure, or in the signal's reason.

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { connect } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { platform } from "node:process";
import { detectRuntime, nativeDial } from "../../../resp/transport/dial.ts";
import { type Endpoint, TransportError, type TransportErrorKind } from "../../../resp/transport/transport.ts";
import { until } from "../../support/events.ts";
import { runtime, test } from "../../support/runner.ts";
import { canStartServers, startServer } from "../../support/servers/server.ts";
import { dialInChild, gone, hashOf, listen, noise, open, type Peer, readAll, WatchfulSink } from "./peers.ts";

const posix = platform !== "win32";

async function failure(endpoint: Endpoint): Promise<TransportError> {
  const sink = new WatchfulSink();
  const error = await assertRejects(() => nativeDial()(endpoint, { sink }), TransportError);
  assertEquals([sink.ends, sink.count, sink.violations], [[], 0, []]);
  assert(error.cause !== undefined);
  return error;
}

async function assertAborted(endpoint: Endpoint, abort: (controller: AbortController) => unknown): Promise<void> {
  const sink = new WatchfulSink();
  const controller = new AbortController();
  const reason = new Error("changed my mind");
  const dialling = nativeDial()(endpoint, { sink, signal: controller.signal });
  dialling.catch(() => {}); // checked below
  await abort(controller);
  controller.abort(reason);
  assertStrictEquals(await dialling.catch((error: unknown) => error), reason);
  assertEquals([sink.ends, sink.count, sink.violations], [[], 0, []]);
}

test("a closed port is refused", async () => {
  const peer = await listen();
  await peer[Symbol.asyncDispose]();
  for (const endpoint of [peer.endpoint(), peer.endpoint({})]) {
    const error = await failure(endpoint);
    assertEquals(error.kind, "connect");
    assertStringIncludes(error.message, `127.0.0.1:${peer.port}`);
  }
});

test("an unknown host name is a failure to connect", async () => {
  const endpoint: Endpoint = { kind: "tcp", hostname: "tls.certificate.invalid", port: 6379 };
  assertEquals((await failure(endpoint)).kind, "connect");
  assertEquals((await failure({ ...endpoint, tls: {} })).kind, "connect"); // whatever its name contains
});

for (
  const [what, host, hostname] of [["name", "127.0.0.1", "localhost"], ["bare address of version 6", "::1", "::1"]]
) {
  const ignore = !Object.values(networkInterfaces()).flat().some((one) => one?.address === host);
  test(`a ${what} is dialled`, async () => {
    await using peer = await listen({ host });
    const { transport, sink } = await open({ kind: "tcp", hostname, port: peer.port });
    (await peer.accept()).write("hello");
    await sink.until(5);
    transport.close();
    assertEquals([await sink.ended, sink.violations], [undefined, []]);
  }, { ignore });
}

test("a unix socket carries bytes both ways", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sea-"));
  try {
    await using peer = await listen({ path: join(folder, "socket") });
    const { transport, sink } = await open(peer.endpoint());
    const socket = await peer.accept();
    const [there, back] = [noise(8_000_000, 2), noise(8_000_000, 3)];
    const read = readAll(socket);
    socket.write(back);
    await Promise.all([transport.write(there), sink.until(back.length)]);
    transport.close();
    assertEquals(await read, { count: there.length, hash: hashOf(there) });
    assertEquals([sink.digest(), await sink.ended, sink.violations], [hashOf(back), undefined, []]);
  } finally {
    await rm(folder, { recursive: true });
  }
}, { ignore: !posix });

test("a missing unix socket is a failure to connect", async () => {
  const error = await failure({ kind: "unix", path: join(tmpdir(), "sea-no-such-socket") });
  assertEquals(error.kind, "connect");
  assertStringIncludes(error.message, "sea-no-such-socket");
}, { ignore: !posix });

test("a signal aborted before rejects at once, without a connection", async () => {
  await using peer = await listen();
  const sink = new WatchfulSink();
  const reason = new Error("before");
  const dialling = nativeDial()(peer.endpoint(), { sink, signal: AbortSignal.abort(reason) });
  assertStrictEquals(await dialling.catch((error: unknown) => error), reason);
  const { transport, sink: other } = await open(peer.endpoint());
  transport.close();
  await other.ended;
  await peer.accept();
  assertEquals([peer.accepted, sink.ends, sink.count], [1, [], 0]);
});

test("an abort while the name is resolved rejects with its reason", async () => {
  const endpoint: Endpoint = { kind: "tcp", hostname: "no-such-host.invalid", port: 6379 };
  await assertAborted(endpoint, () => {});
  await assertAborted({ ...endpoint, tls: {} }, () => {});
});

test("attempts that are aborted at any moment leave no socket open", async () => {
  await using server = await startServer();
  const endpoint: Endpoint = { kind: "tcp", hostname: server.host, port: server.port };
  const sockets = async () => (await readdir("/proc/self/fd")).length;
  const before = await sockets();
  for (let i = 0; i < 300; i++) {
    const controller = new AbortController();
    const dialling = nativeDial()(endpoint, { sink: new WatchfulSink(), signal: controller.signal });
    const timer = setTimeout(() => controller.abort(new Error("changed my mind")), i % 5 / 2);
    await dialling.then((transport) => transport.close(), () => {});
    clearTimeout(timer);
  }
  await until(async () => await sockets() <= before + 1, { what: "no more sockets than before" });
}, { ignore: platform !== "linux" || !await canStartServers() });

async function assertAbortLeavesNothing(peer: Peer): Promise<void> {
  await assertAborted(peer.endpoint(), () => {});
  const { transport, sink } = await open(peer.endpoint());
  transport.close();
  await sink.ended;
  for (let left = peer.accepted; left > 0; left--) await gone(await peer.accept());
}

test("an abort right after dialling rejects with its reason, and leaves no connection", async () => {
  await using peer = await listen();
  await assertAbortLeavesNothing(peer);
});

test("an abort right after dialling a unix socket rejects with its reason, and leaves no connection", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sea-"));
  try {
    await using peer = await listen({ path: join(folder, "socket") });
    await assertAbortLeavesNothing(peer);
  } finally {
    await rm(folder, { recursive: true });
  }
}, { ignore: !posix });

test("an abort while TCP waits for a reply rejects with its reason", async () => {
  await using server = await startServer({ args: ["--tcp-backlog", "1"] });
  await server.kill("SIGSTOP");
  const waiting = Array.from({ length: 4 }, () => connect(server.port, server.host).on("error", () => {}));
  try {
    await Promise.all(waiting.slice(0, 2).map((socket) => once(socket, "connect"))); // the queue is full now
    await assertAborted({ kind: "tcp", hostname: server.host, port: server.port }, () => Promise.resolve());
  } finally {
    for (const socket of waiting) socket.destroy();
    await Promise.all(waiting.map((socket) => socket.closed ? undefined : once(socket, "close")));
    await server.kill("SIGCONT");
  }
}, { ignore: platform !== "linux" || !(await canStartServers()) });

test("an abort while TLS waits for a reply rejects with its reason, and destroys the socket", async () => {
  await using peer = await listen();
  const accepted = peer.accept();
  await assertAborted(peer.endpoint({}), async () => {
    await once((await accepted).resume(), "data"); // the client's hello, without a reply
  });
  await gone(await accepted);
});

test("an abort after the transport is open has no effect", async () => {
  await using peer = await listen();
  const controller = new AbortController();
  const { transport, sink } = await open(peer.endpoint(), { signal: controller.signal });
  const socket = await peer.accept();
  controller.abort();
  socket.write("hello");
  await sink.until(5);
  transport.close();
  assertEquals([await sink.ended, sink.violations], [undefined, []]);
});

test("the running runtime is recognized by its own version, not by a global that may be a shim", () => {
  const shim = { version: { deno: "2.0.0" } };
  assertEquals(detectRuntime(), runtime);
  assertEquals(detectRuntime({ process: { versions: { node: "26.0.0" } }, Deno: shim }), "node");
  assertEquals(detectRuntime({ process: { versions: { node: "26.0.0", bun: "1.4.5" } } }), "bun");
  assertEquals(detectRuntime({ process: { versions: { node: "26.0.0", deno: "2.9.6" } }, Deno: shim }), "deno");
  assertEquals(detectRuntime({ Deno: shim }), "deno");
  assertEquals(detectRuntime({}), undefined);
});

test("without a suitable adapter, dialling is unsupported", async () => {
  const dialling = nativeDial({})({ kind: "tcp", hostname: "127.0.0.1", port: 1 }, {
    sink: new WatchfulSink(),
  });
  const error = await dialling.catch((error: unknown) => error);
  assertInstanceOf(error, TransportError);
  assertEquals<TransportErrorKind>(error.kind, "unsupported");
});

test("a dial that the runtime's permissions forbid is denied, without a prompt", async () => {
  await using peer = await listen();
  const flags = runtime === "deno" ? ["--deny-net"] : ["--permission", "--allow-fs-read=*"];
  assertEquals(await dialInChild(peer.endpoint(), { flags }), "denied");
  if (runtime === "deno") assertEquals(await dialInChild(peer.endpoint(), { flags: [] }), "denied");
  assertEquals(peer.accepted, 0);
}, { ignore: runtime === "bun" });
