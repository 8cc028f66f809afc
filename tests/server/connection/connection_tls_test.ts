// Tests a streamer over TLS and over unix sockets, and that a certificate that cannot be verified is final.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { connect, type ConnectOptions, StreamerError } from "../../../mod.ts";
import { nextEvent } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { canStartServers, type OwnServer, startServer } from "../../support/servers/server.ts";
import { certificates } from "../../support/network/tls.ts";
import { endingsOf, entriesOf } from "../../support/producer/stream_checks.ts";

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

test("messages are sent over TLS with a private authority, by address and by name", async () => {
  await using server = await tlsServer();
  await sends(server.url, { tls: { caCerts: [ca] } }, server);
  await sends(server.url, { tls: { caCerts: [otherCa, ca] } }, server);
  await sends(server.url.replace("127.0.0.1", "localhost"), { tls: { caCerts: [ca] } }, server);
}, { ignore });

test(
  "a client certificate is presented if the server wants one, and without it connect rejects with CONNECT",
  async () => {
    await using server = await tlsServer({ clientAuth: true });
    await sends(server.url, { tls: { caCerts: [ca], ...client } }, server);
    assertEquals((await failure(server.url, { tls: { caCerts: [ca] } })).code, "CONNECT");
  },
  { ignore },
);

test(
  "a certificate that is untrusted, expired or for another name is CONNECT, unless verification is off",
  async () => {
    const cases = [
      { cert: untrusted, tls: { caCerts: [ca] } },
      { cert: expired, tls: { caCerts: [ca] } },
      { cert: wrongHost, tls: { caCerts: [ca] } },
      { cert: identity, tls: {} }, // an authority that the system does not trust
    ];
    for (const { cert, tls } of cases) {
      await using server = await tlsServer({ cert });
      assertEquals((await failure(server.url, { tls })).code, "CONNECT");
      await sends(server.url, { tls: { insecure: true } }, server);
    }
  },
  { ignore },
);

test("the name to verify can be given", async () => {
  await using server = await tlsServer({ cert: wrongHost });
  await sends(server.url, { tls: { caCerts: [ca], serverName: "elsewhere.test" } }, server);
}, { ignore });

test("TLS to a plain server, and the reverse, is CONNECT or TIMEOUT, and never hangs", async () => {
  await using plain = await startServer();
  await using tls = await tlsServer();
  const options = { timeout: 1_000 };
  for (const url of [plain.url.replace("redis:", "rediss:"), tls.url.replace("rediss:", "redis:")]) {
    const { code } = await failure(url, options);
    assert(["CONNECT", "TIMEOUT"].includes(code), code);
  }
}, { ignore });

test("a lost TLS connection is restored", async () => {
  await using server = await tlsServer();
  await using streamer = await connect(server.url, { tls: { caCerts: [ca] }, reconnect: { initialDelay: 5 } });
  const producer = await streamer.createProducer(uniqueKey());
  await producer.send("a");
  const lost = nextEvent(streamer, "disconnect");
  await server.restart();
  await lost;
  await producer.send("b");
}, { ignore });

test("a server that returns with an invalid certificate is not retried forever: waiting calls reject", async () => {
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

test("messages are sent over a unix socket, also to another database and with a password", async () => {
  await using server = await startServer({ password: "p w/ü" });
  if (server.unixSocket === undefined) return; // not available in this system or this server
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
