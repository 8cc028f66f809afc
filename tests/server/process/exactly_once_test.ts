// Tests `process` with `delivery: "exactly-once"` on a real server: outputs are stored once, with the ack of their input, or not
// at all.

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  connect,
  keyHashSharder,
  type Message,
  process,
  type ProcessableConsumer,
  type ProcessHandler,
  type ProcessOptions,
  type Producer,
  type RedisStreamer,
  StreamerError,
} from "../../../mod.ts";
import {
  type FixedGroup,
  fixedGroup,
  HeldHandlers,
  stored,
  taggedKeys,
  untilHandled,
} from "../../support/consumer/exactly_once.ts";
import { pendingRows, readBy } from "../../support/consumer/grouping.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer, startServer } from "../../support/servers/server.ts";

const server = await sharedServer();
/** Users of a cluster belong to each node. */
const OF_ONE_NODE = "it makes users of one server";

/** Streams of so many inputs, and a consumer and producer between them. */
async function open(streamer: RedisStreamer, count: number, options: FixedGroup = {}) {
  const { input, output, consumer } = await fixedGroup(server, streamer, count, options);
  return { input, output, consumer, producer: await streamer.createProducer(output) };
}

/** Processes until nothing of the input is pending, and resolves to the counts. */
async function processAll(
  { input, consumer, count }: { input: string; consumer: ProcessableConsumer; count?: number },
  handler: ProcessHandler,
  options: ProcessOptions,
) {
  const stop = new AbortController();
  const running = process(consumer, handler, { delivery: "exactly-once", signal: stop.signal, ...options });
  await untilHandled(server, input, { left: count ?? 0 });
  stop.abort();
  return await running;
}

test("each input's outputs are stored once, in the order of the handlers, and nothing stays pending", async () => {
  await using streamer = await connect(server.url);
  const { input, output, consumer, producer } = await open(streamer, 3_000);
  const counts = await processAll({ input, consumer }, (message) => [`${message.text()}a`, `${message.text()}b`], {
    producer,
    concurrency: 1_000,
  });
  assertEquals(counts, { handled: 3_000, failed: 0, repeated: 0 });
  const expected = Array.from({ length: 3_000 }, (_, i) => [`${i}a`, `${i}b`]).flat();
  assertEquals(await stored(server, output), expected);
  assertEquals(consumer.stats().acked, 3_000);
  assertEquals([consumer.stats().inHand, consumer.stats().unsentAcks], [0, 0]);
});

test("inputs without outputs are acknowledged, and headers, keys and timestamps are stored", async () => {
  await using streamer = await connect(server.url);
  const { input, output, consumer, producer } = await open(streamer, 4);
  const timestamp = new Date(Date.now() + 60_000);
  const counts = await processAll({ input, consumer }, (message) => {
    if (message.text() === "0") return undefined;
    if (message.text() === "1") return [];
    return { payload: new TextEncoder().encode(`é${message.text()}`), headers: { trace: "7" }, timestamp, key: "k" };
  }, { producer });
  assertEquals(counts, { handled: 4, failed: 0, repeated: 0 });
  const entries = await server.command("XRANGE", output, "-", "+") as [string, string[]][];
  assertEquals(entries, [
    [`${timestamp.getTime()}-0`, ["msg", "é2", "trace", "7"]],
    [`${timestamp.getTime()}-1`, ["msg", "é3", "trace", "7"]],
  ]);
});

test("outputs of one input go to the shards that the sharder chooses, all of them or none", async () => {
  await using streamer = await connect(server.url);
  const { input, output, consumer } = await fixedGroup(server, streamer, 20);
  const producer = await streamer.createProducer(output, { sharder: keyHashSharder(3) });
  await server.command("SET", `${output}:2`, "no stream");
  const errors: StreamerError[] = [];
  const handler = (message: Message) =>
    [0, 1, 2, 3, 4, 5, 6].map((key) => ({ payload: `${message.text()} ${key}`, key: `${key}` }));
  const stop = new AbortController();
  const running = process(consumer, handler, {
    delivery: "exactly-once",
    producer,
    signal: stop.signal,
    retryDelay: 5,
    onError: (error) => void errors.push(error as StreamerError),
  });
  await until(() => errors.length >= 40, { what: "each input has failed" });
  assertEquals(errors[0].code, "WRONGTYPE");
  assertEquals((await pendingRows(server, input, "g")).length, 20);
  for (const shard of [0, 1]) assertEquals(await stored(server, `${output}:${shard}`), []);
  await server.command("DEL", `${output}:2`);
  await untilHandled(server, input);
  stop.abort();
  assertEquals((await running).handled, 20);
  const all = await Promise.all([0, 1, 2].map((shard) => stored(server, `${output}:${shard}`)));
  assertEquals(new Set(all.flat()).size, 140);
  assertEquals(all.flat().length, 140);
});

