// Tests credentials that change: functions that are called at each connection attempt, and the fate of connections if
// the functions fail, are late, or return refused values.

import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "@std/assert";
import { connect, type ConnectOptions, RedisError, StreamerError } from "../../../mod.ts";
import { FakeRedis } from "../../support/producer/fake_redis.ts";
import { nextEvent, until } from "../../support/events.ts";
import { HELLO3 as HELLO, startFakeServer } from "../../support/network/fake_server.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const reconnect = { initialDelay: 1, maxDelay: 20 };
const WRONGPASS = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";

/** Values that a function without types may return. */
function untyped(value: unknown): () => string {
  return () => value as string; // as: see above
}

/** The first command of each connection to a scripted server, without its name. */
function hellos(redis: FakeRedis): string[] {
  return redis.server.peers.map(({ commands }) => commands[0]?.slice(2).join(" "));
}

test("each connection calls the functions once and is authenticated with their values", async () => {
  let calls = 0;
  await using redis = await FakeRedis.start();
  const options: ConnectOptions = {
    username: () => `user-${calls}`,
    password: () => Promise.resolve(`token-${++calls}`),
  };
  await using streamer = await connect(redis.url, options);
  const producers = [await streamer.createProducer("a"), await streamer.createProducer("b")];
  await Promise.all(producers.map((producer) => producer.send("x")));
  assertEquals(calls, 3);
  assertEquals(hellos(redis).sort(), ["AUTH user-0 token-1", "AUTH user-1 token-2", "AUTH user-2 token-3"]);
});

test("either may be a function; they override the URL, and are called without arguments", async () => {
  const ways: [string, ConnectOptions, string][] = [
    ["x:y@", { password: () => "token" }, "AUTH x token"],
    ["x:y@", { username: () => "app" }, "AUTH app y"],
    ["", { username: "app", password: () => "token" }, "AUTH app token"],
    ["", { password: () => "token" }, "AUTH default token"],
    ["", { password: (...given: unknown[]) => `${given.length}` }, "AUTH default 0"],
  ];
  for (const [userinfo, options, words] of ways) {
    await using redis = await FakeRedis.start();
    await using _ = await connect(redis.url.replace("://", `://${userinfo}`), options);
    assertEquals(hellos(redis), [words]);
  }
});

test("expiring tokens of a real server: producers, consumers and commands reconnect with the new one", async () => {
  const user = uniqueKey("user");
  let token = "token-1";
  const rotate = async (next: string) => {
    await server.command("ACL", "SETUSER", user, "resetpass", `>${next}`);
    token = next;
    await server.command("CLIENT", "KILL", "USER", user);
  };
  await server.command("ACL", "SETUSER", user, "on", ">token-1", "~*", "&*", "+@all");
  await using streamer = await connect(server.url, { username: user, password: () => token, reconnect });
  const key = uniqueKey();
  const producer = await streamer.createProducer(key);
  const free = await streamer.createConsumer(key, { mode: "real-time" });
  const grouped = await streamer.createConsumer(key, { mode: "resumable", group: "g", consumerId: "me" });
  const manager = await streamer.createManager();
  const tokens = ["token-2", "token-3", "token-4"];
  for (const text of tokens) {
    await rotate(text);
    await producer.send(text);
    const messages = await Promise.all([free.next(), grouped.next()]);
    assertEquals(messages.map((message) => message.text()), [text, text]);
    assertEquals(await manager.length(key), tokens.indexOf(text) + 1);
  }
  await streamer.disconnect();
  await server.command("ACL", "DELUSER", user);
});

for (const kind of ["throws", "rejects"] as const) {
  test(`a function that ${kind} at the first connect: AUTH with that as the cause, and nothing is dialled`, async () => {
    await using fake = await startFakeServer(() => {});
    const cause = new Error("the vault is sealed");
    const fail = kind === "throws"
      ? () => {
        throw cause;
      }
      : () => Promise.reject(cause);
    for (
      const options of [{ password: fail }, { username: fail, password: "secret" }, { username: fail, password: fail }]
    ) {
      const error = await assertRejects(() => connect(fake.url, options), StreamerError);
      assertEquals(error.code, "AUTH");
      assertStrictEquals(error.cause, cause);
    }
    assertEquals(fake.peers.length, 0);
  });
}

