// Tests `wait`: a server that is not up yet is retried like a lost one, and permanent errors still reject.

import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "@std/assert";
import { connect, StreamerError } from "../../../mod.ts";
import { handshake, startFakeServer } from "../../support/network/fake_server.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { canStartServers, startServer } from "../../support/servers/server.ts";
import { certificates } from "../../support/network/tls.ts";

const ignore = !(await canStartServers());
const reconnect = { initialDelay: 1, maxDelay: 20 };

test("a server that starts later is connected to", async () => {
  await using server = await startServer();
  await server.kill("SIGKILL");
  let asked = 0;
  const password = () => `${asked++}`; // any password is accepted: the server requires none from its default user
  const connecting = connect(server.url, { wait: true, reconnect, password });
  connecting.catch(() => {}); // judged below
  await until(() => asked >= 3);
  await server.restart();
  await using streamer = await connecting;
  const producer = await streamer.createProducer(uniqueKey());
  assert((await producer.send("x")).id);
}, { ignore });

test("a server that closes, sends nothing, is full or refuses for now is retried", async () => {
  await using fake = await startFakeServer(async (peer, index) => {
    if (index === 0) return await peer.cut();
    if (index === 1) return void await peer.serve({});
    if (index === 2) return void await peer.serve({ ...handshake, HELLO: "-LOADING Redis is loading\r\n" });
    if (index === 3) return await peer.send("-ERR max number of clients reached\r\n"), peer.end();
    await peer.serve(handshake);
  });
  await using _ = await connect(fake.url, { wait: true, reconnect, timeout: 500 });
  assert(fake.peers.length >= 5);
  for (const peer of fake.peers.slice(0, 4)) await peer.closed;
});

test("an unknown host name is retried, until a signal ends the wait with its reason", async () => {
  const controller = new AbortController();
  const reason = new Error("changed my mind");
  let calls = 0;
  const password = () => {
    if (++calls === 3) controller.abort(reason);
    return "x";
  };
  const options = { wait: true, reconnect, password, signal: controller.signal };
  assertStrictEquals(await assertRejects(() => connect("redis://no-such-host.invalid", options)), reason);
});

test("a signal ends the pause between two attempts", async () => {
  const controller = new AbortController();
  await using fake = await startFakeServer((peer) => peer.cut());
  const options = { wait: true, reconnect: { initialDelay: 60_000 }, signal: controller.signal };
  const connecting = connect(fake.url, options);
  connecting.catch(() => {}); // judged below
  await until(() => fake.peers.length === 1);
  await fake.peers[0].closed;
  const reason = new Error("changed my mind");
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => connecting), reason);
});

test("when the attempts run out: DISCONNECTED, with the last failure as its cause", async () => {
  await using fake = await startFakeServer((peer) => peer.cut());
  for (const maxAttempts of [0, 3]) {
    const before = fake.peers.length;
    const options = { wait: true, reconnect: { ...reconnect, maxAttempts } };
    const error = await assertRejects(() => connect(fake.url, options), StreamerError);
    assertEquals([error.code, fake.peers.length - before], ["DISCONNECTED", 1 + maxAttempts]);
    assertInstanceOf(error.cause, StreamerError);
    assertEquals(error.cause.code, "CONNECT");
  }
});

test("a wrong password, a missing one and a refused database still reject, in one attempt", async () => {
  const answers = [
    [{ HELLO: "-WRONGPASS invalid username-password pair or user is disabled.\r\n" }, "AUTH"],
    [{ HELLO: "-NOAUTH HELLO must be called with the client already authenticated\r\n" }, "AUTH"],
    [{ SELECT: "-ERR DB index is out of range\r\n" }, "CONNECT"],
    [{ HELLO: "-NOPROTO unsupported protocol version\r\n" }, "CONNECT"],
  ] as const;
  for (const [answer, code] of answers) {
    await using fake = await startFakeServer(async (peer) => void await peer.serve({ ...handshake, ...answer }));
    const options = { wait: true, reconnect, db: 9, protocol: 3 } as const;
    const error = await assertRejects(() => connect(fake.url, options), StreamerError);
    assertEquals([error.code, fake.peers.length], [code, 1]);
  }
});

test("an untrusted certificate still rejects, in one attempt", async () => {
  const { ca, server: identity } = await certificates();
  await using server = await startServer({ tls: { ca, ...identity } });
  const error = await assertRejects(() => connect(server.url, { wait: true, reconnect }), StreamerError);
  assertEquals(error.code, "CONNECT");
}, { ignore });

test("without it the first failure rejects", async () => {
  for (const options of [{}, { wait: false }]) {
    await using fake = await startFakeServer((peer) => peer.cut());
    const error = await assertRejects(() => connect(fake.url, { ...options, reconnect }), StreamerError);
    assertEquals([error.code, fake.peers.length], ["CONNECT", 1]);
  }
});
