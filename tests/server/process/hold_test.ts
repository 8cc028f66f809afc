// Tests `process` and maxHold: messages that wait for their turn count as prefetched, and messages of running handlers
// are not redelivered meanwhile.

import { assert, assertEquals } from "@std/assert";
import { connect, type Message, process } from "../../../mod.ts";
import { eventsOf, groupOf, pendingRows, untilPending } from "../../support/consumer/grouping.ts";
import { nextEvent, until } from "../../support/events.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";
const short = {
  mode: "load-balanced",
  group,
  consumerId: "me",
  autoCommit: "rolling",
  autoCommitInterval: 1,
  autoClaimInterval: 20,
  autoClaimIdle: 60,
  maxHold: 60,
} as const;

/** Handlers that run until the test ends them. */
class Handlers {
  /** Text and deliveries of each started handler, in order. */
  readonly started: [string, number][] = [];
  readonly #ends = new Map<string, PromiseWithResolvers<void>>();

  readonly handle = async (message: Message): Promise<void> => {
    this.started.push([message.text(), message.deliveries]);
    await this.#endOf(message.text()).promise;
  };

  end(text: string): void {
    this.#endOf(text).resolve();
  }

  fail(text: string): void {
    this.#endOf(text).reject(new Error("told to fail"));
    this.#ends.delete(text);
  }

  #endOf(text: string): PromiseWithResolvers<void> {
    let end = this.#ends.get(text);
    if (end === undefined) this.#ends.set(text, end = Promise.withResolvers());
    return end;
  }
}

test("messages that wait for their turn are not released, and each is handled once", async () => {
  const { key, ids } = await groupOf(server, group, 3);
  await using streamer = await connect(server.url);
  const released = eventsOf(streamer, "released");
  const handlers = new Handlers();
  const stop = new AbortController();
  const consumer = await streamer.createConsumer(key, short);
  const running = process(consumer, handlers.handle, { concurrency: 2, orderBy: "shard", signal: stop.signal });
  for (const [i, text] of ["0", "1", "2"].entries()) {
    await until(() => released.some((one) => one.ids.includes(ids[i])), { what: `${text} is released` });
    assertEquals(released.flatMap((one) => one.ids), ids.slice(0, i + 1), "none that waits is");
    handlers.end(text);
  }
  await untilPending(server, key, group, 0);
  stop.abort();
  assertEquals(await running, { handled: 3, failed: 0, repeated: 0 });
  assertEquals(handlers.started, [["0", 1], ["1", 1], ["2", 1]]);
});

test("a message is not taken back while its handler runs, and its ack counts", async () => {
  const { key, ids } = await groupOf(server, group, 1);
  await using streamer = await connect(server.url);
  const handlers = new Handlers();
  const stop = new AbortController();
  const consumer = await streamer.createConsumer(key, short);
  const released = nextEvent(streamer, "released");
  const running = process(consumer, handlers.handle, { orderBy: "none", signal: stop.signal });
  await released;
  // Long enough for a redelivery: another consumer's idle message is claimed in that time.
  await server.command("XADD", key, "*", "msg", "other");
  await until(() => handlers.started.length === 2);
  await until(async () => (await pendingRows(server, key, group)).some(({ id, idle }) => id === ids[0] && idle > 300));
  assertEquals(handlers.started.filter(([text]) => text === "0"), [["0", 1]]);
  for (const text of ["0", "other"]) handlers.end(text);
  await untilPending(server, key, group, 0);
  stop.abort();
  assertEquals(await running, { handled: 2, failed: 0, repeated: 0 });
  assertEquals(consumer.stats().claimed, 0);
});

test("a message whose handler fails after it was released is redelivered, one delivery later", async () => {
  const { key } = await groupOf(server, group, 1);
  await using streamer = await connect(server.url);
  const lost = eventsOf(streamer, "lost");
  const handlers = new Handlers();
  const stop = new AbortController();
  const consumer = await streamer.createConsumer(key, short);
  const released = nextEvent(streamer, "released");
  const running = process(consumer, handlers.handle, { retryDelay: 10, signal: stop.signal });
  await released;
  handlers.fail("0");
  await until(() => handlers.started.length === 2);
  handlers.end("0");
  await untilPending(server, key, group, 0);
  stop.abort();
  assertEquals(await running, { handled: 1, failed: 1, repeated: 0 });
  assertEquals([handlers.started, lost], [[["0", 1], ["0", 2]], []]);
});