test("an output that is refused is nacked with its error, others are stored, and a dead letter is written at last", async () => {
  await using streamer = await connect(server.url);
  const deadLetter = uniqueKey("dead");
  const { input, output, consumer, producer } = await open(streamer, 10, { maxDeliveries: 2, deadLetter });
  await server.command("XADD", output, "99999999999999-0", "msg", "top");
  const errors: string[] = [];
  const counts = await processAll({ input, consumer }, (message) => {
    const late = message.text() === "7";
    if (!late) return undefined;
    return ["first", { payload: "second", timestamp: new Date() }];
  }, { producer, retryDelay: 1, onError: (error) => void errors.push((error as StreamerError).message) });
  assertEquals(counts, { handled: 9, failed: 2, repeated: 0 });
  assert(errors.length === 2 && errors.every((text) => text.includes("equal or smaller")), errors.join());
  assertEquals(await stored(server, output), ["top"]);
  const [[, dead]] = await server.command("XRANGE", deadLetter, "-", "+") as [string, string[]][];
  assertEquals(dead.slice(0, 2), ["msg", "7"]);
  assert(dead[dead.indexOf("x-dead-letter-error") + 1].includes("equal or smaller"), dead.join());
});

test("outputs of a message that is not pending any more are discarded, and count as repeated", async () => {
  await using streamer = await connect(server.url);
  const { input, output, consumer, producer } = await open(streamer, 50);
  const counts = await processAll({ input, consumer }, async (message) => {
    const number = Number(message.text());
    if (number % 2 === 0) await server.command("XACK", input, "g", message.id); // as another member does
    return `${number}`;
  }, { producer });
  assertEquals(counts, { handled: 25, failed: 0, repeated: 25 });
  assertEquals(
    (await stored(server, output)).sort(),
    Array.from({ length: 25 }, (_, i) => `${2 * i + 1}`).sort(),
  );
});

test("messages that several members handle are stored once, whoever is first", async () => {
  await using streamer = await connect(server.url);
  const { input, output } = await fixedGroup(server, streamer, 0);
  const stop = new AbortController();
  const members = await Promise.all(["a", "b", "c"].map(async (consumerId) => {
    const consumer = await streamer.createConsumer(input, {
      mode: "load-balanced",
      group: "g",
      consumerId,
      autoCommit: "rolling",
      maxHold: 30, // released while their handlers run, and taken by the others
      autoClaimIdle: 60,
      autoClaimInterval: 20,
    });
    const producer = await streamer.createProducer(output);
    const slow = async (message: Message) => {
      if (Number(message.text()) % 5 === 0) await new Promise((resolve) => setTimeout(resolve, 200));
      return message.text();
    };
    return { running: process(consumer, slow, { delivery: "exactly-once", producer, signal: stop.signal }) };
  }));
  await server.commands(Array.from({ length: 200 }, (_, i) => ["XADD", input, "*", "msg", `${i}`]));
  await until(async () => (await stored(server, output)).length >= 200);
  await untilHandled(server, input);
  stop.abort();
  const counts = await Promise.all(members.map(({ running }) => running));
  const handled = counts.reduce((sum, one) => sum + one.handled, 0);
  const repeated = counts.reduce((sum, one) => sum + one.repeated, 0);
  assertEquals([handled, counts.some(({ failed }) => failed > 0)], [200, false]);
  assert(repeated > 0, "nothing was handled twice: the test shows nothing");
  assertEquals((await stored(server, output)).sort(), Array.from({ length: 200 }, (_, i) => `${i}`).sort());
});

test("inputs that others hold are stored and acknowledged all the same: the gate asks for no owner", async () => {
  await using streamer = await connect(server.url);
  const { input, output, consumer, producer } = await open(streamer, 30);
  const counts = await processAll({ input, consumer }, async (message) => {
    await server.command("XCLAIM", input, "g", "other", 0, message.id, "JUSTID");
    return message.text();
  }, { producer, concurrency: 30 });
  assertEquals(counts, { handled: 30, failed: 0, repeated: 0 });
  assertEquals((await stored(server, output)).length, 30);
});

