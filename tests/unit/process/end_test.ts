// Tests how `process` ends with its consumer, by an error, and that nothing of it remains. Without a server.

import { assertEquals, assertRejects } from "@std/assert";
import { process, StreamerError } from "../../../mod.ts";
import { FakeConsumer, Handlers, message, messages, quiet } from "../../support/processing.ts";
import { until } from "../../support/events.ts";
import { test } from "../../support/runner.ts";

/** A signal that counts its listeners. */
function watchedSignal() {
  const controller = new AbortController();
  const { signal } = controller;
  let listeners = 0;
  const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
  signal.addEventListener = (type: string, listener: EventListenerOrEventListenerObject, options?: unknown) => {
    listeners++;
    // A checked border: the value continues unchanged.
    add(type, listener, options as AddEventListenerOptions);
  };
  signal.removeEventListener = (type: string, listener: EventListenerOrEventListenerObject) => {
    listeners--;
    remove(type, listener);
  };
  return { controller, signal, listeners: () => listeners };
}

test("when the consumer ends running handlers finish, and it resolves", async () => {
  const consumer = new FakeConsumer().put(...messages(2));
  const handlers = new Handlers();
  const errors: unknown[] = [];
  const done = process(consumer, handlers.handle, { onError: (error) => void errors.push(error) });
  await until(() => handlers.running.length === 1 && consumer.asked);
  const ended = new StreamerError("CONSUMER_ENDED", "The consumer has ended");
  consumer.refusal = { nack: ended };
  consumer.end();
  await quiet();
  handlers.finish("0");
  assertEquals(await done, { handled: 1, failed: 0, repeated: 0 });
  assertEquals(handlers.started, ["0"]);
  assertEquals(errors, []); // messages that were not started stay pending, without an error
});

test("messages acked after the consumer's end have failed, and a refused final commit is not an error", async () => {
  const consumer = new FakeConsumer().put(message("a"));
  const handlers = new Handlers();
  const errors: unknown[] = [];
  const done = process(consumer, handlers.handle, { onError: (error) => void errors.push(error) });
  await until(() => handlers.running.length === 1 && consumer.asked);
  const ended = new StreamerError("CONSUMER_ENDED", "The consumer has ended");
  consumer.refusal = { ack: ended, nack: ended };
  consumer.committing = Promise.reject(ended);
  consumer.committing.catch(() => {});
  consumer.end();
  handlers.finish("a");
  assertEquals(await done, { handled: 0, failed: 1, repeated: 0 });
  assertEquals(errors, [ended]);
});

test("when the consumer fails running handlers finish, and it rejects with that error", async () => {
  const consumer = new FakeConsumer().put(...messages(2));
  const handlers = new Handlers();
  const done = process(consumer, handlers.handle);
  await until(() => handlers.running.length === 1 && consumer.asked);
  const fatal = new StreamerError("NOPERM", "No");
  let over = false;
  const rejected = assertRejects(() => done.finally(() => over = true), StreamerError, "No");
  consumer.end(fatal);
  await quiet();
  assertEquals([over, handlers.running], [false, ["0"]]);
  handlers.finish("0");
  await rejected;
  assertEquals([consumer.acked, consumer.nacked, consumer.commits], [["0"], ["1 back"], [1]]);
});

test("no listener stays at the signal, in any end", async () => {
  const aborted = watchedSignal();
  const consumer = new FakeConsumer();
  const one = process(consumer, () => {}, { signal: aborted.signal });
  await until(() => consumer.asked);
  assertEquals(aborted.listeners(), 1);
  aborted.controller.abort();
  await one;
  const open = watchedSignal();
  for (const error of [undefined, new Error("fatal")]) {
    const other = new FakeConsumer().put(message("a"));
    const done = process(other, () => {}, { signal: open.signal });
    await until(() => other.acked.length === 1 && other.asked);
    other.end(error);
    await done.catch(() => {});
  }
  assertEquals([aborted.listeners(), open.listeners()], [0, 0]);
});
