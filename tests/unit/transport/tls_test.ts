// Tests that TLS carries bytes like TCP, and that only requested authorities are trusted.

import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TLSSocket } from "node:tls";
import { nativeDial } from "../../../resp/transport/dial.ts";
import { type Endpoint, type TlsOptions, TransportError } from "../../../resp/transport/transport.ts";
import { runtime, test } from "../../support/runner.ts";
import { canStartServers, startServer } from "../../support/servers/server.ts";
import { certificates } from "../../support/network/tls.ts";
import { dialInChild, gone, hashOf, listen, noise, open, type Peer, readAll, send, WatchfulSink } from "./peers.ts";

const MIB = 1024 * 1024;
const made = await certificates();
const { ca, otherCa, server, client, expired, wrongHost, untrusted } = made;
const trusting: TlsOptions = { caCerts: [ca] };

/** Dials in vain. Resolves to the kind of the error. No byte may have reached the sink. */
async function refusal(endpoint: Endpoint): Promise<string> {
  const sink = new WatchfulSink();
  const error = await assertRejects(() => nativeDial()(endpoint, { sink }), TransportError);
  assertEquals([sink.ends, sink.count, sink.violations], [[], 0, []]);
  return error.kind;
}

/** Dials, and if that succeeds waits for the end: a server may refuse a client after the handshake. */
async function refusalOrEnd(endpoint: Endpoint): Promise<string> {
  const sink = new WatchfulSink();
  const cause = await nativeDial()(endpoint, { sink }).then(() => sink.ended, (error: unknown) => error);
  assertInstanceOf(cause, TransportError);
  assertEquals(sink.violations, []);
  return cause.kind;
}

/** The name of the client's hello; `servername` is not in the types. */
function nameSentBy(socket: object): string | undefined {
  return "servername" in socket && typeof socket.servername === "string" ? socket.servername : undefined;
}

/** Dials with success. Resolves to the other side's socket. */
async function assertOpens(peer: Peer, tls: TlsOptions, hostname = "127.0.0.1"): Promise<Socket> {
  const { transport, sink } = await open({ kind: "tcp", hostname, port: peer.port, tls });
  const socket = await peer.accept();
  transport.close();
  assertEquals([await sink.ended, sink.violations], [undefined, []]);
  return socket;
}

for (const [room, count] of [[1, 50_000], [1_000, 2 * MIB], [65_536, 16 * MIB]]) {
  test(`${count} bytes arrive over TLS in order in buffers of ${room}`, async () => {
    await using peer = await listen({ tls: server });
    const { transport, sink } = await open(peer.endpoint(trusting), { room });
    const socket = await peer.accept();
    const bytes = noise(count, room);
    socket.end(bytes);
    assertEquals(await sink.ended, undefined);
    assertEquals([sink.count, sink.digest()], [count, hashOf(bytes)]);
    assertEquals([sink.violations, sink.ends.length], [[], 1]);
    transport.close();
  });
}

test("a write over TLS to a peer that does not read is a promise, which resolves when it has read", async () => {
  await using peer = await listen({ tls: server });
  const { transport, sink } = await open(peer.endpoint(trusting));
  const socket = await peer.accept();
  const bytes = noise(64 * MIB);
  const written = transport.write(bytes);
  assertInstanceOf(written, Promise);
  let settled = false;
  written.then(() => settled = true);
  await send(socket, "still here");
  await sink.until(10);
  assertEquals(settled, false);
  const read = readAll(socket);
  await written;
  transport.close();
  assertEquals(await read, { count: bytes.length, hash: hashOf(bytes) });
  assertEquals([sink.violations, await sink.ended], [[], undefined]);
});

test("concurrent traffic in both directions over TLS is independent", async () => {
  await using peer = await listen({ tls: server });
  const { transport, sink } = await open(peer.endpoint(trusting), { room: 10_000 });
  const socket = await peer.accept();
  const [there, back] = [noise(16 * MIB, 2), noise(16 * MIB, 3)];
  const read = readAll(socket);
  const sent = send(socket, back);
  for (let from = 0, size = 1; from < there.length; from += size, size = size * 7 % 99_991) {
    await transport.write(there.subarray(from, from + size));
  }
  await Promise.all([sent, sink.until(back.length)]);
  transport.close();
  assertEquals(await read, { count: there.length, hash: hashOf(there) });
  assertEquals([sink.digest(), sink.violations, await sink.ended], [hashOf(back), [], undefined]);
});

