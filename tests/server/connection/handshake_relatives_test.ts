// Tests the handshake with servers and proxies that differ from Redis, and the options for them: `protocol` and
// `clientInfo`.

import { assert, assertEquals, assertInstanceOf, assertRejects, assertStringIncludes } from "@std/assert";
import { connect, type ConnectOptions, RedisError, StreamerError } from "../../../mod.ts";
import { FakeRedis } from "../../support/producer/fake_redis.ts";
import { addMany, blockedClient, takeTexts, texts } from "../../support/consumer/reading.ts";
import { type Answers, handshake, HELLO3, NO_HELLO, startFakeServer } from "../../support/network/fake_server.ts";
import { startFilterServer } from "../../support/network/filter_server.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer, startServer } from "../../support/servers/server.ts";

const server = await sharedServer();

/** The reply of Kvrocks to HELLO 3 while RESP3 is switched off: an array, and protocol 2. */
const HELLO2 = "*6\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:2\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n";
const NOAUTH = "-NOAUTH Authentication required.\r\n";

/** Connects to a scripted server. Returns the commands of the first connection, and the result of connect. */
async function greet(answers: Answers, options: ConnectOptions = {}) {
  await using fake = await startFakeServer(async (peer) => void await peer.serve({ ...handshake, ...answers }));
  const end = await connect(fake.url, options).then(async (streamer) => {
    await streamer.disconnect();
    return undefined;
  }, (error: unknown) => error);
  const said = fake.peers[0]?.commands.map((words) => words.join(" ")) ?? [];
  return { said, end, attempts: fake.peers.length };
}

/** The replies of Envoy: only AUTH is accepted before AUTH, and neither HELLO nor CLIENT after it. */
function envoy(accepts: (words: readonly string[]) => string): Answers {
  let authenticated = false;
  const guarded = (answer: string) => () => authenticated ? answer : NOAUTH;
  return {
    HELLO: guarded("-unsupported command 'HELLO'\r\n"),
    CLIENT: guarded("-unsupported command 'CLIENT'\r\n"),
    SELECT: guarded("+OK\r\n"),
    AUTH: (words) => {
      const answer = accepts(words);
      authenticated = answer === "+OK\r\n";
      return answer;
    },
  };
}

test("a server that replies to HELLO 3 with an array and protocol 2 is used with RESP2, and its identity is known", async () => {
  await using redis = await FakeRedis.start({
    answers: { HELLO: HELLO2 },
    judge: (xadd, fake) => fake.added.length === 1 ? xadd.cut() : fake.store(xadd),
  });
  await using streamer = await connect(redis.url, { db: 3, reconnect: { initialDelay: 1 } });
  const producer = await streamer.createProducer("k");
  await producer.send("x");
  assertEquals(redis.payloads("k"), ["x"]);
  assertEquals(redis.kills.length, 1, "the lost connection was killed by its identity");
  const said = redis.server.peers[0].commands.map((words) => words.join(" "));
  assert(said.includes("SELECT 3"));
  assertEquals(said.filter((words) => words.startsWith("HELLO")), ["HELLO 3"], "queried once");
});

test("credentials that such a server accepted with HELLO are not sent again", async () => {
  const { said, end } = await greet({ HELLO: HELLO2 }, { username: "app", password: "secret", clientName: "orders-7" });
  assertEquals(end, undefined);
  assertEquals(said[0], "HELLO 3 AUTH app secret SETNAME orders-7");
  assert(!said.some((words) => words.startsWith("AUTH")));
});

test("a server that replies to HELLO 3 with a protocol other than 2 and 3 is refused", async () => {
  const { end } = await greet({ HELLO: HELLO2.replace(":2", ":4") });
  assertInstanceOf(end, StreamerError);
  assertEquals(end.code, "CONNECT");
});

test("a proxy that replies to HELLO with NOAUTH although it had a password gets AUTH, and then RESP2", async () => {
  const users: [ConnectOptions, string][] = [
    [{ password: "secret" }, "AUTH secret"],
    [{ username: "app", password: "secret" }, "AUTH app secret"],
    [{ username: () => "app", password: () => Promise.resolve("secret") }, "AUTH app secret"],
  ];
  for (const [options, words] of users) {
    const { said, end } = await greet(envoy(() => "+OK\r\n"), { ...options, db: 2 });
    assertEquals(end, undefined);
    assertEquals(said.filter((one) => one.startsWith("AUTH")), [words]);
    assert(said.lastIndexOf("SELECT 2") > said.indexOf(words), "selected once more, now that it is allowed");
  }
});

test("such a proxy without a password, or with a wrong one: AUTH with its text, in one attempt", async () => {
  const noPassword = await greet(envoy(() => "+OK\r\n"));
  const wrong = await greet(envoy(() => "-ERR invalid password\r\n"), { password: "secret" });
  for (const { end, attempts } of [noPassword, wrong]) {
    assertInstanceOf(end, StreamerError);
    assertEquals([end.code, attempts], ["AUTH", 1]);
    assertInstanceOf(end.cause, RedisError);
  }
  assert(!noPassword.said.some((words) => words.startsWith("AUTH")));
});