test("an abort waits for running handlers, and their outputs are stored", async () => {
  await using streamer = await connect(server.url);
  const { output, consumer, producer } = await open(streamer, 100);
  const stop = new AbortController();
  const release = Promise.withResolvers<void>();
  const running = process(consumer, async (message) => {
    if (message.text() === "3") stop.abort();
    await release.promise;
    return message.text();
  }, { delivery: "exactly-once", producer, concurrency: 4, signal: stop.signal });
  await until(() => stop.signal.aborted);
  release.resolve();
  assertEquals(await running, { handled: 4, failed: 0, repeated: 0 });
  assertEquals(await stored(server, output), ["0", "1", "2", "3"]);
  assertEquals(consumer.stats().acked, 4);
});

test("a draining consumer stores the outputs of running handlers before it ends", async () => {
  await using streamer = await connect(server.url);
  const { output, consumer, producer } = await open(streamer, 100);
  const begun = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const running = process(consumer, async (message) => {
    begun.resolve();
    await release.promise;
    return message.text();
  }, { delivery: "exactly-once", producer, concurrency: 3 });
  await begun.promise;
  const ended = consumer.end({ drain: 10_000 });
  release.resolve();
  await ended;
  const { handled, failed, repeated } = await running;
  assertEquals([failed, repeated], [0, 0]);
  assertEquals((await stored(server, output)).length, handled);
  assert(handled >= 1 && handled <= 3, String(handled));
});

test("a consumer that ends without a drain leaves its inputs pending", async () => {
  await using streamer = await connect(server.url);
  const { input, output, consumer, producer } = await open(streamer, 50);
  const begun = Promise.withResolvers<void>();
  const begunIds: string[] = [];
  const release = Promise.withResolvers<void>();
  const running = process(consumer, async (message) => {
    begunIds.push(message.id);
    begun.resolve();
    await release.promise;
    return message.text();
  }, { delivery: "exactly-once", producer, concurrency: 3 });
  await begun.promise;
  await consumer.end();
  release.resolve();
  assertEquals((await running).handled, 0);
  assertEquals(await stored(server, output), []);
  const ids = (await pendingRows(server, input, "g")).map(({ id }) => id);
  assertEquals(ids.filter((id) => begunIds.includes(id)).sort(), begunIds.sort());
});

test("a group that is deleted is recreated, and what was in hand then is stored", async () => {
  await using streamer = await connect(server.url);
  const { input, output, consumer, producer } = await open(streamer, 20);
  const recreated: string[] = [];
  streamer.addEventListener("group-recreated", ({ detail }) => void recreated.push(detail.group));
  const handlers = new HeldHandlers();
  const stop = new AbortController();
  const options = { delivery: "exactly-once", producer, concurrency: 20, signal: stop.signal } as const;
  const running = process(consumer, handlers.handler, options);
  await handlers.begun(20);
  await server.command("XGROUP", "DESTROY", input, "g");
  handlers.release();
  await until(async () => (await stored(server, output)).length === 20);
  await until(() => recreated.length > 0);
  await server.command("XADD", input, "*", "msg", "later");
  await until(async () => (await stored(server, output)).length === 21);
  stop.abort();
  assertEquals(await running, { handled: 21, failed: 0, repeated: 0 });
});

test("a group that another client has recreated before this consumer notices loses no output", async () => {
  await using streamer = await connect(server.url);
  const { input, output, consumer, producer } = await open(streamer, 20);
  const handlers = new HeldHandlers();
  const stop = new AbortController();
  const options = { delivery: "exactly-once", producer, concurrency: 21, signal: stop.signal } as const;
  const running = process(consumer, handlers.handler, options);
  await handlers.begun(20);
  await new Promise((resolve) => setTimeout(resolve, 100)); // until a read is blocked, which the server ends with NOGROUP
  await server.commands([["XGROUP", "DESTROY", input, "g"], ["XGROUP", "CREATE", input, "g", "$"]]);
  await new Promise((resolve) => setTimeout(resolve, 100));
  handlers.release();
  await until(async () => (await stored(server, output)).length === 20);
  stop.abort();
  assertEquals(await running, { handled: 20, failed: 0, repeated: 0 });
});

