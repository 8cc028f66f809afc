// Tests that a password appears nowhere: no message, stack, cause, event, JSON or inspection, in any failure.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { inspect } from "node:util";
import { connect, type ConnectOptions, type RedisStreamer } from "../../../mod.ts";
import { type Answers, handshake, NO_HELLO, startFakeServer } from "../../support/network/fake_server.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { test } from "../../support/runner.ts";
import { startServer } from "../../support/servers/server.ts";
import { closedPort } from "../../support/network/sockets.ts";

const CANARY = "Canary7f3a/9 ü";
const ENCODED = encodeURIComponent(CANARY);
const SPELLINGS = [CANARY, ENCODED, "Canary7f3a", btoa("Canary7f3a"), JSON.stringify(CANARY).slice(1, -1)];
const EVENTS = ["connect", "disconnect", "reconnect", "fence-unavailable", "stream-reset"];

/** All texts of a value: its own, and those of the runtimes' printers, hidden fields included. */
function* picturesOf(value: unknown): Generator<string> {
  yield String(value);
  yield inspect(value, { depth: 20, showHidden: true, getters: true });
  const { Deno, Bun } = globalThis as { // the border to the runtimes' own printers
    Deno?: { inspect(value: unknown, options: unknown): string };
    Bun?: { inspect(value: unknown, options: unknown): string };
  };
  if (Deno) yield Deno.inspect(value, { depth: 20, showHidden: true, getters: true });
  if (Bun) yield Bun.inspect(value, { depth: 20, showHidden: true });
  try {
    yield JSON.stringify(value, (_, part) => typeof part === "bigint" ? String(part) : part) ?? "";
  } catch {
    // circular: the printers show it
  }
  for (let error = value; error instanceof Error; error = error.cause) {
    yield `${error.name} ${error.message} ${error.stack}`;
    for (const name of Reflect.ownKeys(error)) yield `${String(name)}: ${String(Reflect.get(error, name))}`;
    if (error instanceof AggregateError) { for (const part of error.errors) yield* picturesOf(part); }
  }
}

function assertClean(value: unknown, what: string): void {
  for (const picture of picturesOf(value)) {
    for (const spelling of SPELLINGS) assert(!picture.includes(spelling), `${what} shows the password: ${picture}`);
  }
}

/** Records a streamer's events, from now on. */
function listen(streamer: RedisStreamer): unknown[] {
  const told: unknown[] = [];
  for (const name of EVENTS) streamer.addEventListener(name, (event) => told.push(event, Reflect.get(event, "detail")));
  return told;
}

test("a printer that shows private parts would be noticed", () => {
  assertEquals([...picturesOf({ deep: { er: [CANARY] } })].some((picture) => picture.includes(CANARY)), true);
});

test("a streamer, its producers, receipts and stats never show the password", async () => {
  await using server = await startServer({ password: CANARY });
  await using streamer = await connect(server.url, { reconnect: { initialDelay: 1 } });
  const told = listen(streamer);
  const producer = await streamer.createProducer(uniqueKey());
  const consumer = await streamer.createConsumer(uniqueKey(), { mode: "real-time" });
  const receipt = producer.send("x");
  const subjects = {
    streamer,
    uri: streamer.uri,
    producer,
    clone: producer.clone(),
    consumer,
    receipt,
    stats: streamer.stats(),
  };
  for (const [what, subject] of Object.entries(subjects)) assertClean(subject, what);
  assertClean(await receipt, "a receipt");
  assertEquals(streamer.uri, `redis://:***@127.0.0.1:${server.port}`);
  await server.restart();
  await producer.send("y");
  assert(told.length > 0);
  for (const event of told) assertClean(event, "an event");
});

/** Ways to be refused. */
const refusals: Readonly<Record<string, Answers>> = {
  "by a wrong password": { HELLO: "-WRONGPASS invalid username-password pair or user is disabled.\r\n" },
  "by a server without HELLO that repeats the arguments": {
    HELLO: (words) =>
      `-ERR unknown command \`HELLO\`, with args beginning with: ${
        words.slice(1).map((word) => `\`${word}\``).join(" ")
      }\r\n`,
    AUTH: (words) =>
      `-ERR unknown command \`AUTH\`, with args beginning with: ${
        words.slice(1).map((word) => `\`${word}\``).join(" ")
      }\r\n`,
  },
  "by a server that quotes the password's beginning": {
    HELLO: (words) =>
      `-ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' '${words[3]}' '${words[4].slice(0, 12)}\r\n`,
    AUTH: (words) => `-ERR what is '${words.at(-1)?.slice(0, 12)}'\r\n`,
  },
  "with the password in a text of another code": { HELLO: (words) => `-WRONGPASS not ${words[4]}\r\n` },
  "with the password as the code": { HELLO: (words) => `-${words[4]} no\r\n` },
  "by a bulk error": {
    HELLO: (words) => `!${12 + new TextEncoder().encode(words[4]).length}\r\nSYNTAX not: ${words[4]}\r\n`,
  },
  "by the AUTH of old servers": { HELLO: NO_HELLO, AUTH: (words) => `-ERR invalid password ${words.at(-1)}\r\n` },
  "by an echo that is not an error": { HELLO: (words) => `+${words[4]}\r\n` },
  "by an echo of everything": {
    HELLO: (words) => `*${words.length}\r\n${words.map((word) => `+${word}\r\n`).join("")}`,
  },
  "by bytes that are not RESP": { HELLO: (words) => `${words[4]} is no RESP\r\n` },
  "by a wrong length": { HELLO: (words) => `$3\r\n${words[4]}\r\n` },
};

for (const [how, answers] of Object.entries(refusals)) {
  test(`refused ${how}, nothing shows the password`, async () => {
    await using fake = await startFakeServer(async (peer) => void await peer.serve({ ...handshake, ...answers }));
    const url = fake.url.replace("://", `://user:${ENCODED}@`);
    const attempts: [string, ConnectOptions][] = [
      [url, {}],
      [fake.url, { username: "user", password: CANARY }],
      [fake.url, { username: () => "user", password: () => Promise.resolve(CANARY) }],
      [fake.url, { username: "user", password: CANARY, protocol: 2 }],
    ];
    for (const [uri, options] of attempts) {
      const streamer = await connect(uri, { ...options, timeout: 2_000 }).catch((error) => {
        assertClean(error, "the error");
      });
      if (streamer === undefined) continue;
      assertClean(streamer, "the streamer");
      await streamer.disconnect();
    }
  });
}