test("close while a write over TLS waits settles its promise", async () => {
  await using peer = await listen({ tls: server });
  const { transport, sink } = await open(peer.endpoint(trusting));
  await peer.accept();
  const written = transport.write(noise(64 * MIB));
  assertInstanceOf(written, Promise);
  transport.close();
  await written;
  assertEquals([await sink.ended, sink.ends.length, sink.violations], [undefined, 1, []]);
});

test("a TLS peer whose connection breaks is an end, and a waiting write settles", async () => {
  await using peer = await listen({ tls: server });
  const { transport, sink } = await open(peer.endpoint(trusting));
  const written = transport.write(noise(64 * MIB));
  assertInstanceOf(written, Promise);
  (await peer.accept()).destroy();
  await written;
  await sink.ended;
  assertEquals([sink.ends.length, sink.violations], [1, []]);
});

test("close over TLS is an end that the other side sees", async () => {
  await using peer = await listen({ tls: server });
  const { transport, sink } = await open(peer.endpoint(trusting));
  const socket = await peer.accept();
  transport.close();
  transport.close();
  assertEquals(sink.ends, []);
  await gone(socket);
  assertEquals([await sink.ended, sink.ends.length, sink.violations], [undefined, 1, []]);
});

test("a server of a trusted authority is verified by address and by name", async () => {
  await using peer = await listen({ tls: server });
  await assertOpens(peer, trusting);
  await assertOpens(peer, trusting, "localhost");
  await assertOpens(peer, { caCerts: [otherCa, ca] });
});

test("the given name is verified and sent, whatever host is dialled", async () => {
  await using peer = await listen({ tls: wrongHost });
  const named = await assertOpens(peer, { ...trusting, serverName: "elsewhere.test" });
  assertEquals(nameSentBy(named), "elsewhere.test");
  assertEquals(await refusal(peer.endpoint({ ...trusting, serverName: "another.test" })), "certificate");
});

test("a host's name is sent, an address is not", async () => {
  await using peer = await listen({ tls: server });
  assertEquals(nameSentBy(await assertOpens(peer, trusting, "localhost")), "localhost");
  assertEquals(nameSentBy(await assertOpens(peer, trusting)), undefined);
});

test("an address may be the name that is verified", async () => {
  await using peer = await listen({ tls: server });
  await assertOpens(peer, { ...trusting, serverName: "127.0.0.1" }, "localhost");
  assertEquals(await refusal(peer.endpoint({ ...trusting, serverName: "127.0.0.2" })), "certificate");
});

test("a certificate for another host, expired, or of an unknown authority is refused, and its bytes are not seen", async () => {
  for (const [name, tls] of Object.entries({ wrongHost, expired, untrusted })) {
    await using peer = await listen({ tls });
    peer.accept().then((socket) => socket.write("+OK\r\n")); // it sends first, if the handshake succeeds
    assertEquals(await refusal(peer.endpoint(trusting)), "certificate", name);
  }
});

test("without given authorities a connection trusts those of the runtime, and not a test's", async () => {
  await using peer = await listen({ tls: server });
  assertEquals(await refusal(peer.endpoint({})), "certificate");
});

