// Tests how a loop requests pages: concurrent calls, failures, and an end while a page is in flight.

import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { PageIterator, type PageSource } from "../../../streamer/manager/page_iterator.ts";
import { test } from "../../support/runner.ts";

/** Pages that arrive on command. */
class FakeSource implements PageSource<number> {
  closed = 0;
  asked = 0;
  #there: number[] = [];
  #waiting: PromiseWithResolvers<boolean> | undefined;

  take(): number | undefined {
    return this.#there.shift(); // one of a few
  }

  more(): Promise<boolean> {
    this.asked++;
    this.#waiting = Promise.withResolvers();
    return this.#waiting.promise;
  }

  close(): void {
    this.closed++;
    this.#waiting?.reject(new Error("closed"));
  }

  come(...values: number[]): void {
    this.#there.push(...values);
    this.#waiting?.resolve(values.length > 0);
  }

  fail(error: Error): void {
    this.#waiting?.reject(error);
  }
}

const turns = async () => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};
const done = { value: undefined, done: true } as const;

test("concurrent calls wait for one page at a time, and are answered in their order", async () => {
  const source = new FakeSource();
  const iterator = new PageIterator(source);
  const calls = Array.from({ length: 5 }, () => iterator.next());
  await turns();
  assertEquals(source.asked, 1);
  source.come(1, 2);
  await turns();
  assertEquals(source.asked, 2);
  source.come(3);
  await turns();
  source.come();
  const results = await Promise.all(calls);
  assertEquals(results.map(({ value }) => value), [1, 2, 3, undefined, undefined]);
  assertEquals([source.asked, source.closed, await iterator.next()], [3, 1, done]);
});

test("a failure is thrown once, and ends the calls after it", async () => {
  const source = new FakeSource();
  const iterator = new PageIterator(source);
  const [first, second] = [iterator.next(), iterator.next()];
  await turns();
  const error = new Error("no");
  source.fail(error);
  assertStrictEquals(await assertRejects(() => first), error);
  assertEquals([await second, await iterator.next(), source.closed], [done, done, 1]);
});

test("leaving answers waiting calls, closes the source, and returns nothing that was queued", async () => {
  const source = new FakeSource();
  const iterator = new PageIterator(source);
  const waiting = [iterator.next(), iterator.next()];
  await turns();
  assertEquals(await iterator.return(), done);
  assertEquals([await Promise.all(waiting), source.closed], [[done, done], 1]);
  source.come(1);
  assertEquals(await iterator.next(), done);
});
