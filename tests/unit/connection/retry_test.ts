// Tests how long and how fast a command is retried.

import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { RedisError, StreamerError } from "../../../resp/errors.ts";
import { type Pace, passesSoon, patienceLeft, retryWhileUnavailable } from "../../../resp/connection/retry/retry.ts";
import { test } from "../../support/runner.ts";
import { FakeClock } from "./fakes.ts";

const reconnect = { initialDelay: 50, maxDelay: 2_000, maxAttempts: Infinity };
const refusal = (text: string) => new RedisError(text, { command: "XADD" });

/** Answers from the list in sequence, and repeats the last one. Counts. */
function answers<T>(...list: readonly (T | Error)[]) {
  const asked = { count: 0 };
  const ask = () => {
    const answer = list[Math.min(asked.count++, list.length - 1)];
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
  };
  return { asked, ask };
}

test("a temporary refusal is retried until it is answered, and recorded meanwhile", async () => {
  const clock = new FakeClock();
  const notes: string[] = [];
  const waits = {
    begin(cause: unknown) {
      notes.push(`begin ${cause}`);
      return { refused: (later: unknown) => void notes.push(`refused ${later}`), over: () => void notes.push("over") };
    },
  };
  const { ask } = answers<string>(refusal("LOADING x"), refusal("OOM y"), "done");
  const result = retryWhileUnavailable({ clock, reconnect, waits }, undefined, ask);
  await clock.pass(1_000);
  assertEquals(await result, "done");
  assertEquals(notes, ["begin RedisError: LOADING x", "refused RedisError: OOM y", "over"]);
  assertEquals(await retryWhileUnavailable({ clock, reconnect, waits }, undefined, () => Promise.resolve(1)), 1);
  assertEquals(notes.length, 3, "nothing is noted while all is well");
});

test("a permanent refusal rejects at once, also one that is temporary for others only", async () => {
  const clock = new FakeClock();
  for (
    const [text, passes] of [["WRONGTYPE x", undefined], ["OOM x", passesSoon], ["MOVED 1 a:1", passesSoon]] as const
  ) {
    const { asked, ask } = answers(refusal(text));
    const error = await assertRejects(() =>
      retryWhileUnavailable({ clock, reconnect, ...(passes && { passes }) }, undefined, ask)
    );
    assertEquals([String(error), asked.count], [`RedisError: ${text}`, 1]);
  }
});

test("when patience ends it rejects with the given error, after one more attempt at that moment", async () => {
  const clock = new FakeClock();
  const expired = (last: StreamerError) => new StreamerError("TIMEOUT", "too late", { cause: last });
  const pace: Pace = { clock, reconnect, patience: { until: clock.now() + 1_000, expired } };
  const last = refusal("READONLY x");
  const { asked, ask } = answers(last);
  const failed = assertRejects(() => retryWhileUnavailable(pace, undefined, ask), StreamerError);
  await clock.pass(999);
  const before = asked.count;
  await clock.pass(1);
  const error = await failed;
  assertEquals([error.code, asked.count - before, patienceLeft(pace), clock.running], ["TIMEOUT", 1, 0, 0]);
  assertStrictEquals(error.cause, last);
});

test("a signal ends the pause, whichever of the two it is", async () => {
  const clock = new FakeClock();
  for (const which of ["signal", "closing"]) {
    const controller = new AbortController();
    const other = new AbortController().signal;
    const signal = which === "signal" ? controller.signal : other;
    const closing = which === "signal" ? other : controller.signal;
    const reason = new Error("enough");
    const failed = assertRejects(() =>
      retryWhileUnavailable({ clock, reconnect, closing }, signal, answers(refusal("BUSY x")).ask)
    );
    await clock.pass(1);
    controller.abort(reason);
    assertStrictEquals(await failed, reason);
    assertEquals(clock.running, 0);
  }
});
