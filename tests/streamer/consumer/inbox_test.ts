// Owns who gets which message of the pages that were read ahead, without any server: asking, aborting, holding, ending.

import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { StreamerError } from "../../../resp/errors.ts";
import { readPage } from "../../../streamer/commands/xread.ts";
import { Inbox, type Page } from "../../../streamer/consumer/inbox.ts";
import { fieldBytes, type Message } from "../../../streamer/model/message.ts";
import { Random } from "../../resp/drive.ts";
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

function open(wanted: () => void = () => {}): Inbox {
  return new Inbox({ wanted });
}

function put(inbox: Inbox, streams: Record<string, readonly number[]>): void {
  inbox.add(pageOf(streams));
  inbox.serve();
}

const names = (messages: readonly Message[]) => messages.map((message) => message.text());

test("those who wait are answered in the order in which they asked", async () => {
  const inbox = open();
  const waiting = Array.from({ length: 5 }, () => inbox.ask());
  put(inbox, { a: [1, 2, 3] });
  put(inbox, { a: [4, 5] });
  assertEquals(names(await Promise.all(waiting)), ["a1", "a2", "a3", "a4", "a5"]);
});

test("who takes without waiting does not overtake who waits", async () => {
  const inbox = open();
  const first = inbox.ask();
  assertEquals(inbox.take(), undefined);
  assertEquals(inbox.takeBatch(9), undefined);
  put(inbox, { a: [1, 2] });
  assertEquals((await first).text(), "a1");
  assertEquals(inbox.take()?.text(), "a2");
});

test("an aborted asker takes nothing, wherever it stands in the line", async () => {
  for (const gone of [0, 1, 2]) {
    const inbox = open();
    const controllers = Array.from({ length: 3 }, () => new AbortController());
    const waiting = controllers.map(({ signal }) => inbox.ask(signal));
    const reason = new Error("changed my mind");
    controllers[gone].abort(reason);
    assertStrictEquals(await assertRejects(() => waiting[gone]), reason);
    put(inbox, { a: [1, 2, 3] });
    const rest = waiting.filter((_, i) => i !== gone);
    assertEquals(names(await Promise.all(rest)), ["a1", "a2"]);
    assertEquals(inbox.take()?.text(), "a3");
  }
});

test("a signal that is aborted already rejects with its reason and takes nothing", async () => {
  const inbox = open();
  put(inbox, { a: [1] });
  const reason = new Error("before");
  assertStrictEquals(await assertRejects(() => inbox.ask(AbortSignal.abort(reason))), reason);
  assertStrictEquals(await assertRejects(() => inbox.askBatch(5, AbortSignal.abort(reason))), reason);
  assertEquals((await inbox.ask()).text(), "a1");
});

test("an abort after the answer changes nothing", async () => {
  const inbox = open();
  const controller = new AbortController();
  const asked = inbox.ask(controller.signal);
  put(inbox, { a: [1, 2] });
  controller.abort();
  assertEquals((await asked).text(), "a1");
  assertEquals(inbox.take()?.text(), "a2");
});

test("a batch has messages of one stream only, at most as many as wanted, and never none", () => {
  const inbox = open();
  put(inbox, { a: [1, 2, 3], b: [7] });
  put(inbox, { b: [8, 9] });
  const batches: string[][] = [];
  for (let batch = inbox.takeBatch(2); batch !== undefined; batch = inbox.takeBatch(2)) batches.push(names(batch));
  assertEquals(batches, [["a1", "a2"], ["a3"], ["b7"], ["b8", "b9"]]);
});

test("while it is held nothing is handed out, and each hold must be taken back", async () => {
  const inbox = open();
  inbox.hold();
  inbox.hold();
  const asked = inbox.ask();
  put(inbox, { a: [1] });
  inbox.release();
  assertEquals(inbox.take(), undefined);
  assertEquals(inbox.queued, 1);
  inbox.release();
  assertEquals((await asked).text(), "a1");
});