test("trimming options of the producer apply to its outputs", async () => {
  await using streamer = await connect(server.url);
  const { input, output, consumer } = await fixedGroup(server, streamer, 2_000);
  const producer = await streamer.createProducer(output, { maxLength: 100 });
  const counts = await processAll({ input, consumer }, (message) => message.text(), { producer, concurrency: 500 });
  assertEquals(counts, { handled: 2_000, failed: 0, repeated: 0 });
  const left = await stored(server, output);
  assert(left.length >= 100 && left.length < 250, String(left.length));
  assertEquals(left.at(-1), "1999");
});

test("nanosecond outputs of several members rise, however their clocks differ", async () => {
  await using streamer = await connect(server.url, { timestampFormat: "nanoseconds" });
  const { input, output, consumer } = await fixedGroup(server, streamer, 50);
  const ahead = BigInt(Date.now() + 3_600_000) * 1_000_000n;
  await server.command("XADD", output, `${ahead}-0`, "msg", "of a clock that is ahead");
  const producer = await streamer.createProducer(output);
  const counts = await processAll({ input, consumer }, (message) => message.text(), { producer });
  assertEquals(counts, { handled: 50, failed: 0, repeated: 0 });
  const entries = await server.command("XRANGE", output, "-", "+") as [string, string[]][];
  assertEquals(entries.map(([id]) => id), Array.from({ length: 51 }, (_, i) => `${ahead}-${i}`));
});

test("large outputs, and more than one call takes, are stored in order", async () => {
  await using streamer = await connect(server.url);
  const { input, output, consumer, producer } = await open(streamer, 1_200);
  const big = "x".repeat(300_000);
  const counts = await processAll({ input, consumer }, (message) => {
    return Number(message.text()) % 100 === 0 ? [message.text(), big] : message.text();
  }, { producer, concurrency: 1_200 });
  assertEquals(counts, { handled: 1_200, failed: 0, repeated: 0 });
  const texts = (await stored(server, output)).filter((text) => text !== big);
  assertEquals(texts, Array.from({ length: 1_200 }, (_, i) => String(i)));
});

test("an output of 3,500 fields is stored, and one of more fails alone", async () => {
  await using streamer = await connect(server.url);
  const { input, output, consumer } = await fixedGroup(server, streamer, 3);
  const producer = await streamer.createProducer(output, { maxLength: 1_000 });
  const errors: string[] = [];
  const stop = new AbortController();
  const running = process(consumer, (message) => {
    const headers = Array.from({ length: message.text() === "1" ? 3_501 : 3_499 }, (_, i) => [`h${i}`, ""] as const);
    return [{ payload: message.text(), headers }, "short"];
  }, {
    delivery: "exactly-once",
    producer,
    signal: stop.signal,
    retryDelay: 60_000,
    onError: (error) => void errors.push(String(error)),
  });
  await untilHandled(server, input, { left: 1 });
  stop.abort();
  assertEquals(await running, { handled: 2, failed: 1, repeated: 0 });
  assert(errors.length === 1 && errors[0].includes("at most 3500 fields"), errors.join());
  assertEquals(await stored(server, output), ["0", "short", "2", "short"]);
});

test("the producer may belong to another streamer of the same server", async () => {
  await using streamer = await connect(server.url);
  await using other = await connect(server.url);
  const { consumer, output } = await open(streamer, 3);
  const producer = await other.createProducer(output);
  const running = process(consumer, (message) => message.text(), { delivery: "exactly-once", producer });
  await until(async () => (await stored(server, output)).length === 3);
  await consumer.end();
  assertEquals([(await running).handled, (await stored(server, output)).length], [3, 3]);
});

