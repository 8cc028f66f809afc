// Owns the proof that a streamer works over TLS and over unix sockets, and that a certificate in doubt is final.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { connect, type ConnectOptions, StreamerError } from "../mod.ts";
import { nextEvent } from "./support/events.ts";
import { uniqueKey } from "./support/keys.ts";
import { test } from "./support/runner.ts";
import { canStartServers, type OwnServer, startServer } from "./support/server.ts";
import { certificates } from "./support/tls.ts";
import { endingsOf, entriesOf } from "./streamer/producer/stream_checks.ts";

const ignore = !(await canStartServers());
const { ca, otherCa, server: identity, client, expired, wrongHost, untrusted } = await certificates();

/** Whether the server's binary can do TLS at all. */
async function tlsServer(
  options: { clientAuth?: boolean; cert?: { cert: string; key: string } } = {},
): Promise<OwnServer> {
  const { cert = identity, clientAuth = false } = options;
  return await startServer({ tls: { ca, ...cert, clientAuth } });
}

async function failure(url: string, options: ConnectOptions = {}): Promise<StreamerError> {
  return await assertRejects(() => connect(url, options), StreamerError);
}

async function sends(url: string, options: ConnectOptions, server: OwnServer): Promise<void> {
  await using streamer = await connect(url, options);
  const producer = await streamer.createProducer(uniqueKey());
  const payloads = Array.from({ length: 500 }, (_, i) => `${i} ${"x".repeat(i)}`);
  const endings = await endingsOf(payloads.map((payload) => [payload, producer.send(payload)]));
  assert(endings.every((ending) => "receipt" in ending));
  assertEquals((await entriesOf(server, producer.streamKey)).map(({ payload }) => payload), payloads);
}

test("messages go over TLS with an own authority, by address and by name", async () => {
  await using server = await tlsServer();
  await sends(server.url, { tls: { caCerts: [ca] } }, server);
  await sends(server.url, { tls: { caCerts: [otherCa, ca] } }, server);
  await sends(server.url.replace("127.0.0.1", "localhost"), { tls: { caCerts: [ca] } }, server);
}, { ignore });

test("a client's certificate is shown where the server wants one, and its lack is CONNECT", async () => {
  await using server = await tlsServer({ clientAuth: true });
  await sends(server.url, { tls: { caCerts: [ca], ...client } }, server);
  assertEquals((await failure(server.url, { tls: { caCerts: [ca] } })).code, "CONNECT");
}, { ignore });

test("a certificate that is not trusted, expired or another's is CONNECT, unless verification is off", async () => {
  const cases = [
    { cert: untrusted, tls: { caCerts: [ca] } },
    { cert: expired, tls: { caCerts: [ca] } },
    { cert: wrongHost, tls: { caCerts: [ca] } },
    { cert: identity, tls: {} }, // an authority that the system does not know
  ];
  for (const { cert, tls } of cases) {
    await using server = await tlsServer({ cert });
    assertEquals((await failure(server.url, { tls })).code, "CONNECT");
    await sends(server.url, { tls: { insecure: true } }, server);
  }
}, { ignore });

test("the name that is verified can be given", async () => {
  await using server = await tlsServer({ cert: wrongHost });
  await sends(server.url, { tls: { caCerts: [ca], serverName: "elsewhere.test" } }, server);
}, { ignore });

test("TLS spoken to a plain server, and the other way round, is CONNECT or TIMEOUT, never a hang", async () => {
  await using plain = await startServer();
  await using tls = await tlsServer();
  const options = { timeout: 1_000 };
  for (const url of [plain.url.replace("redis:", "rediss:"), tls.url.replace("rediss:", "redis:")]) {
    const { code } = await failure(url, options);
    assert(["CONNECT", "TIMEOUT"].includes(code), code);
  }
}, { ignore });

test("a TLS connection comes back after it was lost", async () => {
  await using server = await tlsServer();
  await using streamer = await connect(server.url, { tls: { caCerts: [ca] }, reconnect: { initialDelay: 5 } });
  const producer = await streamer.createProducer(uniqueKey());
  await producer.send("a");
  const lost = nextEvent(streamer, "disconnect");
  await server.restart();
  await lost;
  await producer.send("b");
}, { ignore });

test("a server that comes back with a certificate in doubt is not tried for ever: what waits rejects", async () => {
  await using server = await tlsServer();
  await using streamer = await connect(server.url, { tls: { caCerts: [ca] }, reconnect: { initialDelay: 5 } });
  const producer = await streamer.createProducer(uniqueKey());
  await producer.send("a");
  const { port } = server;
  const lost = nextEvent(streamer, "disconnect");
  await server.stop();
  await lost;
  await using _ = await startServer({ port, tls: { ca, ...untrusted } });
  const error = await assertRejects(() => Promise.resolve(producer.send("b")), StreamerError);
  assertEquals([error.code, error.outcome], ["CONNECT", "not-written"]);
}, { ignore });

test("messages go over a unix socket, also to another database and with a password", async () => {
  await using server = await startServer({ password: "p w/ü" });
  if (server.unixSocket === undefined) return; // this system or this server has none
  const url = `redis+unix://:${encodeURIComponent("p w/ü")}@${server.unixSocket}?db=2`;
  await using streamer = await connect(url);
  assertEquals(streamer.uri, `redis+unix://:***@${server.unixSocket}?db=2`);
  const producer = await streamer.createProducer(uniqueKey());
  await producer.send("a");
  assertEquals(await server.commands([["SELECT", 2], ["XLEN", producer.streamKey]]), ["OK", 1]);
  const lost = nextEvent<{ node: string }>(streamer, "disconnect");
  await server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  assertEquals((await lost).detail.node, server.unixSocket);
  await producer.send("b");
}, { ignore });
