// Owns the proof of how sends are counted between flushes.

import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { StreamerError } from "../../../resp/errors.ts";
import { SendLedger } from "../../../streamer/producer/batch.ts";
import { settle } from "../../resp/connection/fakes.ts";
import { freshSeed, Random } from "../../resp/drive.ts";
import { test } from "../../support/runner.ts";

/** Accepts a send as the engine does; gives what settles it. */
function accept(ledger: SendLedger): () => void {
  const { batch } = ledger;
  batch.unsettled++;
  return () => ledger.settled(batch);
}

function watch(promise: Promise<unknown>): { state: string } {
  const watched = { state: "pending" };
  promise.then(() => watched.state = "done", (error) => watched.state = String(error?.code ?? error));
  return watched;
}

test("a flush with nothing to wait for is done at once", async () => {
  await new SendLedger().flush();
});

test("each flush waits for what was accepted before it, in order", async () => {
  const ledger = new SendLedger();
  const a = accept(ledger);
  const first = watch(ledger.flush());
  const b = accept(ledger);
  const second = watch(ledger.flush());
  const third = watch(ledger.flush());
  const c = accept(ledger);
  b();
  await settle();
  assertEquals([first.state, second.state, third.state], ["pending", "pending", "pending"]);
  a();
  await settle();
  assertEquals([first.state, second.state, third.state], ["done", "done", "done"]);
  c();
});

test("an aborted flush leaves its sends to the later ones", async () => {
  const ledger = new SendLedger();
  const a = accept(ledger);
  const controller = new AbortController();
  const first = ledger.flush(controller.signal);
  first.catch(() => {});
  const b = accept(ledger);
  const second = watch(ledger.flush());
  const reason = new Error("enough");
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => first), reason);
  b();
  await settle();
  assertEquals(second.state, "pending");
  const later = watch(ledger.flush());
  a();
  await settle();
  assertEquals([second.state, later.state], ["done", "done"]);
});

const seed = freshSeed();
test(`any mix of sends, failures, flushes and aborts ends every flush exactly when it should (seed ${seed})`, async () => {
  const random = new Random(seed);
  for (let round = 0; round < 200; round++) {
    const ledger = new SendLedger();
    const sends: { settle: () => void; done: boolean }[] = [];
    const flushes: { before: number; watched: { state: string }; controller: AbortController }[] = [];
    for (let step = 0; step < 40; step++) {
      const dice = random.below(10);
      if (dice < 4) {
        sends.push({ settle: accept(ledger), done: false });
      } else if (dice < 8) {
        const open = sends.filter(({ done }) => !done);
        if (open.length === 0) continue;
        const send = random.of(open);
        send.done = true;
        send.settle();
      } else if (dice === 8) {
        const controller = new AbortController();
        flushes.push({ before: sends.length, watched: watch(ledger.flush(controller.signal)), controller });
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

test("failures are told once, with their number, by the first flush or end that looks", async () => {
  const ledger = new SendLedger();
  const sends = [{}, {}, {}];
  const marks = sends.map((send, i) => ledger.unseen(send, `reason ${i}`));
  ledger.seen(sends[0], marks[0]);
  const error = await assertRejects(() => ledger.flush(), StreamerError);
  assertEquals([error.code, error.count, error.cause], ["SEND_FAILED", 2, "reason 1"]);
  ledger.seen(sends[1], marks[1]);
  await ledger.flush();
  ledger.unseen({}, "later");
  assertEquals(ledger.take()?.count, 1);
  assertEquals(ledger.take(), undefined);
});

test("a million failures are counted without keeping a million reasons' worth of work", async () => {
  const ledger = new SendLedger();
  for (let i = 0; i < 1_000_000; i++) ledger.unseen({}, i);
  const error = await assertRejects(() => ledger.flush(), StreamerError);
  assertEquals([error.count, error.cause], [1_000_000, 0]);
});