test("what cannot be exactly once is refused before a handler runs", async () => {
  await using streamer = await connect(server.url);
  await using second = await startServer();
  await using other = await connect(second.url);
  const { input, consumer, producer } = await open(streamer, 3);
  const never = () => {
    throw new Error("a handler runs");
  };
  const refused = async (one: unknown, options: { producer?: Producer }, code: string, text: string) => {
    // A checked border: the types refuse some of these consumers.
    const running = process(one as typeof consumer, never, { delivery: "exactly-once", ...options });
    const error = await assertRejects(() => running, StreamerError);
    assertEquals(error.code, code);
    assert(error.message.includes(text), error.message);
  };
  await refused(consumer, {}, "INVALID_OPTION", "'producer' must be given");
  await refused(
    consumer,
    { producer: await other.createProducer("out") },
    "UNSUPPORTED",
    `the producer to ${second.url}`,
  );
  for (const autoCommit of ["delayed", "immediate"] as const) {
    const options = { mode: "load-balanced", group: "g", autoCommit } as const;
    await refused(await streamer.createConsumer(input, options), { producer }, "INVALID_OPTION", "'autoCommit'");
  }
  const live = await streamer.createConsumer(input, { mode: "real-time" });
  await refused(live, { producer }, "INVALID_OPTION", "");
  const own = { batches: () => consumer.batches(), ack: () => {}, nack: () => {} };
  await refused(own, { producer }, "INVALID_OPTION", "'consumer' must be a consumer of a group");
  await consumer.seek(new Date(0));
  await refused(consumer, { producer }, "INVALID_OPTION", "has moved away from its group");
  // deno-lint-ignore no-explicit-any -- a value that the types refuse
  const wrong = process(consumer, never, { delivery: "at-most-once" as any, producer });
  assertEquals((await assertRejects(() => wrong, StreamerError)).code, "INVALID_OPTION");
});

test("a consumer that is moved away while it is processed ends the processing", async () => {
  await using streamer = await connect(server.url);
  const { consumer, producer, output } = await open(streamer, 3);
  const running = process(consumer, async (message) => {
    if (message.text() === "2" && message.deliveries === 1) await consumer.seek(new Date(0));
    return message.text();
  }, { delivery: "exactly-once", producer });
  const error = await assertRejects(() => running, StreamerError);
  assertEquals(error.code, "INVALID_OPTION");
  const texts = await stored(server, output);
  assertEquals(new Set(texts).size, texts.length);
});

test("a user who may not run scripts is refused; one who may not XADD has the outputs fail", async () => {
  const { input, output } = taggedKeys();
  const limited = async (user: string, ...rules: string[]) => {
    await server.command("ACL", "SETUSER", user, "on", ">pw", "~*", "&*", "+@all", ...rules);
    return server.url.replace("redis://", `redis://${user}:pw@`);
  };
  const open = async (streamer: RedisStreamer) => {
    const consumer = await streamer.createConsumer(input, {
      mode: "load-balanced",
      group: "g",
      autoCommit: "rolling",
      autoStreamReset: "earliest",
    });
    return { consumer, producer: await streamer.createProducer(output) };
  };
  for (const command of ["-eval", "-xack"]) {
    await server.command("XADD", input, "*", "msg", "1");
    await using streamer = await connect(await limited(uniqueKey("u").replaceAll(":", ""), command));
    const { consumer, producer } = await open(streamer);
    const running = process(consumer, () => "never", { delivery: "exactly-once", producer });
    const error = await assertRejects(() => running, StreamerError);
    assertEquals([error.code, error.message.includes("requires EVAL, XPENDING and XACK")], ["UNSUPPORTED", true]);
    await consumer.end();
  }
  for (const [command, outputs] of [["-xadd", 1], ["-xdel", 2]] as const) {
    await server.command("XADD", input, "*", "msg", "1");
    await using streamer = await connect(await limited(uniqueKey("u").replaceAll(":", ""), command));
    const { consumer, producer } = await open(streamer);
    const errors: unknown[] = [];
    const stop = new AbortController();
    const running = process(consumer, () => Array.from({ length: outputs }, () => "one"), {
      delivery: "exactly-once",
      producer,
      retryDelay: 1,
      signal: stop.signal,
      onError: (error) => errors.push(error) > 2 && stop.abort(),
    });
    assertEquals((await running).handled, 0);
    assert(
      errors.every((error) =>
        error instanceof StreamerError && /can't run this command|ACL failure in script/.test(error.message)
      ),
    );
    assertEquals(await server.command("XLEN", output), 0);
    await consumer.end();
  }
}, { oneServer: OF_ONE_NODE });

test("entries that another member has read are not taken for this one's", async () => {
  await using streamer = await connect(server.url);
  const { input, output, consumer, producer } = await open(streamer, 0);
  await server.commands(Array.from({ length: 600 }, (_, i) => ["XADD", input, "*", "msg", `${i}`]));
  await readBy(server, { key: input, group: "g", consumer: "other", count: 100 });
  const counts = await processAll({ input, consumer, count: 100 }, (message) => message.text(), { producer });
  assertEquals(counts.failed + counts.repeated, 0);
  assertEquals((await stored(server, output)).length, counts.handled);
});