test("a function that does not return a string: AUTH, with a cause that names the option and not the value", async () => {
  await using fake = await startFakeServer(() => {});
  for (const value of [undefined, null, 7, ["Canary-7f3a"], { toString: () => "Canary-7f3a" }]) {
    for (const name of ["username", "password"]) {
      const options: ConnectOptions = { password: "secret", [name]: untyped(value) };
      const error = await assertRejects(() => connect(fake.url, options), StreamerError);
      assertEquals(error.code, "AUTH");
      assertInstanceOf(error.cause, StreamerError);
      assertEquals(error.cause.code, "INVALID_OPTION");
      for (const { message } of [error, error.cause]) {
        assert(message.includes(`'${name}'`) && !message.includes("Canary"));
      }
    }
  }
  assertEquals(fake.peers.length, 0);
});

test("a function that does not return within the timeout: TIMEOUT; its late result is ignored", async () => {
  await using fake = await startFakeServer(() => {});
  const late = Promise.withResolvers<string>();
  const error = await assertRejects(
    () => connect(fake.url, { timeout: 30, password: () => late.promise }),
    StreamerError,
  );
  assertEquals(error.code, "TIMEOUT");
  late.reject(new Error("too late")); // must not be an unhandled rejection
  await late.promise.catch(() => {});
  assertEquals(fake.peers.length, 0);
});

test("a signal ends the wait for a function with its reason", async () => {
  const controller = new AbortController();
  const reason = new Error("changed my mind");
  const password = () => {
    queueMicrotask(() => controller.abort(reason));
    return new Promise<string>(() => {});
  };
  const error = await assertRejects(() => connect("redis://127.0.0.1:1", { password, signal: controller.signal }));
  assertStrictEquals(error, reason);
});

test("a wrong password of a function rejects the first connect: AUTH", async () => {
  for (const wait of [false, true]) {
    let calls = 0;
    const password = () => `wrong-${++calls}`;
    const error = await assertRejects(() => connect(server.url, { username: "nobody", password, wait }), StreamerError);
    assertEquals([error.code, calls], ["AUTH", 1]);
    assertInstanceOf(error.cause, RedisError);
  }
});

const failures: Readonly<Record<string, () => string | Promise<string>>> = {
  "throws": () => {
    throw new Error("the vault is sealed");
  },
  "rejects": () => Promise.reject(new Error("the vault is sealed")),
  "does not return a string": untyped(undefined),
  "returns a refused value": () => "expired",
};

for (const [how, fail] of Object.entries(failures)) {
  test(`after the first connect a function that ${how} is a failed attempt: it is called again until it succeeds`, async () => {
    let [calls, failing] = [0, false];
    const password = () => {
      calls++;
      return failing ? fail() : "good";
    };
    await using redis = await FakeRedis.start({
      answers: { HELLO: (words) => words.at(-1) === "good" ? HELLO : WRONGPASS },
    });
    await using streamer = await connect(redis.url, { password, reconnect });
    const producer = await streamer.createProducer("k");
    await producer.send("before");
    const causes: unknown[] = [];
    streamer.addEventListener("reconnect", ({ detail }) => causes.push(detail.cause));
    failing = true;
    for (const peer of redis.server.peers) await peer.cut();
    const waiting = producer.send("after");
    calls = 0;
    await until(() => calls >= 4);
    failing = false;
    await waiting;
    assertEquals(redis.payloads("k"), ["before", "after"]);
    assert(causes.some((cause) => cause instanceof StreamerError && cause.code === "AUTH"));
  });
}

