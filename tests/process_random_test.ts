// Owns the promises of `process` under random handlers, receipts, arrivals and aborts. Without any server.

import { assert, assertEquals } from "@std/assert";
import { type Message, type Output, process, type ProcessOrder } from "../mod.ts";
import { Random } from "./resp/drive.ts";
import { FakeConsumer, FakeProducer, message } from "./streamer/processing.ts";
import { test } from "./support/runner.ts";

const MESSAGES = 300;
const LINES = 4;

/** Settles some of what is outstanding, in order for the most part, as a producer does. */
function settleSome(random: Random, producer: FakeProducer): void {
  const pending = producer.sent.filter(({ receipt }) => receipt.outcome === "pending");
  const some = random.once(3) ? pending.filter(() => random.once(2)) : pending.slice(0, random.below(20));
  for (const { receipt } of some) {
    if (random.once(9)) receipt.fail(new Error("lost"), random.of(["unknown", "not-written"]));
    else receipt.ack();
  }
}

async function run(seed: number, orderBy: ProcessOrder): Promise<void> {
  const random = new Random(seed);
  const concurrency = random.of([1, 2, 5, 16]);
  const consumer = new FakeConsumer(random.of(["rolling", "disabled"]));
  const producer = new FakeProducer({ storing: random.once(3) });
  const controller = new AbortController();
  const running = new Map<string, (output: Output | Promise<Output>) => void>();
  const lines = new Map<string, number[]>();
  const returned = new Set<string>(); // what must be acked, unless a receipt of it fails
  const busy = new Set<string>();

  const output = (text: string): Output => {
    if (random.once(12)) throw new Error("thrown");
    returned.add(text);
    return random.of([undefined, [], text, { payload: text }, [text, text]]);
  };
  const handle = (one: Message): Output | Promise<Output> => {
    const text = one.text();
    const [name, number] = text.split(":");
    assert(!controller.signal.aborted, "a handler started after the abort");
    lines.set(name, [...lines.get(name) ?? [], Number(number)]);
    if (random.once(2)) return output(text);
    assert(orderBy === "none" || !busy.has(name), `two handlers of ${name} at a time`);
    busy.add(name);
    const { promise, resolve } = Promise.withResolvers<Output>();
    running.set(text, resolve);
    assert(running.size <= concurrency, `${running.size} of ${concurrency} handlers run`);
    return promise.finally(() => busy.delete(name));
  };
  const finishSome = () => {
    for (const [text, resolve] of running) {
      if (random.once(2)) continue;
      running.delete(text);
      resolve(new Promise((done) => done(output(text))));
    }
  };

  const failures: unknown[] = [];
  const onError = (error: unknown) => void failures.push(error);
  const done = process(consumer, handle, { concurrency, orderBy, producer, onError, signal: controller.signal });
  let over = false;
  const ended = done.finally(() => over = true);
  const abortAt = random.below(120);
  for (let turn = 0, put = 0; !over; turn++) {
    for (let left = random.below(12); left > 0 && put < MESSAGES; left--, put++) {
      const line = random.below(LINES);
      const place = orderBy === "shard" ? { shardId: line } : { headers: ["user", `${line}`] };
      consumer.put(message(`${line}:${put}`, place));
    }
    finishSome();
    settleSome(random, producer);
    if (random.once(4)) producer.desiredSize = random.below(2);
    else if (producer.desiredSize === 0) producer.drain();
    assert(consumer.taken - consumer.acked.length - consumer.nacked.length <= 4_096 + 3 * concurrency);
    if (turn >= abortAt) controller.abort();
    if (random.once(2)) await Promise.resolve();
    else await new Promise((resolve) => setTimeout(resolve, 0));
  }
  const counts = await ended;

  const givenBack = consumer.nacked.map((line) => line.split(" ")[0]);
  const settled = [...consumer.acked, ...givenBack];
  assertEquals(new Set(settled).size, settled.length, "a message was settled twice");
  assertEquals(settled.length, consumer.taken, "every message that was taken is acked or given back");
  assertEquals(counts, { handled: consumer.acked.length, failed: failures.length });
  assertEquals(consumer.nacked.filter((line) => !line.endsWith(" back")).length, failures.length);
  for (const error of failures) assert(["lost", "thrown"].includes((error as Error).message), String(error));
  for (const text of consumer.acked) assert(returned.has(text), `${text} was acked and its handler has not returned`);
  const lost = new Set(
    producer.sent.filter(({ receipt }) => receipt.outcome !== "acked").map(({ payload }) => payload),
  );
  for (const text of consumer.acked) assert(!lost.has(text), `${text} was acked and its output was lost`);
  assertEquals(consumer.commits.at(-1), consumer.acked.length);
  if (orderBy === "none") return;
  for (const [name, numbers] of lines) assertEquals(numbers, numbers.toSorted((a, b) => a - b), `order of ${name}`);
}

for (const orderBy of ["shard", "none", { header: "user" }] satisfies ProcessOrder[]) {
  const name = typeof orderBy === "string" ? orderBy : "header";
  const first = 1 + Math.floor(Math.random() * 1e9);
  const rounds = 25;
  test(`random runs ordered by ${name} lose nothing, settle each message once and keep the order (seeds from ${first})`, async () => {
    for (let seed = first; seed < first + rounds; seed++) {
      await run(seed, orderBy).catch((cause) => {
        throw new Error(`Seed ${seed}`, { cause });
      });
    }
  });
}
