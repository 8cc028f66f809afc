// Tests how sends are counted between flushes.

import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { StreamerError } from "../../../resp/errors.ts";
import { SendFailures } from "../../../streamer/producer/messages/send_failures.ts";
import { settle } from "../connection/fakes.ts";
import { freshSeed, Random } from "../../support/resp/drive.ts";
import { test } from "../../support/runner.ts";

/** Accepts a send like the engine. Returns the function that settles it. */
function accept(failures: SendFailures): () => void {
  const { scope } = failures;
  scope.unsettled++;
  return () => failures.settled(scope);
}

function watch(promise: Promise<unknown>): { state: string } {
  const watched = { state: "pending" };
  promise.then(() => watched.state = "done", (error) => watched.state = String(error?.code ?? error));
  return watched;
}

test("a flush with nothing to wait for is done at once", async () => {
  await new SendFailures().flush();
});

test("each flush waits for the sends before it, in order", async () => {
  const failures = new SendFailures();
  const a = accept(failures);
  const first = watch(failures.flush());
  const b = accept(failures);
  const second = watch(failures.flush());
  const third = watch(failures.flush());
  const c = accept(failures);
  b();
  await settle();
  assertEquals([first.state, second.state, third.state], ["pending", "pending", "pending"]);
  a();
  await settle();
  assertEquals([first.state, second.state, third.state], ["done", "done", "done"]);
  c();
});

test("an aborted flush leaves its sends to the later ones", async () => {
  const failures = new SendFailures();
  const a = accept(failures);
  const controller = new AbortController();
  const first = failures.flush(controller.signal);
  first.catch(() => {});
  const b = accept(failures);
  const second = watch(failures.flush());
  const reason = new Error("enough");
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => first), reason);
  b();
  await settle();
  assertEquals(second.state, "pending");
  const later = watch(failures.flush());
  a();
  await settle();
  assertEquals([second.state, later.state], ["done", "done"]);
});

const seed = freshSeed();
test(`any mix of sends, failures, flushes and aborts ends every flush exactly when it should (seed ${seed})`, async () => {
  const random = new Random(seed);
  for (let round = 0; round < 200; round++) {
    const failures = new SendFailures();
    const sends: { settle: () => void; done: boolean }[] = [];
    const flushes: { before: number; watched: { state: string }; controller: AbortController }[] = [];
    for (let step = 0; step < 40; step++) {
      const dice = random.below(10);
      if (dice < 4) {
        sends.push({ settle: accept(failures), done: false });
      } else if (dice < 8) {
        const open = sends.filter(({ done }) => !done);
        if (open.length === 0) continue;
        const send = random.of(open);
        send.done = true;
        send.settle();
      } else if (dice === 8) {
        const controller = new AbortController();
        flushes.push({ before: sends.length, watched: watch(failures.flush(controller.signal)), controller });
      } else if (flushes.length > 0) {
        random.of(flushes).controller.abort("aborted");
      }
      await settle();
      for (const { before, watched, controller } of flushes) {
        const whole = sends.slice(0, before).every(({ done }) => done);
        const expected = watched.state === "done"
          ? whole
          : controller.signal.aborted
          ? watched.state === "aborted"
          : !whole;
        assert(expected, `a flush behind ${before} sends is ${watched.state}`);
      }
    }
    for (const send of sends) if (!send.done) send.settle();
    await settle();
    for (const { watched } of flushes) assert(watched.state !== "pending");
  }
});

test("failures are reported once, with their number, by the first flush or end that looks", async () => {
  const failures = new SendFailures();
  const sends = [{}, {}, {}];
  const marks = sends.map((send, i) => failures.unseen(send, `reason ${i}`));
  failures.seen(sends[0], marks[0]);
  const error = await assertRejects(() => failures.flush(), StreamerError);
  assertEquals([error.code, error.count, error.cause], ["SEND_FAILED", 2, "reason 1"]);
  failures.seen(sends[1], marks[1]);
  await failures.flush();
  failures.unseen({}, "later");
  assertEquals(failures.take()?.count, 1);
  assertEquals(failures.take(), undefined);
});

test("a million failures are counted without the work for a million reasons", async () => {
  const failures = new SendFailures();
  for (let i = 0; i < 1_000_000; i++) failures.unseen({}, i);
  const error = await assertRejects(() => failures.flush(), StreamerError);
  assertEquals([error.count, error.cause], [1_000_000, 0]);
});
