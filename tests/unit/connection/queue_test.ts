// Tests that the queue keeps its order in constant time.

import { assert, assertEquals } from "@std/assert";
import { Queue } from "../../../resp/connection/pipeline/queue.ts";
import { freshSeed, Random } from "../../support/resp/drive.ts";
import { test } from "../../support/runner.ts";

const seed = freshSeed();

test(`any mix of pushing, taking and draining equals an array (seed ${seed})`, () => {
  const random = new Random(seed);
  const queue = new Queue<number>();
  let model: number[] = [];
  let next = 0;
  let growing = true;
  for (let step = 0; step < 60_000; step++) {
    if (random.once(3_000)) growing = !growing;
    if (random.below(10) < (growing ? 7 : 3)) {
      queue.push(next);
      model.push(next++);
    } else if (random.once(5_000)) {
      assertEquals(queue.drain(), model);
      model = [];
    } else {
      assertEquals(queue.peek(), model[0]);
      assertEquals(queue.shift(), model.shift());
    }
    assertEquals(queue.length, model.length);
  }
  assertEquals(queue.drain(), model);
  assertEquals([queue.length, queue.shift(), queue.peek()], [0, undefined, undefined]);
});

test("entries pushed during a drain wait for the next one", () => {
  const queue = new Queue<string>();
  queue.push("a");
  for (const entry of queue.drain()) queue.push(`${entry} again`);
  assertEquals(queue.drain(), ["a again"]);
});

test("the work for one entry does not grow with the length", () => {
  const work = (waiting: number) => {
    const queue = new Queue<number>();
    for (let i = 0; i < waiting; i++) queue.push(i);
    const start = performance.now();
    for (let i = 0; i < 200_000; i++) {
      queue.push(i);
      queue.shift();
    }
    return performance.now() - start;
  };
  work(10);
  const [few, many] = [work(100), work(1_000_000)];
  // If it were linear, this would be four orders of magnitude.
  assert(many < 100 * (few + 1), `${few} ms with few, ${many} ms with many`);
});