test("credentials that are refused for a long time are reported once as waiting, and as resumed when they are accepted", async () => {
  for (const fail of [failures["throws"], failures["returns what the server refuses"]]) {
    let failing = false;
    await using redis = await FakeRedis.start({
      answers: { HELLO: (words) => words.at(-1) === "good" ? HELLO : WRONGPASS },
    });
    await using streamer = await connect(redis.url, { password: () => failing ? fail() : "good", reconnect });
    const producer = await streamer.createProducer("k");
    await producer.send("before");
    const told: string[] = [];
    for (const name of ["waiting", "resumed"] as const) streamer.addEventListener(name, () => told.push(name));
    const waiting = nextEvent<{ node: string; cause: unknown; since: Date }>(streamer, "waiting");
    const resumed = nextEvent(streamer, "resumed");
    failing = true;
    for (const peer of redis.server.peers) await peer.cut();
    const { detail } = await waiting;
    assertEquals(detail.node, new URL(redis.url).host);
    assertInstanceOf(detail.cause, StreamerError);
    assertEquals(detail.cause.code, "AUTH");
    failing = false;
    await producer.send("after");
    await resumed;
    assertEquals(told, ["waiting", "resumed"]);
  }
});

test("when the attempts run out while credentials are refused, the wait is over", async () => {
  let failing = false;
  await using redis = await FakeRedis.start({
    answers: { HELLO: () => failing ? WRONGPASS : HELLO },
  });
  const attempts = { initialDelay: 300, maxDelay: 300, maxAttempts: 12 };
  await using streamer = await connect(redis.url, { password: () => "x", reconnect: attempts });
  const told = [nextEvent(streamer, "waiting"), nextEvent(streamer, "resumed")];
  failing = true;
  for (const peer of redis.server.peers) await peer.cut();
  await Promise.all(told);
});

test("a function that hangs at a reconnect is a failed attempt, and is called again", async () => {
  let hanging = false;
  let hung = 0;
  const password = () => hanging && hung++ === 0 ? new Promise<string>(() => {}) : "good";
  await using redis = await FakeRedis.start();
  await using streamer = await connect(redis.url, { password, reconnect, timeout: 200 });
  const producer = await streamer.createProducer("k");
  await producer.send("before");
  hanging = true;
  for (const peer of redis.server.peers) await peer.cut();
  await producer.send("after");
  assertEquals(redis.payloads("k"), ["before", "after"]);
  assert(hung >= 1);
});

test("disconnecting while a function hangs ends everything", async () => {
  let hanging = false;
  const asked = Promise.withResolvers<void>();
  const password = () => {
    if (!hanging) return "good";
    asked.resolve();
    return new Promise<string>(() => {});
  };
  await using redis = await FakeRedis.start();
  const streamer = await connect(redis.url, { password, reconnect });
  const producer = await streamer.createProducer("k");
  await producer.send("x");
  hanging = true;
  const lost = nextEvent(streamer, "disconnect");
  for (const peer of redis.server.peers) await peer.cut();
  await lost;
  await asked.promise;
  const waiting = producer.send("y");
  waiting.catch(() => {}); // judged below
  await streamer.disconnect({ timeout: 1 }).catch(() => {});
  const error = await assertRejects(() => Promise.resolve(waiting), StreamerError);
  assertEquals([error.code, error.outcome], ["DISCONNECTED", "not-written"]);
});

test("a password that is a plain string is final when it is refused later", async () => {
  let accepted = true;
  await using redis = await FakeRedis.start({ answers: { HELLO: () => accepted ? HELLO : WRONGPASS } });
  await using streamer = await connect(redis.url, { password: "good", reconnect });
  const producer = await streamer.createProducer("k");
  await producer.send("x");
  accepted = false;
  for (const peer of redis.server.peers) await peer.cut();
  const error = await assertRejects(() => Promise.resolve(producer.send("y")), StreamerError);
  assertEquals(error.code, "AUTH");
});

test("with wait, a function that throws at the first connect is retried", async () => {
  let calls = 0;
  const password = () => {
    if (++calls < 4) throw new Error("the vault is sealed");
    return "good";
  };
  await using redis = await FakeRedis.start();
  await using _ = await connect(redis.url, { password, wait: true, reconnect });
  assertEquals([calls, hellos(redis)], [4, ["AUTH default good"]]);
});

test("a function is called at each attempt, also if the server does not answer", async () => {
  let calls = 0;
  const password = () => `token-${++calls}`;
  await using fake = await startFakeServer((peer) => peer.cut());
  const options = { password, wait: true, reconnect: { ...reconnect, maxAttempts: 3 } };
  const error = await assertRejects(() => connect(fake.url, options), StreamerError);
  assertEquals([error.code, calls], ["DISCONNECTED", 4]);
});
