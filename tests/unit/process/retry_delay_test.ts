// Tests the delay before failed messages are redelivered: numbers, functions, and functions that misbehave. Without a
// server.

import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  exponentialDelay,
  type ExponentialDelayOptions,
  type Message,
  process,
  type ProcessOptions,
  StreamerError,
} from "../../../mod.ts";
import { FakeConsumer, messages, quiet } from "../../support/processing.ts";
import { until } from "../../support/events.ts";
import { test } from "../../support/runner.ts";

/** Has all messages fail. Returns the nacks and the errors that `onError` got. */
async function failAll(count: number, options: ProcessOptions) {
  const consumer = new FakeConsumer().put(...messages(count));
  const errors: unknown[] = [];
  const failure = new Error("failed");
  const handle = () => {
    throw failure;
  };
  const done = process(consumer, handle, { ...options, onError: (error) => void errors.push(error) });
  await until(() => consumer.nacked.length === count);
  await quiet();
  consumer.end();
  assertEquals(await done, { handled: 0, failed: count, repeated: 0 });
  return { nacked: consumer.nacked, errors, failure };
}

test("a function returns the delay of each message, from the message and its error", async () => {
  const calls: [string, unknown][] = [];
  const { nacked, errors, failure } = await failAll(3, {
    retryDelay: (message, error) => {
      calls.push([message.text(), error]);
      return 10 * Number(message.text());
    },
  });
  assertEquals(nacked, ["0 0", "1 10", "2 20"]);
  assertEquals(calls, [["0", failure], ["1", failure], ["2", failure]]);
  assertEquals(errors, [failure, failure, failure]);
});

test("a function that throws gives a second, and onError gets its error after that of the handler", async () => {
  const wrong = new Error("wrong");
  const { nacked, errors, failure } = await failAll(1, {
    retryDelay: () => {
      throw wrong;
    },
  });
  assertEquals([nacked, errors], [["0 1000"], [failure, wrong]]);
});

test("a function that returns no number of at least 0 gives a second, and onError gets an INVALID_OPTION", async () => {
  const values = [-1, NaN, undefined, null, "5", 5n, {}].map((value) => () => value);
  const promises = [() => Promise.resolve(5), () => Promise.reject(new Error("late"))];
  for (const valueOf of [...values, ...promises]) {
    // A checked border: a value that the types forbid.
    const { nacked, errors, failure } = await failAll(1, { retryDelay: valueOf as () => number });
    assertEquals([nacked, errors.length, errors[0]], [["0 1000"], 2, failure]);
    const [, problem] = errors;
    assert(problem instanceof StreamerError && problem.code === "INVALID_OPTION", String(problem));
    assert(problem.message.startsWith("Cannot delay a failed message: 'retryDelay' must be"), problem.message);
  }
});

test("0, fractions and Infinity are delays", async () => {
  for (const delay of [0, 0.5, Infinity]) {
    assertEquals((await failAll(1, { retryDelay: () => delay })).nacked, [`0 ${delay}`]);
    assertEquals((await failAll(1, { retryDelay: delay })).nacked, [`0 ${delay}`]);
  }
});

/** A message as far as the function looks at it. */
function delivered(deliveries: number): Message {
  // A checked border: nothing else is read.
  return { deliveries } as Message;
}

test("exponentialDelay multiplies the first delay with each delivery, up to the longest", () => {
  const delay = (options: ExponentialDelayOptions) =>
    [1, 2, 3, 4, 5].map((count) => exponentialDelay(options)(delivered(count), undefined));
  assertEquals(delay({ first: 100, max: 1_000 }), [100, 200, 400, 800, 1_000]);
  assertEquals(delay({ first: 100, max: Infinity, factor: 10 }), [100, 1_000, 10_000, 100_000, 1_000_000]);
  assertEquals(delay({ first: 100, max: 1_000, factor: 1 }), [100, 100, 100, 100, 100]);
  assertEquals(delay({ first: 100, max: 50 }), [50, 50, 50, 50, 50]);
  assertEquals(delay({ first: 0, max: 50 }), [0, 0, 0, 0, 0]);
  for (const first of [0, 100]) {
    const most = exponentialDelay({ first, max: 50 })(delivered(1e9), undefined);
    assertEquals(most, Math.min(first, 50));
  }
});

test("exponentialDelay refuses options that are missing, unknown or out of range, by name", () => {
  const wrong: [unknown, string][] = [
    [{}, "first"],
    [{ first: 1 }, "max"],
    [{ first: -1, max: 1 }, "first"],
    [{ first: NaN, max: 1 }, "first"],
    [{ first: 1, max: "1" }, "max"],
    [{ first: 1, max: 2, factor: 0.5 }, "factor"],
    [{ first: 1, max: 2, facter: 3 }, "facter"],
    [undefined, "exponentialDelay"],
  ];
  for (const [options, name] of wrong) {
    // A checked border: a value that the types forbid.
    const error = assertThrows(() => exponentialDelay(options as ExponentialDelayOptions), StreamerError, name);
    assertEquals(error.code, "INVALID_OPTION");
    assert(error.message.startsWith("Cannot create an exponential delay: "), error.message);
  }
});