test("what is cleared is not handed out, and the counts follow", () => {
  const inbox = open();
  put(inbox, { a: [1, 2], b: [3] });
  assertEquals(inbox.take()?.text(), "a1");
  const positions = inbox.clear({ streamKey: "a", shardId: 0 });
  assertEquals([...positions].map(([source, id]) => [source.streamKey, id]), [["a", "1-0"]]);
  assertEquals([inbox.queued, inbox.queuedBytes], [1, 100]);
  assertEquals(inbox.take()?.text(), "b3");
  assertEquals([inbox.queued, inbox.queuedBytes, inbox.pages], [0, 0, 0]);
});

test("clearing all tells from where each stream would have to be read again", () => {
  const inbox = open();
  put(inbox, { a: [1, 2], b: [3] });
  put(inbox, { a: [4] });
  inbox.take();
  const positions = inbox.clear();
  assertEquals([...positions].map(([source, id]) => [source.streamKey, id]), [["a", "1-0"], ["b", "0-0"]]);
  assertEquals([inbox.queued, inbox.queuedBytes, inbox.pages], [0, 0, 0]);
});

test("after the end everybody gets that one error", async () => {
  const inbox = open();
  const waiting = [inbox.ask(), inbox.askBatch(3), inbox.ask()];
  const error = new StreamerError("CONSUMER_ENDED", "over");
  inbox.end(error);
  inbox.end(new StreamerError("CONFLICT", "a later one"));
  for (const asked of [...waiting, inbox.ask()]) assertStrictEquals(await assertRejects(() => asked), error);
  put(inbox, { a: [1] });
  assertEquals([inbox.take(), inbox.queued], [undefined, 0]);
});

test("its owner is told when a page has been handed out to its end, and when somebody asks in vain", async () => {
  let told = 0;
  const inbox = open(() => told++);
  put(inbox, { a: [1, 2] });
  assertEquals(told, 0);
  inbox.take();
  assertEquals(told, 0);
  inbox.take();
  assertEquals(told, 1);
  const asked = inbox.ask();
  assertEquals(told, 2);
  inbox.end(new StreamerError("CONSUMER_ENDED", "over"));
  await assertRejects(() => asked);
});

test("when the last page is handed out to the one who waits, nobody counts as asking any more", async () => {
  const asked: boolean[] = [];
  const inbox: Inbox = open(() => asked.push(inbox.asked));
  const waiting = inbox.ask();
  asked.length = 0;
  put(inbox, { a: [1] });
  await waiting;
  assertEquals(asked.filter((still) => still), []);
});

for (const seed of [1, 2, 3, 4]) {
  test(`with random askers, aborts and pages each message goes to exactly one, in order (seed ${seed})`, async () => {
    const random = new Random(seed);
    const inbox = open();
    const got: string[] = [];
    const pending: Promise<void>[] = [];
    const controllers: AbortController[] = [];
    let next = 1;
    for (let step = 0; step < 2_000; step++) {
      const dice = random.below(10);
      if (dice < 3) {
        const ids = Array.from({ length: 1 + random.below(5) }, () => next++);
        put(inbox, { a: ids });
      } else if (dice < 7) {
        const controller = new AbortController();
        controllers.push(controller);
        const asked = random.once(2)
          ? inbox.ask(controller.signal).then((message) => [message])
          : inbox.askBatch(1 + random.below(4), controller.signal);
        pending.push(asked.then((messages) => void got.push(...names(messages)), () => {}));
      } else if (dice < 8) {
        const taken = inbox.take();
        if (taken !== undefined) got.push(taken.text());
      } else if (controllers.length > 0) {
        random.of(controllers).abort();
      }
      if (random.once(4)) await Promise.resolve();
    }
    for (const controller of controllers) controller.abort();
    await Promise.all(pending);
    for (let left = inbox.take(); left !== undefined; left = inbox.take()) got.push(left.text());
    const all = Array.from({ length: next - 1 }, (_, i) => `a${i + 1}`);
    assert(all.length > 500);
    const order = (name: string) => Number(name.slice(1));
    assertEquals(got.toSorted((x, y) => order(x) - order(y)), all);
    assertEquals([inbox.queued, inbox.queuedBytes, inbox.delivered], [0, 0, all.length]);
  });
}
