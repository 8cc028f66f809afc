// Tests `process` with a consumer that a program has written: it has the methods that `ProcessableConsumer` names, and
// no others. Without a server.

import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { type Message, process, type ProcessableConsumer, processMessages, type ProcessOutlet } from "../../../mod.ts";
import { FakeReceipt, Handlers, message, messages, quiet } from "../../support/processing.ts";
import { until } from "../../support/events.ts";
import { test } from "../../support/runner.ts";

/** The calls, in order. */
type Calls = string[];

/** A consumer of these batches, made of nothing but the required methods. */
function consumerOf(batches: AsyncIterable<Message[]>, calls: Calls = []): ProcessableConsumer {
  return {
    batches: () => batches,
    ack: (one) => void calls.push(`ack ${one.text()}`),
    nack: (one, options) => void calls.push(`nack ${one.text()} ${options?.delay}`),
  };
}

async function* batchesOf(...batches: Message[][]): AsyncGenerator<Message[]> {
  for (const batch of batches) yield await Promise.resolve(batch);
}

/** Batches whose last `next` waits until the iteration is left. */
class WaitingBatches implements AsyncIterableIterator<Message[]> {
  readonly #batches: Message[][];
  readonly #left = Promise.withResolvers<IteratorResult<Message[]>>();
  waiting = false;

  constructor(...batches: Message[][]) {
    this.#batches = batches;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Message[]>> {
    const value = this.#batches.shift();
    if (value !== undefined) return Promise.resolve({ value, done: false });
    this.waiting = true;
    return this.#left.promise;
  }

  return(): Promise<IteratorResult<Message[]>> {
    this.#left.resolve({ value: undefined, done: true });
    return this.#left.promise;
  }
}

test("process and processMessages are the same function", () => {
  assertStrictEquals(processMessages, process);
});

test("a consumer with batches, ack and nack is enough, and all messages are handled when its iteration finishes", async () => {
  const calls: Calls = [];
  const consumer = consumerOf(batchesOf(messages(3, "a"), [], messages(2, "b", 1)), calls);
  const seen: string[] = [];
  const handle = async (one: Message) => {
    await quiet(); // the iteration finishes while handlers run and messages wait
    seen.push(one.text());
    if (one.text() === "a1") throw new Error("no");
  };
  assertEquals(await process(consumer, handle, { retryDelay: 7 }), { handled: 4, failed: 1, repeated: 0 });
  assertEquals(seen.filter((text) => text.startsWith("a")), ["a0", "a1", "a2"]);
  assertEquals(calls.toSorted(), ["ack a0", "ack a2", "ack b0", "ack b1", "nack a1 7"]);
});

test("each shard is handled in order by default, as the mode is not known", async () => {
  const handlers = new Handlers();
  const done = process(consumerOf(batchesOf(messages(2, "a"), messages(1, "b", 1))), handlers.handle);
  await until(() => handlers.running.length === 2);
  await quiet();
  assertEquals(handlers.running, ["a0", "b0"]);
  handlers.finish("a0");
  await until(() => handlers.running.includes("a1"));
  for (const text of handlers.running) handlers.finish(text);
  assertEquals(await done, { handled: 3, failed: 0, repeated: 0 });
});

test("on the signal, messages that have not started are nacked without a delay", async () => {
  const calls: Calls = [];
  const batches = new WaitingBatches(messages(3));
  const handlers = new Handlers();
  const stop = new AbortController();
  const done = process(consumerOf(batches, calls), handlers.handle, { signal: stop.signal });
  await until(() => handlers.running.length === 1 && batches.waiting);
  stop.abort();
  handlers.finish("0");
  assertEquals(await done, { handled: 1, failed: 0, repeated: 0 });
  assertEquals(calls, ["nack 1 0", "nack 2 0", "ack 0"]);
});

test("the signal reaches batches, so that a generator can stop waiting", async () => {
  const stop = new AbortController();
  const calls: Calls = [];
  let isWaiting = false;
  async function* batches(signal: AbortSignal | undefined): AsyncGenerator<Message[]> {
    yield messages(1, "a");
    isWaiting = true;
    await new Promise<void>((resolve) => signal?.addEventListener("abort", () => resolve()));
  }
  const consumer: ProcessableConsumer = {
    ...consumerOf(batchesOf(), calls),
    batches: ({ signal } = {}) => batches(signal),
  };
  const done = process(consumer, () => {}, { signal: stop.signal });
  await until(() => isWaiting);
  stop.abort();
  assertEquals([await done, calls], [{ handled: 1, failed: 0, repeated: 0 }, ["ack a0"]]);
});