test("the user named default is authenticated by the password alone if the server does not support names", async () => {
  for (
    const refusal of ["-ERR wrong number of arguments for 'auth' command\r\n", "-ERR no username-password pair\r\n"]
  ) {
    const options = { username: "default", password: "secret" };
    const AUTH = (words: string[]) => words.length > 2 ? refusal : "+OK\r\n";
    for (const answers of [{ HELLO: NO_HELLO, AUTH }, envoy((words) => AUTH([...words]))]) {
      const { said, end } = await greet(answers, options);
      assertEquals(end, undefined);
      assertEquals(said.filter((words) => words.startsWith("AUTH")), ["AUTH default secret", "AUTH secret"]);
    }
  }
});

test("another user than default is never authenticated by the password alone, nor is a refused default user", async () => {
  const arity = { HELLO: NO_HELLO, AUTH: "-ERR wrong number of arguments for 'auth' command\r\n" };
  const wrong = { HELLO: NO_HELLO, AUTH: "-WRONGPASS invalid username-password pair\r\n" };
  for (const [answers, username] of [[arity, "app"], [wrong, "default"]] as const) {
    const { said, end } = await greet(answers, { username, password: "secret" });
    assertInstanceOf(end, StreamerError);
    assertEquals(end.code, "AUTH");
    assertEquals(said.filter((words) => words.startsWith("AUTH")), [`AUTH ${username} secret`]);
  }
});

test("protocol 2 sends no HELLO, and separate commands for everything else", async () => {
  const options = { protocol: 2, username: "app", password: "secret", db: 3, clientName: "orders-7" } as const;
  const { said, end } = await greet({ HELLO: HELLO3 }, options);
  assertEquals(end, undefined);
  assertEquals(said[0], "AUTH app secret");
  for (const words of ["SELECT 3", "CLIENT SETNAME orders-7", "CLIENT INFO"]) assert(said.includes(words), words);
  assert(said.some((words) => words.startsWith("CLIENT SETINFO LIB-NAME")));
  assert(!said.some((words) => words.startsWith("HELLO")));
});

test("protocol 2 detects a server that wants a password, is full, or is protected", async () => {
  const refusals: [string, string][] = [
    ["-NOAUTH Authentication required.\r\n", "AUTH"],
    ["-DENIED Redis is running in protected mode because of this.\r\n", "CONNECT"],
    ["-ERR max number of clients reached\r\n", "CONNECT"],
  ];
  for (const [text, code] of refusals) {
    const all = { HELLO: text, CLIENT: text, PING: text, SELECT: text };
    const ways: ConnectOptions[] = [{}, { db: 1 }, { clientInfo: false }, { clientInfo: false, db: 1 }];
    for (const options of ways) {
      const { end } = await greet(all, { protocol: 2, ...options });
      assertInstanceOf(end, StreamerError);
      assertEquals(end.code, code, `${text} ${JSON.stringify(options)}`);
      assertInstanceOf(end.cause, RedisError);
    }
  }
  const full = await greet({ AUTH: "-ERR max number of clients reached\r\n" }, { protocol: 2, password: "secret" });
  assertEquals(Reflect.get(Object(full.end), "code"), "CONNECT", "that is no wrong password");
});

test("protocol 3 with a server that does not support it: CONNECT with its text, after one attempt", async () => {
  const answers: Answers[] = [
    { HELLO: "-NOPROTO unsupported protocol version\r\n" },
    { HELLO: NO_HELLO },
    { HELLO: HELLO2 },
    envoy(() => "+OK\r\n"),
  ];
  for (const answer of answers) {
    const { end, attempts, said } = await greet(answer, { protocol: 3, password: "secret" });
    assertInstanceOf(end, StreamerError);
    assertEquals([end.code, attempts], ["CONNECT", 1]);
    assertStringIncludes(end.message, "RESP3");
    if (answer.HELLO !== HELLO2) assertInstanceOf(end.cause, RedisError);
    assert(!said.some((words) => words.startsWith("AUTH")));
  }
  assertEquals((await greet({}, { protocol: 3 })).end, undefined);
});

test("a server that supports only RESP2 after a restart ends a streamer with protocol 3", async () => {
  let hello: string = HELLO3;
  await using redis = await FakeRedis.start({ answers: { HELLO: () => hello } });
  await using streamer = await connect(redis.url, { protocol: 3, reconnect: { initialDelay: 1 } });
  const producer = await streamer.createProducer("k");
  await producer.send("x");
  let lost = 0;
  streamer.addEventListener("disconnect", () => lost++);
  hello = HELLO2;
  for (const peer of redis.server.peers) await peer.cut();
  await until(() => lost === 2); // the streamer's own connection and the producer's
  const error = await assertRejects(() => Promise.resolve(producer.send("y")), StreamerError);
  assertEquals([error.code, error.outcome], ["CONNECT", "not-written"]);
});