test("a password that a function returns appears nowhere: in no object, and in no event or error of a refused one", async () => {
  await using server = await startServer({ password: CANARY });
  let refusals = 0;
  const password = () => refusals > 0 && refusals < 4 ? `${CANARY}${refusals++}` : CANARY;
  const url = `redis://127.0.0.1:${server.port}`;
  await using streamer = await connect(url, { username: () => "default", password, reconnect: { initialDelay: 1 } });
  assertEquals(streamer.uri, `redis://:***@127.0.0.1:${server.port}`);
  const told = listen(streamer);
  const producer = await streamer.createProducer(uniqueKey());
  const consumer = await streamer.createConsumer(uniqueKey(), { mode: "real-time" });
  await producer.send("x");
  refusals = 1;
  await server.command("CLIENT", "KILL", "TYPE", "normal");
  const receipt = producer.send("y");
  await receipt;
  for (const [what, subject] of Object.entries({ streamer, producer, consumer, receipt })) assertClean(subject, what);
  assert(told.some((event) => Reflect.get(Object(event), "type") === "reconnect"));
  for (const event of told) assertClean(event, "an event");
});

test("a function that does not return a string, or is late, leaves its value in no error", async () => {
  // as: a value that a function without types may return
  for (const value of [[CANARY], { secret: CANARY }, new Error(CANARY), new TextEncoder().encode(CANARY)]) {
    const password = () => value as unknown as string;
    assertClean(await assertRejects(() => connect("redis://127.0.0.1:1", { password })), "a wrong result");
  }
  const late = Promise.withResolvers<string>();
  const error = await assertRejects(() =>
    connect("redis://127.0.0.1:1", { password: () => late.promise, timeout: 20 })
  );
  late.resolve(CANARY);
  assertClean(error, "a timeout");
});

test("options that are refused never show a credential", async () => {
  // as: a value that a program without types may pass
  const loose = [{ password: [CANARY] }, { username: { name: CANARY } }, { username: CANARY }] as unknown[];
  for (const options of loose as ConnectOptions[]) {
    assertClean(await assertRejects(() => connect("redis://127.0.0.1:1", options)), "a refused option");
  }
});

test("failures that never reach a server never show the password either", async () => {
  const port = await closedPort();
  const urls = [
    `redis://user:${ENCODED}@127.0.0.1:${port}`,
    `redis://user:${ENCODED}@no-such-host.invalid`,
    `rediss://user:${ENCODED}@127.0.0.1:${port}`,
    `redis://user:${ENCODED}@127.0.0.1:0`,
    `redis://user:${ENCODED}@a,b`,
    `redis+sentinel://user:${ENCODED}@a`,
    `redis+sentinel://user:${ENCODED}@127.0.0.1:${port}/name`,
    `rediss+sentinel://user:${ENCODED}@127.0.0.1:${port}/name/0`,
    `redis+unix://user:${ENCODED}@/no/such/socket`,
    `http://user:${ENCODED}@127.0.0.1`,
  ];
  for (const url of urls) assertClean(await assertRejects(() => connect(url)), url.replace(ENCODED, "…"));
  const controller = new AbortController();
  controller.abort();
  assertClean(await assertRejects(() => connect(urls[0], { signal: controller.signal })), "an abort");
});

test("a TLS server without TLS, a timeout, a lost connection: none of them shows the password", async () => {
  await using fake = await startFakeServer(async (peer) => {
    await peer.bytes(1);
    await peer.send("-ERR no TLS here\r\n");
  });
  const tls = fake.url.replace("redis://", `rediss://user:${ENCODED}@`);
  assertClean(await assertRejects(() => connect(tls)), "a plain server");
  await using silent = await startFakeServer(async (peer) => void await peer.serve({}));
  const slow = silent.url.replace("://", `://user:${ENCODED}@`);
  assertClean(await assertRejects(() => connect(slow, { timeout: 30 })), "a timeout");
});

test("after a reconnect with an outdated password, neither errors nor events show it", async () => {
  await using server = await startServer({ password: CANARY });
  await using proxy = await startProxy(server);
  const url = proxy.url.replace("://", `://:${ENCODED}@`);
  await using streamer = await connect(url, { reconnect: { initialDelay: 1 } });
  const told = listen(streamer);
  const producer = await streamer.createProducer(uniqueKey());
  await producer.send("x");
  await server.command("CONFIG", "SET", "requirepass", "another");
  await proxy.cut();
  await until(() => told.length >= 4);
  assertClean(await producer.send("y").catch((error) => error), "the error of a send");
  assertClean(await producer.trim({ maxLength: 1 }).catch((error) => error), "the error of a command");
  for (const event of told) assertClean(event, "an event");
});
