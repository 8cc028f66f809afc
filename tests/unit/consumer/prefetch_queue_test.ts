// Tests which call gets which message of the prefetched pages, without any server: calls, aborts, holds, the end.

import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { StreamerError } from "../../../resp/errors.ts";
import { readPage } from "../../../streamer/commands/xread.ts";
import { type Page, PrefetchQueue } from "../../../streamer/consumer/delivery/prefetch_queue.ts";
import type { Message } from "../../../streamer/model/message.ts";
import { fieldBytes } from "../../../streamer/model/message_headers.ts";
import { Random } from "../../support/resp/drive.ts";
import { test } from "../../support/runner.ts";
import { entry, frame, page3 } from "../commands/frames.ts";

/** A page with ids of these numbers for each stream. */
function pageOf(streams: Record<string, readonly number[]>): Page {
  const all = Object.entries(streams).map(([key, ids]): [string, ...string[]] => [
    key,
    ...ids.map((id) => entry(`${id}-0`, "msg", `${key}${id}`)),
  ]);
  const whole = frame(page3(...all));
  return {
    sections: readPage(whole).map(({ redisKey, entries }) => ({
      source: {
        frame: whole,
        streamKey: redisKey,
        shardId: 0,
        timestampFormat: "milliseconds",
        field: fieldBytes("msg"),
      },
      entries,
      taken: 0,
      before: "0-0",
      bytes: 100,
    })),
  };
}

function open(onDemand: () => void = () => {}): PrefetchQueue {
  return new PrefetchQueue({ onDemand });
}

function put(queue: PrefetchQueue, streams: Record<string, readonly number[]>): void {
  queue.add(pageOf(streams));
  queue.serve();
}

const names = (messages: readonly Message[]) => messages.map((message) => message.text());

test("waiting calls are answered in their order", async () => {
  const queue = open();
  const waiting = Array.from({ length: 5 }, () => queue.ask());
  put(queue, { a: [1, 2, 3] });
  put(queue, { a: [4, 5] });
  assertEquals(names(await Promise.all(waiting)), ["a1", "a2", "a3", "a4", "a5"]);
});

test("a caller that takes without waiting does not overtake waiting ones", async () => {
  const queue = open();
  const first = queue.ask();
  assertEquals(queue.take(), undefined);
  assertEquals(queue.takeBatch(9), undefined);
  put(queue, { a: [1, 2] });
  assertEquals((await first).text(), "a1");
  assertEquals(queue.take()?.text(), "a2");
});

test("an aborted call takes nothing, at any place in the queue", async () => {
  for (const gone of [0, 1, 2]) {
    const queue = open();
    const controllers = Array.from({ length: 3 }, () => new AbortController());
    const waiting = controllers.map(({ signal }) => queue.ask(signal));
    const reason = new Error("changed my mind");
    controllers[gone].abort(reason);
    assertStrictEquals(await assertRejects(() => waiting[gone]), reason);
    put(queue, { a: [1, 2, 3] });
    const rest = waiting.filter((_, i) => i !== gone);
    assertEquals(names(await Promise.all(rest)), ["a1", "a2"]);
    assertEquals(queue.take()?.text(), "a3");
  }
});

test("a signal that is already aborted rejects with its reason and takes nothing", async () => {
  const queue = open();
  put(queue, { a: [1] });
  const reason = new Error("before");
  assertStrictEquals(await assertRejects(() => queue.ask(AbortSignal.abort(reason))), reason);
  assertStrictEquals(await assertRejects(() => queue.askBatch(5, AbortSignal.abort(reason))), reason);
  assertEquals((await queue.ask()).text(), "a1");
});

test("an abort after the answer changes nothing", async () => {
  const queue = open();
  const controller = new AbortController();
  const asked = queue.ask(controller.signal);
  put(queue, { a: [1, 2] });
  controller.abort();
  assertEquals((await asked).text(), "a1");
  assertEquals(queue.take()?.text(), "a2");
});

test("a batch has messages of one stream only, at most the requested number, and is never empty", () => {
  const queue = open();
  put(queue, { a: [1, 2, 3], b: [7] });
  put(queue, { b: [8, 9] });
  const batches: string[][] = [];
  for (let batch = queue.takeBatch(2); batch !== undefined; batch = queue.takeBatch(2)) batches.push(names(batch));
  assertEquals(batches, [["a1", "a2"], ["a3"], ["b7"], ["b8", "b9"]]);
});

test("while it is held nothing is returned, and each hold must be released", async () => {
  const queue = open();
  queue.pause();
  queue.pause();
  const asked = queue.ask();
  put(queue, { a: [1] });
  queue.resume();
  assertEquals(queue.take(), undefined);
  assertEquals(queue.queued, 1);
  queue.resume();
  assertEquals((await asked).text(), "a1");
});