test("a message that another consumer claimed during its handler is lost when the handler fails", async () => {
  const { key, ids } = await groupOf(server, group, 1);
  await using streamer = await connect(server.url);
  const handlers = new Handlers();
  const stop = new AbortController();
  const consumer = await streamer.createConsumer(key, { ...short, autoClaimIdle: 3_600_000 });
  const released = nextEvent(streamer, "released");
  const running = process(consumer, handlers.handle, { retryDelay: 10, signal: stop.signal });
  await released;
  await server.command("XCLAIM", key, group, "other", 0, ids[0]);
  const lost = nextEvent(streamer, "lost");
  handlers.fail("0");
  assertEquals((await lost).detail, { streamKey: key, shardId: 0, group, ids });
  stop.abort();
  assertEquals(await running, { handled: 0, failed: 1, repeated: 0 });
  assertEquals((await pendingRows(server, key, group)).map(({ consumer }) => consumer), ["other"]);
});

test("an idle message of another consumer is not claimed while its handler runs here", async () => {
  const { key, ids } = await groupOf(server, group, 1);
  await using streamer = await connect(server.url);
  const claimed = eventsOf(streamer, "claimed");
  const handlers = new Handlers();
  const stop = new AbortController();
  const consumer = await streamer.createConsumer(key, short);
  const released = nextEvent(streamer, "released");
  const running = process(consumer, handlers.handle, { orderBy: "none", signal: stop.signal });
  await released;
  await server.command("XCLAIM", key, group, "other", 0, ids[0], "IDLE", 3_600_000);
  await server.command("XADD", key, "*", "msg", "mark"); // idle at another consumer as well, and claimed
  await until(() => handlers.started.some(([text]) => text === "mark"));
  const [mark] = (await pendingRows(server, key, group)).filter(({ id }) => id !== ids[0]);
  await until(async () => (await pendingRows(server, key, group)).some(({ id, idle }) => id === mark.id && idle > 200));
  assertEquals(claimed, []);
  for (const text of ["0", "mark"]) handlers.end(text);
  await untilPending(server, key, group, 0);
  stop.abort();
  assertEquals(await running, { handled: 2, failed: 0, repeated: 0 });
});

test("a message that was lost while it waited for its turn is neither handled nor reported as lost", async () => {
  const { key, ids } = await groupOf(server, group, 3);
  await using streamer = await connect(server.url);
  const lost = eventsOf(streamer, "lost");
  const handlers = new Handlers();
  const stop = new AbortController();
  const consumer = await streamer.createConsumer(key, { ...short, maxHold: 3_600_000, autoClaimIdle: 3_000 });
  const running = process(consumer, handlers.handle, { concurrency: 2, orderBy: "shard", signal: stop.signal });
  await until(() => consumer.stats().inHand === 3);
  await server.command("XCLAIM", key, group, "thief", 0, ids[1]);
  await until(() => consumer.stats().inHand === 2, { what: "the consumer has noticed" });
  assertEquals(handlers.started, [["0", 1]]);
  await server.command("XCLAIM", key, group, "thief", 0, ids[1], "JUSTID"); // it continues to work
  for (const text of ["0", "2"]) handlers.end(text);
  await until(() => consumer.stats().acked === 2);
  stop.abort();
  assertEquals(await running, { handled: 2, failed: 0, repeated: 0 });
  assertEquals([handlers.started, lost], [[["0", 1], ["2", 1]], []]);
  assertEquals((await pendingRows(server, key, group)).map(({ id, consumer }) => [id, consumer]), [[ids[1], "thief"]]);
});

test("at the end of the consumer, messages that wait for their turn are released as not delivered, and not handled", async () => {
  const { key, ids } = await groupOf(server, group, 5);
  await using streamer = await connect(server.url);
  const handlers = new Handlers();
  const consumer = await streamer.createConsumer(key, { ...short, maxHold: 3_600_000 });
  const running = process(consumer, handlers.handle, { concurrency: 2, orderBy: "shard" });
  await until(() => handlers.started.length === 1);
  await until(() => consumer.stats().inHand > 1);
  await consumer.end();
  const rows = await pendingRows(server, key, group);
  assertEquals(rows.map(({ id, deliveries }) => [id, deliveries]), ids.map((id, i) => [id, i === 0 ? 1 : 0]));
  assert(rows.slice(1).every(({ idle }) => idle > 60_000));
  handlers.end("0");
  await running;
  assertEquals(handlers.started, [["0", 1]]);
});
