// Tests that a producer keeps its promises while its server is killed, suspended, restarted or drops it, under load.

import { assert, assertEquals } from "@std/assert";
import { connect, type Producer } from "../../../mod.ts";
import { nextEvent, until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { test } from "../../support/runner.ts";
import { canStartServers, sharedServer, startServer } from "../../support/servers/server.ts";
import { checkStream, type Ending, endingsOf, entriesOf } from "../../support/producer/stream_checks.ts";

const server = await sharedServer();
const own = { ignore: !(await canStartServers()), timeout: 40_000 };
const RECONNECT = { initialDelay: 10 };

/** The failure, in words. */
function failuresIn(endings: readonly Ending[]): string[] {
  return endings.flatMap((ending) => "error" in ending ? [`${ending.payload} ${ending.outcome}: ${ending.error}`] : []);
}

/** Sends without end until it is stopped, a few hundred at a time. Resolves to all outcomes. */
function load(producer: Producer) {
  const all: Promise<Ending[]>[] = [];
  let stopped = false;
  let sent = 0;
  const running = (async () => {
    while (!stopped) {
      const endings = endingsOf(Array.from({ length: 200 }, () => {
        const payload = `m${sent++}`;
        return [payload, producer.send(payload)] as const;
      }));
      endings.catch(() => {}); // checked at the end
      all.push(endings);
      await producer.ready;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  })();
  return {
    get sent() {
      return sent;
    },
    stop: async () => {
      stopped = true;
      await running;
      return (await Promise.all(all)).flat();
    },
  };
}

for (const delivery of ["at-least-once", "at-most-once"] as const) {
  test(`${delivery}: CLIENT KILL again and again under load`, async () => {
    const clientName = uniqueKey("killed");
    await using streamer = await connect(server.url, { clientName, reconnect: RECONNECT });
    const producer = await streamer.createProducer(uniqueKey(), { delivery, highWaterMark: 200_000 });
    let lost = 0;
    streamer.addEventListener("disconnect", () => lost++);
    const loading = load(producer);
    for (let kill = 1; kill <= 6; kill++) {
      const { acked } = producer.stats();
      await until(() => producer.stats().acked > acked + 1_000);
      const before = lost;
      const list = String(await server.command("CLIENT", "LIST"));
      const ours = list.split("\n").filter((line) => line.includes(`name=${clientName} `) && line.includes("cmd=xadd"));
      for (const line of ours) await server.command("CLIENT", "KILL", "ID", /^id=(\d+)/.exec(line)?.[1] ?? "");
      await until(() => lost > before);
    }
    const endings = await loading.stop();
    const cuts = lost;
    checkStream(await entriesOf(server, producer.streamKey), endings, { delivery, cuts });
    if (delivery === "at-least-once") assert(endings.every((ending) => "receipt" in ending));
    else {assert(endings.every((ending) =>
        "receipt" in ending || Reflect.get(Object(ending.error), "code") === "AMBIGUOUS"
      ));}
    assertEquals(producer.stats().buffered, 0);
    await server.command("DEL", producer.streamKey);
  }, own);

  test(`${delivery}: the server is killed and restarted under load, and keeps all acked messages`, async () => {
    await using mortal = await startServer({ args: ["--appendonly", "yes", "--appendfsync", "always"] });
    await using streamer = await connect(mortal.url, { reconnect: RECONNECT });
    const producer = await streamer.createProducer(uniqueKey(), { delivery, highWaterMark: 200_000 });
    const loading = load(producer);
    let cuts = 0;
    streamer.addEventListener("disconnect", () => cuts++);
    for (let round = 0; round < 2; round++) {
      const { acked } = producer.stats();
      await until(() => producer.stats().acked > acked + 1_000);
      await mortal.kill("SIGKILL");
      await mortal.restart();
    }
    const { acked } = producer.stats();
    await until(() => producer.stats().acked > acked);
    const endings = await loading.stop();
    checkStream(await entriesOf(mortal, producer.streamKey), endings, { delivery, cuts });
    // Messages refused by a server that was still loading, and overtaken by later ones, cannot keep their place.
    const unexpected = failuresIn(endings).filter((failure) => !/: RedisError: LOADING /.test(failure));
    if (delivery === "at-least-once") assertEquals(unexpected, []);
  }, own);
}

test("the next message finds a server that was restarted on its port while idle", async () => {
  await using mortal = await startServer();
  await using streamer = await connect(mortal.url, { reconnect: RECONNECT });
  const producer = await streamer.createProducer(uniqueKey());
  await producer.send("before");
  await mortal.restart();
  await producer.send("after");
  assertEquals((await entriesOf(mortal, producer.streamKey)).map(({ payload }) => payload), ["after"]);
  assertEquals(await producer.trim({ maxLength: 0, exact: true }), 1);
}, own);

test(
  "a server that was suspended for longer than the timeout is presumed dead, and sending continues when it resumes",
  async () => {
    await using frozen = await startServer();
    await using streamer = await connect(frozen.url, { timeout: 100, reconnect: RECONNECT });
    const producer = await streamer.createProducer(uniqueKey(), { highWaterMark: 100_000 });
    const loading = load(producer);
    let cuts = 0;
    streamer.addEventListener("disconnect", () => cuts++);
    await until(() => producer.stats().acked > 1_000);
    const lost = nextEvent<{ cause?: unknown }>(streamer, "disconnect");
    await frozen.kill("SIGSTOP");
    assertEquals(Reflect.get(Object((await lost).detail.cause), "code"), "TIMEOUT");
    const tried = nextEvent<{ attempt: number }>(streamer, "reconnect", { where: ({ detail }) => detail.attempt > 1 });
    await tried; // connecting to it fails too
    await frozen.kill("SIGCONT");
    const { acked } = producer.stats();
    await until(() => producer.stats().acked > acked + 1_000);
    const endings = await loading.stop();
    assert(endings.every((ending) => "receipt" in ending));
    checkStream(await entriesOf(frozen, producer.streamKey), endings, { delivery: "at-least-once", cuts });
  },
  own,
);

test("several flaps in a row, during handshakes and requests, lose nothing", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect: { initialDelay: 1 } });
  const producer = await streamer.createProducer(uniqueKey());
  await producer.send("m-first");
  const sends = Array.from({ length: 5_000 }, (_, i) => [`m${i}`, producer.send(`m${i}`)] as const);
  const endings = endingsOf(sends);
  let cuts = 0;
  streamer.addEventListener("disconnect", () => cuts++);
  // Bytes until the next cut: the handshake is some 150 long, the fence 50, and requests follow.
  for (const bytes of [3_000, 40, 120, 160, 190, 220, 500, 2_000, 33, 9_000, 70_000]) {
    proxy.toServer.cutAfter(bytes);
    const { connections } = proxy;
    await until(() => proxy.connections > connections || producer.stats().buffered === 0);
  }
  const all = await endings;
  assert(all.every((ending) => "receipt" in ending));
  const entries = (await entriesOf(server, producer.streamKey)).slice(1);
  checkStream(entries, all, { delivery: "at-least-once", cuts });
  // A cut repeats the messages in flight. After a reconnect these are a window that grows only with replies.
  assert(entries.length < 4 * sends.length, `${entries.length} entries for ${sends.length} messages`);
  await server.command("DEL", producer.streamKey);
}, { timeout: 40_000 });