test("a generator that waits for ever does not hold up the end, and messages that come late are nacked", async () => {
  const stop = new AbortController();
  const calls: Calls = [];
  const late = Promise.withResolvers<Message[]>();
  let isWaiting = false;
  async function* batches(): AsyncGenerator<Message[]> {
    yield messages(1, "a");
    isWaiting = true;
    yield await late.promise;
  }
  const done = process(consumerOf(batches(), calls), () => {}, { signal: stop.signal });
  await until(() => isWaiting);
  stop.abort();
  assertEquals(await done, { handled: 1, failed: 0, repeated: 0 });
  late.resolve(messages(1, "b"));
  await until(() => calls.length === 2);
  assertEquals(calls, ["ack a0", "nack b0 0"]);
});

test("a nack that throws on the signal is reported, and the others follow", async () => {
  const calls: Calls = [];
  const batches = new WaitingBatches(messages(3));
  const refused = new Error("refused");
  const consumer: ProcessableConsumer = {
    ...consumerOf(batches, calls),
    nack: (one) => {
      calls.push(`nack ${one.text()}`);
      throw refused;
    },
  };
  const handlers = new Handlers();
  const stop = new AbortController();
  const errors: unknown[] = [];
  const onError = (error: unknown, one: Message) => void errors.push([error, one.text()]);
  const done = process(consumer, handlers.handle, { signal: stop.signal, onError });
  await until(() => handlers.running.length === 1 && batches.waiting);
  stop.abort();
  handlers.finish("0");
  assertEquals(await done, { handled: 1, failed: 0, repeated: 0 });
  assertEquals(calls, ["nack 1", "nack 2", "ack 0"]);
  assertEquals(errors, [[refused, "1"], [refused, "2"]]);
});

test("a commit method is called after acks, once at a time, and before process resolves", async () => {
  const calls: Calls = [];
  const held = Promise.withResolvers<void>();
  const batches = new WaitingBatches(messages(1, "a"), messages(20, "b"));
  const consumer: ProcessableConsumer = {
    ...consumerOf(batches, calls),
    commit: () => {
      calls.push("commit");
      return held.promise;
    },
  };
  const stop = new AbortController();
  const done = process(consumer, () => {}, { signal: stop.signal });
  await until(() => calls.length === 22);
  await quiet();
  assertEquals(calls.slice(0, 2), ["ack a0", "commit"]);
  assertEquals(calls.filter((call) => call === "commit").length, 1);
  held.resolve();
  await until(() => calls.filter((call) => call === "commit").length === 2);
  stop.abort();
  assertEquals(await done, { handled: 21, failed: 0, repeated: 0 });
  assertEquals(calls.at(-1), "commit");
});

test("a commit that rejects ends the processing with its error", async () => {
  const consumer: ProcessableConsumer = {
    ...consumerOf(new WaitingBatches(messages(1))),
    commit: () => Promise.reject(new Error("not committed")),
  };
  await assertRejects(() => process(consumer, () => {}), Error, "not committed");
});

test("batches that throw, reject or are no arrays end the processing with their error, once handlers have finished", async () => {
  const failing: AsyncIterator<Message[]>["next"][] = [
    () => {
      throw new Error("broken");
    },
    () => Promise.reject(new Error("broken")),
    // A checked border: a result that the types forbid.
    () => Promise.resolve({ value: { map: () => assertFail() } as unknown as Message[], done: false }),
  ];
  for (const next of failing) {
    const handlers = new Handlers();
    let calls = 0;
    const iterator = { next: () => calls++ === 0 ? Promise.resolve({ value: [message("a")], done: false }) : next() };
    const acked: Calls = [];
    const done = process(consumerOf({ [Symbol.asyncIterator]: () => iterator }, acked), handlers.handle);
    const rejected = assertRejects(() => done, Error, "broken");
    await until(() => handlers.running.length === 1 && calls === 2);
    await quiet();
    handlers.finish("a");
    await rejected;
    assertEquals(acked, ["ack a"]);
  }
});

function assertFail(): never {
  throw new Error("broken");
}

test("a producer with only the members of its type is enough", async () => {
  const sent: unknown[] = [];
  const producer: ProcessOutlet = {
    streamKey: "out",
    desiredSize: 1,
    ready: Promise.resolve(),
    send: (payload) => {
      sent.push(payload);
      const receipt = new FakeReceipt();
      receipt.ack();
      return receipt;
    },
  };
  const done = process(consumerOf(batchesOf(messages(2))), (one) => `out ${one.text()}`, { producer });
  assertEquals(await done, { handled: 2, failed: 0, repeated: 0 });
  assertEquals(sent, ["out 0", "out 1"]);
});