for (const protocol of [2, 3, "auto"] as const) {
  test(`a real server with protocol ${protocol}: messages are sent, read, acknowledged and counted`, async () => {
    const key = uniqueKey();
    await using streamer = await connect(server.url, { protocol });
    const producer = await streamer.createProducer(key);
    await producer.send("one", { headers: { kind: "paid" } });
    await using consumer = await streamer.createConsumer(key, {
      ...{ mode: "resumable", group: "g", consumerId: "me", autoCommit: "disabled", autoStreamReset: "earliest" },
    });
    const message = await consumer.next();
    assertEquals([message.text(), message.headers.get("kind")], ["one", "paid"]);
    consumer.ack(message);
    await consumer.commit();
    const [group] = (await (await streamer.createManager()).info(key)).groups;
    assertEquals([group.pending, group.lastDeliveredId], [0, message.id]);
  });
}

test("protocol 2 with a user and a password of a real server", async () => {
  await using guarded = await startServer({ password: "secret" });
  const url = `redis://127.0.0.1:${guarded.port}`;
  const users: ConnectOptions[] = [{ password: "secret" }, { username: "default", password: "secret" }];
  for (const options of users) await (await connect(url, { protocol: 2, ...options })).disconnect();
  for (const options of [{}, { password: "wrong" }, { clientInfo: false }]) {
    const error = await assertRejects(() => connect(url, { protocol: 2, ...options }), StreamerError);
    assertEquals(error.code, "AUTH");
  }
});

test("with clientInfo: false no CLIENT command is ever sent, and the fence waits instead", async () => {
  let cuts = 0;
  await using redis = await FakeRedis.start({
    answers: { CLIENT: "-ERR this must not be sent\r\n" },
    judge: (xadd, fake) => cuts++ === 0 ? xadd.cut() : fake.store(xadd),
  });
  await using streamer = await connect(redis.url, { clientInfo: false, reconnect: { initialDelay: 1 } });
  const fences: { node: string; cause: unknown }[] = [];
  streamer.addEventListener("fence-unavailable", ({ detail }) => fences.push(detail));
  const producer = await streamer.createProducer("k");
  assertEquals((await producer.send("x")).streamKey, "k");
  assertEquals(redis.payloads("k"), ["x"]);
  assertEquals(fences.length, 1);
  assertInstanceOf(fences[0].cause, StreamerError);
  const said = redis.server.peers.flatMap(({ commands }) => commands.map(([name]) => name.toUpperCase()));
  assert(said.includes("HELLO"));
  assert(!said.includes("CLIENT"));
});

test("behind a proxy that closes on HELLO and CLIENT, groups and plain consumers read, move and end", async () => {
  const seen: string[] = [];
  await using proxy = await startFilterServer(() => server.address, (words) => {
    const name = words[0].toUpperCase();
    seen.push(name);
    return ["HELLO", "CLIENT"].includes(name) ? "cut" : "pass";
  });
  const refused = await assertRejects(() => connect(proxy.url), StreamerError);
  assertEquals(refused.code, "CONNECT");
  assertEquals((await assertRejects(() => connect(proxy.url, { protocol: 2 }), StreamerError)).code, "CONNECT");
  seen.length = 0;
  const reconnect = { initialDelay: 5, maxDelay: 50 };
  await using streamer = await connect(proxy.url, { protocol: 2, clientInfo: false, reconnect });
  const key = uniqueKey();
  await addMany(server, `${key}:0`, 3, "a");
  await addMany(server, `${key}:1`, 3, "b");
  const free = await streamer.createConsumer(key, { mode: "real-time", shards: [0] });
  const asked = free.next();
  await until(() => seen.includes("XREAD"));
  await free.rewind("beginning"); // the blocked read has to end
  assertEquals([(await asked).text(), ...await takeTexts(free, 2)], texts(3, "a"));
  const grouped = await streamer.createConsumer(key, {
    ...{ mode: "resumable", group: "g", consumerId: "me", autoStreamReset: "earliest", shards: [0] },
  });
  assertEquals(await takeTexts(grouped, 3), texts(3, "a"));
  const next = grouped.next();
  await grouped.assign(key, 1);
  assertEquals([(await next).text(), ...await takeTexts(grouped, 2)], texts(3, "b"));
  await grouped.end();
  await streamer.disconnect();
  assert(!seen.includes("HELLO") && !seen.includes("CLIENT"));
});

test("with CLIENT commands a name is set and connections identify themselves; without them they do not", async () => {
  const name = uniqueKey("client");
  const key = uniqueKey();
  await using streamer = await connect(server.url, { protocol: 2, clientName: name });
  await using consumer = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  const asked = consumer.next();
  const blocked = await blockedClient(server, name);
  await consumer.rewind("end"); // by CLIENT UNBLOCK, so that the connection stays
  assertEquals(await blockedClient(server, name), blocked);
  await addMany(server, key, 1, "x");
  assertEquals((await asked).text(), "x0");
});