test("cleared messages are not returned, and the counts follow", () => {
  const queue = open();
  put(queue, { a: [1, 2], b: [3] });
  assertEquals(queue.take()?.text(), "a1");
  const positions = queue.clear({ streamKey: "a", shardId: 0 });
  assertEquals([...positions].map(([source, id]) => [source.streamKey, id]), [["a", "1-0"]]);
  assertEquals([queue.queued, queue.queuedBytes], [1, 100]);
  assertEquals(queue.take()?.text(), "b3");
  assertEquals([queue.queued, queue.queuedBytes, queue.pages], [0, 0, 0]);
});

test("clearing everything returns the position from which each stream must be read again", () => {
  const queue = open();
  put(queue, { a: [1, 2], b: [3] });
  put(queue, { a: [4] });
  queue.take();
  const positions = queue.clear();
  assertEquals([...positions].map(([source, id]) => [source.streamKey, id]), [["a", "1-0"], ["b", "0-0"]]);
  assertEquals([queue.queued, queue.queuedBytes, queue.pages], [0, 0, 0]);
});

test("after the end all calls get that one error", async () => {
  const queue = open();
  const waiting = [queue.ask(), queue.askBatch(3), queue.ask()];
  const error = new StreamerError("CONSUMER_ENDED", "over");
  queue.end(error);
  queue.end(new StreamerError("CONFLICT", "a later one"));
  for (const asked of [...waiting, queue.ask()]) assertStrictEquals(await assertRejects(() => asked), error);
  put(queue, { a: [1] });
  assertEquals([queue.take(), queue.queued], [undefined, 0]);
});

test("its owner is notified when a page has been returned to its end, and when a call finds none", async () => {
  let told = 0;
  const queue = open(() => told++);
  put(queue, { a: [1, 2] });
  assertEquals(told, 0);
  queue.take();
  assertEquals(told, 0);
  queue.take();
  assertEquals(told, 1);
  const asked = queue.ask();
  assertEquals(told, 2);
  queue.end(new StreamerError("CONSUMER_ENDED", "over"));
  await assertRejects(() => asked);
});

test("when the last page is returned to a waiting call, no caller counts as waiting any more", async () => {
  const asked: boolean[] = [];
  const queue: PrefetchQueue = open(() => asked.push(queue.asked));
  const waiting = queue.ask();
  asked.length = 0;
  put(queue, { a: [1] });
  await waiting;
  assertEquals(asked.filter((still) => still), []);
});

for (const seed of [1, 2, 3, 4]) {
  test(`with random calls, aborts and pages each message goes to exactly one, in order (seed ${seed})`, async () => {
    const random = new Random(seed);
    const queue = open();
    const got: string[] = [];
    const pending: Promise<void>[] = [];
    const controllers: AbortController[] = [];
    let next = 1;
    for (let step = 0; step < 2_000; step++) {
      const dice = random.below(10);
      if (dice < 3) {
        const ids = Array.from({ length: 1 + random.below(5) }, () => next++);
        put(queue, { a: ids });
      } else if (dice < 7) {
        const controller = new AbortController();
        controllers.push(controller);
        const asked = random.once(2)
          ? queue.ask(controller.signal).then((message) => [message])
          : queue.askBatch(1 + random.below(4), controller.signal);
        pending.push(asked.then((messages) => void got.push(...names(messages)), () => {}));
      } else if (dice < 8) {
        const taken = queue.take();
        if (taken !== undefined) got.push(taken.text());
      } else if (controllers.length > 0) {
        random.of(controllers).abort();
      }
      if (random.once(4)) await Promise.resolve();
    }
    for (const controller of controllers) controller.abort();
    await Promise.all(pending);
    for (let left = queue.take(); left !== undefined; left = queue.take()) got.push(left.text());
    const all = Array.from({ length: next - 1 }, (_, i) => `a${i + 1}`);
    assert(all.length > 500);
    const order = (name: string) => Number(name.slice(1));
    assertEquals(got.toSorted((x, y) => order(x) - order(y)), all);
    assertEquals([queue.queued, queue.queuedBytes, queue.delivered], [0, 0, all.length]);
  });
}

test("replies of one round count as one page, until it was returned completely", () => {
  const queue = open();
  const round = {};
  queue.add({ ...pageOf({ a: [1] }), round });
  queue.add({ ...pageOf({ b: [1, 2] }), round });
  queue.add(pageOf({ a: [2] }));
  queue.add({ ...pageOf({ c: [1] }), round });
  assertEquals([queue.pages, queue.queued, queue.queuedBytes], [3, 5, 400]);
  const texts: string[] = [];
  for (let message = queue.take(); message !== undefined; message = queue.take()) texts.push(message.text());
  assertEquals(texts, ["a1", "b1", "b2", "a2", "c1"]);
  queue.add({ ...pageOf({ a: [3] }), round });
  assertEquals([queue.pages, queue.take()?.text()], [1, "a3"]);
});
