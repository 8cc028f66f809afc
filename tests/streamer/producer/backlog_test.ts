// Owns the proof that what is held back for a key comes out in the order of the calls.

import { assertEquals } from "@std/assert";
import { Backlog, type Placed } from "../../../streamer/producer/target.ts";
import { test } from "../../support/runner.ts";

const placed = (serial: number): Placed => ({ serial, settled: false });
const serials = (records: readonly Placed[]) => records.map(({ serial }) => serial);

test("what was refused comes out in the order of the calls, in front of what was held", () => {
  const backlog = new Backlog<Placed>();
  backlog.held.push(placed(10));
  for (const serial of [4, 1, 3]) backlog.refuse(placed(serial), `cause ${serial}`);
  backlog.held.push(placed(11));
  assertEquals([backlog.open, backlog.cause], [false, "cause 3"]);
  backlog.release();
  assertEquals([backlog.open, serials(backlog.held.drain())], [true, [1, 3, 4, 10, 11]]);
});

test("a refusal closes it again, and goes in front of what is still held", () => {
  const backlog = new Backlog<Placed>();
  for (const serial of [1, 2, 3]) backlog.refuse(placed(serial), "first");
  backlog.release();
  const first = backlog.held.shift();
  backlog.refuse(first ?? placed(-1), "second");
  assertEquals(backlog.open, false);
  backlog.release();
  assertEquals(serials(backlog.held.drain()), [1, 2, 3]);
});

test("those that were overtaken are taken out, once; what is held stays", () => {
  const backlog = new Backlog<Placed>();
  backlog.refuse(placed(1), "no");
  backlog.refuse(placed(2), "no");
  backlog.held.push(placed(5));
  assertEquals(serials(backlog.overtaken().map(({ record }) => record)), [1, 2]);
  assertEquals(serials(backlog.overtaken().map(({ record }) => record)), []);
  backlog.release();
  assertEquals(serials(backlog.held.drain()), [5]);
});
