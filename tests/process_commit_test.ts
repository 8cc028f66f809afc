// Owns when `process` commits what it has acked, and what it makes of options. Without any server.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { process, type ProcessableConsumer, type ProcessHandler, type ProcessOptions, StreamerError } from "../mod.ts";
import { FakeConsumer, FakeProducer, message, messages, quiet } from "./streamer/processing.ts";
import { until } from "./support/events.ts";
import { test } from "./support/runner.ts";

test("with autoCommit disabled it commits one at a time, all that was acked meanwhile, and once more at the end", async () => {
  const consumer = new FakeConsumer("disabled").put(message("a"));
  const held = Promise.withResolvers<void>();
  consumer.committing = held.promise;
  const controller = new AbortController();
  const done = process(consumer, () => {}, { signal: controller.signal });
  await until(() => consumer.commits.length === 1);
  consumer.put(...messages(50));
  await until(() => consumer.acked.length === 51);
  await quiet();
  assertEquals(consumer.commits, [1]);
  held.resolve();
  await until(() => consumer.commits.length === 2);
  assertEquals(consumer.commits, [1, 51]);
  await quiet();
  assertEquals(consumer.commits, [1, 51]);
  controller.abort();
  assertEquals(await done, { handled: 51, failed: 0 });
  assertEquals(consumer.commits, [1, 51, 51]);
});

test("with autoCommit rolling it has acks sent only at the end, and waits for that", async () => {
  const consumer = new FakeConsumer("rolling").put(...messages(50));
  const held = Promise.withResolvers<void>();
  consumer.committing = held.promise;
  const controller = new AbortController();
  let over = false;
  const done = process(consumer, () => {}, { signal: controller.signal }).finally(() => over = true);
  await until(() => consumer.acked.length === 50);
  await quiet();
  assertEquals(consumer.commits, []);
  controller.abort();
  await until(() => consumer.commits.length === 1);
  await quiet();
  assertEquals(over, false);
  held.resolve();
  assertEquals(await done, { handled: 50, failed: 0 });
  assertEquals(consumer.commits, [50]);
});

test("an abort while a commit is under way waits for it, and commits what came after it", async () => {
  const consumer = new FakeConsumer("disabled").put(message("a"));
  const held = Promise.withResolvers<void>();
  consumer.committing = held.promise;
  const controller = new AbortController();
  const done = process(consumer, () => {}, { signal: controller.signal });
  await until(() => consumer.commits.length === 1);
  consumer.put(message("b"));
  await until(() => consumer.acked.length === 2);
  controller.abort();
  await quiet();
  assertEquals(consumer.commits, [1]);
  held.resolve();
  assertEquals(await done, { handled: 2, failed: 0 });
  assertEquals(consumer.commits, [1, 2]);
});

test("a commit that fails ends the processing, which rejects with its error", async () => {
  for (const autoCommit of ["disabled", "rolling"] as const) {
    const consumer = new FakeConsumer(autoCommit).put(message("a"));
    consumer.committing = Promise.reject(new StreamerError("DISCONNECTED", "Gone"));
    consumer.committing.catch(() => {});
    const done = process(consumer, () => {});
    const rejected = assertRejects(() => done, StreamerError, "Gone");
    await until(() => consumer.acked.length === 1);
    if (autoCommit === "rolling") consumer.end();
    await rejected;
    assertEquals(consumer.asked, false);
  }
});

async function refusal(consumer: unknown, handler: unknown = () => {}, options: unknown = {}): Promise<StreamerError> {
  // Checked borders: what the types forbid is tried on purpose.
  const done = process(consumer as ProcessableConsumer, handler as ProcessHandler, options as ProcessOptions);
  const error = await done.then(() => undefined, (reason) => reason);
  assert(error instanceof StreamerError, String(error));
  assertEquals(error.code, "INVALID_OPTION");
  return error;
}

test("a consumer without ack is refused, also where ack is there and the mode has none", async () => {
  const methods = { ack() {}, nack() {}, flushAcks: () => Promise.resolve(), batches() {} };
  for (const consumer of [undefined, null, {}, methods, { ...methods, autoCommit: "immediate" }]) {
    await refusal(consumer);
  }
  assertEquals(
    (await refusal({ ...methods, autoCommit: "delayed" })).message,
    'Cannot process a consumer as its autoCommit must be "rolling" or "disabled": current value is "delayed"',
  );
});

test("options that cannot be used are refused by name, and nothing is taken", async () => {
  const consumer = new FakeConsumer().put(message("a"));
  const producer = new FakeProducer();
  const wrong: [unknown, string][] = [
    [{ concurrency: 0 }, "option concurrency"],
    [{ concurrency: 1.5 }, "option concurrency"],
    [{ concurrency: Infinity }, "option concurrency"],
    [{ retryDelay: -1 }, "option retryDelay"],
    [{ retryDelay: "1" }, "option retryDelay"],
    [{ orderBy: "key" }, "option orderBy"],
    [{ orderBy: null }, "option orderBy"],
    [{ orderBy: { header: 7 } }, "option orderBy"],
    [{ orderBy: { header: "a", also: "b" } }, `option "also"`],
    [{ onError: "log" }, "option onError"],
    [{ producer: null }, "option producer"],
    [{ producer: { ...producer, send: undefined } }, "option producer"],
    [{ concurency: 3 }, `option "concurency"`],
    [null, "option process options"],
  ];
  for (const [options, name] of wrong) {
    const { message: text } = await refusal(consumer, () => {}, options);
    assert(text.startsWith(`Cannot use ${name}`), text);
  }
  assert((await refusal(consumer, "handle")).message.startsWith("Cannot use option handler"));
  assertEquals([consumer.taken, consumer.left], [0, ["a"]]);
});

test("a producer that is not anchored is refused", async () => {
  const producer = {
    get streamKey(): string {
      throw new StreamerError("NOT_ANCHORED", "Not anchored");
    },
    send: () => {},
  };
  // A checked border: half a producer will do.
  const options = { producer } as unknown as ProcessOptions;
  await assertRejects(() => process(new FakeConsumer(), () => {}, options), StreamerError, "Not anchored");
});
