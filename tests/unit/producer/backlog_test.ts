// Tests that the waiting messages of a key are sent in the order of the calls.

import { assertEquals } from "@std/assert";
import { Backlog, type Placed } from "../../../streamer/producer/messages/target.ts";
import { test } from "../../support/runner.ts";

const placed = (serial: number): Placed => ({ serial, settled: false });
const serials = (records: readonly Placed[]) => records.map(({ serial }) => serial);

test("refused messages come out in the order of the calls, before the later ones", () => {
  const backlog = new Backlog<Placed>();
  backlog.later.push(placed(10));
  for (const serial of [4, 1, 3]) backlog.refuse(placed(serial), `cause ${serial}`);
  backlog.later.push(placed(11));
  assertEquals([backlog.open, backlog.cause], [false, "cause 3"]);
  backlog.release();
  assertEquals([backlog.open, serials(backlog.later.drain())], [true, [1, 3, 4, 10, 11]]);
});

test("a refusal closes it again, before later messages", () => {
  const backlog = new Backlog<Placed>();
  for (const serial of [1, 2, 3]) backlog.refuse(placed(serial), "first");
  backlog.release();
  const first = backlog.later.shift();
  backlog.refuse(first ?? placed(-1), "second");
  assertEquals(backlog.open, false);
  backlog.release();
  assertEquals(serials(backlog.later.drain()), [1, 2, 3]);
});

test("overtaken messages are removed, once; later ones stay", () => {
  const backlog = new Backlog<Placed>();
  backlog.refuse(placed(1), "no");
  backlog.refuse(placed(2), "no");
  backlog.later.push(placed(5));
  assertEquals(serials(backlog.overtaken().map(({ record }) => record)), [1, 2]);
  assertEquals(serials(backlog.overtaken().map(({ record }) => record)), []);
  backlog.release();
  assertEquals(serials(backlog.later.drain()), [5]);
});
