// Tests the ids that a producer chooses: they rise, whatever the clock does.

import { assertEquals } from "@std/assert";
import { endOfId, IdClock, idPlaceholder, readId } from "../../../streamer/producer/ids/id_clock.ts";
import { RisingTemplate } from "../../../streamer/producer/ids/rising_template.ts";
import { compareIds } from "../../../streamer/model/id.ts";
import { test } from "../../support/runner.ts";

function started(id = "0-0", format: "milliseconds" | "nanoseconds" = "milliseconds"): IdClock {
  const clock = new IdClock(format);
  clock.startAbove(id);
  return clock;
}

/** The ids of calls at these times. */
function idsAt(clock: IdClock, times: readonly number[]): string[] {
  return times.map((time) => {
    clock.advance(time);
    return clock.last;
  });
}

/** What {@linkcode IdClock.rewrite} makes of an id. */
function rewritten(clock: IdClock, id: string, isOwn = false): string {
  const bytes = new TextEncoder().encode(`<${id}\r`);
  const outcome = clock.rewrite({ bytes, at: 1 }, { isOwn });
  return outcome === "changed" ? new TextDecoder().decode(bytes.subarray(1, -1)) : outcome;
}

const ADVANCES: readonly (readonly [what: string, end: string, times: readonly number[], ids: readonly string[]])[] = [
  ["each new millisecond begins with 0", "0-0", [5, 5, 6, 9], ["5-0", "5-1", "6-0", "9-0"]],
  ["the second half grows while the clock is behind", "0-0", [5, 3, 1, 5, 6], ["5-0", "5-1", "5-2", "5-3", "6-0"]],
  ["above an end that is ahead", "7-3", [5, 7, 8], ["7-4", "7-5", "8-0"]],
  ["above an end of the same time", "5-0", [5], ["5-1"]],
  ["a second half that is too large", "7-18446744073709551615", [5, 5], ["8-1", "8-2"]],
  ["a first half beyond 53 bits", "18446744073709551615-4", [5], ["18446744073709551615-5"]],
];

for (const [what, end, times, ids] of ADVANCES) {
  test(`ids rise: ${what}`, () => assertEquals(idsAt(started(end), times), ids));
}

test("ids in nanoseconds have whole milliseconds, unless the stream's end is later", () => {
  assertEquals(idsAt(started("0-0", "nanoseconds"), [5, 5, 6]), ["5000000-0", "5000000-1", "6000000-0"]);
  assertEquals(idsAt(started("5000001-7", "nanoseconds"), [5, 6]), ["5000001-8", "6000000-0"]);
});

test("the last possible id is the end", () => {
  assertEquals(new IdClock("milliseconds").startAbove("18446744073709551615-18446744073709551615"), false);
});

test("a lower end does not take a clock back", () => {
  const clock = started("7-3");
  clock.startAbove("5-9");
  assertEquals(idsAt(clock, [1]), ["7-4"]);
});

test("own timestamps rise or stay the same", () => {
  const clock = started("5-3");
  assertEquals([clock.advanceTo(4n), clock.last], [false, "5-3"]);
  assertEquals([clock.advanceTo(5n), clock.last], [true, "5-4"]);
  assertEquals([clock.advanceTo(9n), clock.last], [true, "9-0"]);
  assertEquals(idsAt(clock, [7, 10]), ["9-1", "10-0"]);
});

test("a waiting message keeps an id that is above the last one, and otherwise gets another one of the same length", () => {
  assertEquals(rewritten(started("5-3"), "6-0"), "kept");
  assertEquals(rewritten(started("5-3"), "5-4"), "kept");
  assertEquals(rewritten(started("5-3"), "5-3"), "5-4");
  assertEquals(rewritten(started("5-3"), "4-17"), "5-04");
  assertEquals(rewritten(started("5-9"), "5-1"), "6-0", "the second half does not fit");
  assertEquals(rewritten(started("9-9"), "5-1"), "impossible", "the first half does not fit");
  assertEquals(rewritten(started("5-3"), "5-0000000001", true), "5-0000000004");
  assertEquals(rewritten(started("5-3"), "4-0000000001", true), "impossible", "the timestamp is too early");
});

test("a placeholder gets any id: of its own time, or above the last one", () => {
  const chosen = (clock: IdClock, time: bigint, isOwn = false) => {
    const bytes = new TextEncoder().encode(`${idPlaceholder(time)}\r\n`);
    assertEquals(readId({ bytes, at: 0 }), undefined);
    const outcome = clock.rewrite({ bytes, at: 0 }, { isOwn });
    assertEquals(endOfId({ bytes, at: 0 }), bytes.length - 2);
    return outcome === "changed" ? readId({ bytes, at: 0 }) : outcome;
  };
  const clock = started("1700000000000-5");
  assertEquals(chosen(clock, 1_600_000_000_000n), "1700000000000-6");
  assertEquals(chosen(clock, 1_700_000_000_001n), "1700000000001-0");
  assertEquals(chosen(clock, 1_700_000_000_001n, true), "1700000000001-1");
  assertEquals(chosen(clock, 1_700_000_000_000n, true), "impossible");
  assertEquals(chosen(started("18446744073709551610-4294967296"), 3n), "18446744073709551610-4294967297");
});

test("the template of plain messages always has the next id, with any number of digits", () => {
  const clock = new IdClock("milliseconds");
  const template = new RisingTemplate(clock, { key: "k", trim: ["MAXLEN", "~", 10], field: "msg", headers: [] });
  const idIn = () => readId({ bytes: template.head, at: template.stampAt });
  assertEquals([template.next(5), idIn()], [template, undefined]);
  clock.startAbove("7-0");
  let last = "7-0";
  for (let i = 0; i < 2_500; i++) {
    if (i % 700 === 300) clock.advance(8 + i); // a message with headers
    const { head, stampAt } = template.next(i % 900 === 0 ? 9 + i : 3);
    const id = idIn() ?? "";
    assertEquals(compareIds(id, last) > 0, true, `${id} is above ${last}`);
    assertEquals(id, clock.last);
    const text = new TextDecoder().decode(head);
    const expected =
      `*8\r\n$4\r\nXADD\r\n$1\r\nk\r\n$6\r\nMAXLEN\r\n$1\r\n~\r\n$2\r\n10\r\n$${id.length}\r\n${id}\r\n$3\r\nmsg\r\n`;
    assertEquals(text, expected);
    assertEquals(stampAt, text.indexOf(id, 50));
    last = id;
  }
});