test("many producers of one streamer reconnect together, with few attempts", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect: { initialDelay: 20 } });
  const producers = await Promise.all(Array.from({ length: 20 }, () => streamer.createProducer(uniqueKey())));
  await Promise.all(producers.map((producer) => producer.send("before")));
  let attempts = 0;
  streamer.addEventListener("reconnect", () => attempts++);
  proxy.refuse();
  await proxy.cut();
  await until(() => proxy.refused >= 3);
  proxy.refuse(false);
  await Promise.all(producers.map((producer) => producer.send("after")));
  assert(attempts <= proxy.refused + 3, `${attempts} attempts were told, ${proxy.refused} made`);
  for (const producer of producers) assertEquals(await server.command("XLEN", producer.streamKey), 2);
});

test("when the attempts run out waiting sends reject with DISCONNECTED, and a later message starts again", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect: { initialDelay: 1, maxDelay: 5, maxAttempts: 3 } });
  const producer = await streamer.createProducer(uniqueKey());
  await producer.send("before");
  const told: number[] = [];
  streamer.addEventListener("reconnect", ({ detail }) => told.push(detail.attempt));
  const lost = nextEvent(streamer, "disconnect");
  proxy.refuse();
  await proxy.cut();
  await lost;
  const waiting = ["a", "b"].map((payload) => [payload, producer.send(payload)] as const);
  for (const ending of await endingsOf(waiting)) {
    assert("error" in ending && ending.error instanceof Error);
    assertEquals([Reflect.get(ending.error, "code"), ending.outcome], ["DISCONNECTED", "not-written"]);
    assert(ending.error.cause !== undefined);
  }
  assertEquals(Math.max(...told), 3);
  proxy.refuse(false);
  await producer.send("after");
  assertEquals((await entriesOf(server, producer.streamKey)).map(({ payload }) => payload), ["before", "after"]);
});
