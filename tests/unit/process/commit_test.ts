// Tests when `process` commits its acks, and its options. Without a server.

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  process,
  type ProcessableConsumer,
  type ProcessHandler,
  type ProcessOptions,
  StreamerError,
} from "../../../mod.ts";
import { FakeConsumer, FakeProducer, message, messages, quiet } from "../../support/processing.ts";
import { until } from "../../support/events.ts";
import { test } from "../../support/runner.ts";

test("with autoCommit disabled it commits one at a time, all acks until then, and once more at the end", async () => {
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
  assertEquals(await done, { handled: 51, failed: 0, repeated: 0 });
  assertEquals(consumer.commits, [1, 51, 51]);
});

test("with autoCommit rolling it flushes acks only at the end, and waits for that", async () => {
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
  assertEquals(await done, { handled: 50, failed: 0, repeated: 0 });
  assertEquals(consumer.commits, [50]);
});

test("an abort during a commit waits for it, and commits later acks", async () => {
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
  assertEquals(await done, { handled: 2, failed: 0, repeated: 0 });
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
  // Checked borders: calls that the types forbid.
  const done = process(consumer as ProcessableConsumer, handler as ProcessHandler, options as ProcessOptions);
  const error = await done.then(() => undefined, (reason) => reason);
  assert(error instanceof StreamerError, String(error));
  assertEquals(error.code, "INVALID_OPTION");
  return error;
}

test("a consumer without ack is refused, also if the method exists and its options exclude it", async () => {
  const methods = { ack() {}, nack() {}, batches() {} };
  for (const consumer of [undefined, null, {}, { ...methods, batches: 1 }, { ...methods, ack: undefined }]) {
    await refusal(consumer);
  }
  for (const autoCommit of ["immediate", "delayed", "real-time"]) {
    assertEquals(
      (await refusal({ ...methods, autoCommit })).message,
      `Cannot process messages: 'autoCommit' must be "rolling" or "disabled", got "${autoCommit}"`,
    );
  }
});

test("invalid options are refused by name, and no message is taken", async () => {
  const consumer = new FakeConsumer().put(message("a"));
  const producer = new FakeProducer();
  const wrong: [unknown, string][] = [
    [{ concurrency: 0 }, "'concurrency' must be"],
    [{ concurrency: 1.5 }, "'concurrency' must be"],
    [{ concurrency: Infinity }, "'concurrency' must be"],
    [{ retryDelay: -1 }, "'retryDelay' must be"],
    [{ retryDelay: "1" }, "'retryDelay' must be"],
    [{ retryDelay: NaN }, "'retryDelay' must be"],
    [{ retryDelay: null }, "'retryDelay' must be"],
    [{ signal: {} }, "'signal' must be"],
    [{ signal: null }, "'signal' must be"],
    [{ orderBy: "key" }, "'orderBy' must be"],
    [{ orderBy: null }, "'orderBy' must be"],
    [{ orderBy: { header: 7 } }, "'orderBy' must be"],
    [{ orderBy: { header: "a", also: "b" } }, `unknown option "also"`],
    [{ onError: "log" }, "'onError' must be"],
    [{ producer: null }, "'producer' must be"],
    [{ producer: { ...producer, send: undefined } }, "'producer' must be"],
    [{ concurency: 3 }, `unknown option "concurency"`],
    [null, "'process options' must be"],
  ];
  for (const [options, name] of wrong) {
    const { message: text } = await refusal(consumer, () => {}, options);
    assert(text.startsWith(`Cannot process messages: ${name}`), text);
  }
  const { message: text } = await refusal(consumer, "handle");
  assertEquals(text, `Cannot process messages: 'handler' must be a function, got "handle"`);
  assertEquals([consumer.taken, consumer.left], [0, ["a"]]);
});

test("a producer without a stream of its own is refused", async () => {
  const producer = {
    get streamKey(): string {
      throw new StreamerError("NOT_ANCHORED", "Not anchored");
    },
    send: () => {},
  };
  // A checked border: a part of a producer suffices.
  const options = { producer } as unknown as ProcessOptions;
  await assertRejects(() => process(new FakeConsumer(), () => {}, options), StreamerError, "Not anchored");
});