test("given authorities replace the runtime's own", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sea-"));
  try {
    const file = join(folder, "ca.pem");
    await writeFile(file, ca);
    const options = runtime === "deno"
      ? { flags: ["--allow-all", "--cert", file] }
      : { variables: { NODE_EXTRA_CA_CERTS: file } };
    await using peer = await listen({ tls: server });
    assertEquals(await dialInChild(peer.endpoint({}), options), "open"); // the runtime's own hold `ca` in that process
    assertEquals(await dialInChild(peer.endpoint({ caCerts: [otherCa] }), options), "certificate");
    assertEquals(await dialInChild(peer.endpoint({ serverName: "elsewhere.test" }), options), "certificate");
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("no environment variable switches the verification off", async () => {
  await using peer = await listen({ tls: untrusted });
  const flags = runtime === "deno" ? ["--allow-all"] : [];
  const variables = { NODE_TLS_REJECT_UNAUTHORIZED: "0" };
  assertEquals(await dialInChild(peer.endpoint({}), { flags, variables }), "certificate");
  assertEquals(await dialInChild(peer.endpoint(trusting), { flags, variables }), "certificate");
});

test("insecure accepts any certificate, and only insecure does", async () => {
  for (const [name, tls] of Object.entries({ wrongHost, expired, untrusted })) {
    await using peer = await listen({ tls });
    const { transport, sink } = await open(peer.endpoint({ caCerts: [ca], insecure: true }));
    (await peer.accept()).write("+OK\r\n");
    await sink.until(5);
    transport.close();
    assertEquals([await sink.ended, sink.violations], [undefined, []], name);
    assertEquals(await refusal(peer.endpoint({ caCerts: [ca], insecure: false })), "certificate", name);
  }
});

test("a client's certificate is sent to a server that wants one", async () => {
  await using peer = await listen({ tls: { ...server, ca, requestCert: true, rejectUnauthorized: true } });
  const { transport, sink } = await open(peer.endpoint({ ...trusting, ...client }));
  const socket = await peer.accept();
  assertInstanceOf(socket, TLSSocket);
  assertEquals(socket.getPeerCertificate().subject.CN, "client");
  transport.close();
  assertEquals([await sink.ended, sink.violations], [undefined, []]);
});

test("a server of TLS 1.2 without the client's certificate fails the dial", async () => {
  await using peer = await listen({
    tls: { ...server, ca, requestCert: true, rejectUnauthorized: true, maxVersion: "TLSv1.2" },
  });
  await assertOpens(peer, { ...trusting, ...client });
  const kind = await refusal(peer.endpoint(trusting));
  // TLS 1.2 has no alert of its own for it: the server reports a general failure of the handshake.
  assert(kind === "certificate" || kind === "tls", kind);
});

test("a real server that wants a client's certificate accepts the right one and refuses the others", async () => {
  await using redis = await startServer({ tls: { ca, ...server, clientAuth: true } });
  const endpoint = (tls: TlsOptions): Endpoint => ({ kind: "tcp", hostname: redis.host, port: redis.port, tls });
  const { transport, sink } = await open(endpoint({ ...trusting, ...client }));
  await transport.write(new TextEncoder().encode("PING\r\n"));
  await sink.until(7);
  transport.close();
  assertEquals([await sink.ended, sink.violations], [undefined, []]);
  assertEquals(await refusalOrEnd(endpoint(trusting)), "certificate");
  assertEquals(await refusalOrEnd(endpoint({ ...trusting, ...untrusted })), "certificate");
}, { ignore: !(await canStartServers()) });

test("invalid options are refused before a connection is opened", async () => {
  await using peer = await listen({ tls: server });
  const wrong: Record<string, TlsOptions> = {
    "a certificate without its key": { ...trusting, cert: client.cert },
    "a key without its certificate": { ...trusting, key: client.key },
    "no authority": { caCerts: [] },
    "an invalid certificate": { ...trusting, cert: "none", key: client.key },
    "an invalid key": { ...trusting, cert: client.cert, key: "none" },
    "the key of another certificate": { ...trusting, cert: client.cert, key: server.key },
  };
  for (const [name, tls] of Object.entries(wrong)) {
    assertEquals(await refusal(peer.endpoint(tls)), "certificate", name);
  }
  assertEquals(peer.accepted, 0);
});

test("an invalid authority trusts no server", async () => {
  await using peer = await listen({ tls: server });
  assertEquals(await refusal(peer.endpoint({ caCerts: ["none"] })), "certificate");
});

test("a server without TLS is reported as such, whichever side sends first", async () => {
  for (const speaksFirst of [true, false]) {
    await using peer = await listen();
    const answer = peer.accept().then(async (socket) => {
      if (!speaksFirst) await once(socket.resume(), "data");
      socket.write("-ERR unknown command\r\n");
    });
    assertEquals(await refusal(peer.endpoint(trusting)), "tls");
    await answer;
  }
});

test("a server that closes during the handshake does not use TLS", async () => {
  await using peer = await listen();
  const answer = peer.accept().then(async (socket) => {
    await once(socket.resume(), "data");
    socket.end();
  });
  assertEquals(await refusal(peer.endpoint(trusting)), "tls");
  await answer;
});
