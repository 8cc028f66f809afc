// Owns the proof of the order in which Sentinels are asked.

import { assertEquals } from "@std/assert";
import { askingOrder, type Standing, UNASKED } from "../../../streamer/cluster/sentinel/standing.ts";
import { test } from "../../support/runner.ts";

/** Sentinels by name. */
function sentinels(standings: Readonly<Record<string, Standing | Standing["kind"]>>) {
  return Object.entries(standings).map(([name, standing], at) => ({
    name,
    standing: typeof standing === "string" ? { kind: standing, at } : standing,
  }));
}

const orders: readonly (readonly [string, Readonly<Record<string, Standing | Standing["kind"]>>, string])[] = [
  ["those that were never asked, as they were given", { a: UNASKED, b: UNASKED, c: UNASKED }, "a b c"],
  ["the one that answered last first", { a: UNASKED, b: "answered", c: "answered" }, "c b a"],
  ["those that failed last", { a: "failed", b: UNASKED, c: "answered" }, "c b a"],
  ["those that failed longest ago before the others", { a: "failed", b: "failed", c: UNASKED }, "c a b"],
  ["a doubted one after those that may know better", { a: "doubted", b: UNASKED, c: "failed" }, "b a c"],
  ["doubted ones in turn", { a: { kind: "doubted", at: 9 }, b: { kind: "doubted", at: 8 }, c: "failed" }, "b a c"],
];

for (const [what, standings, expected] of orders) {
  test(`Sentinels are asked in this order: ${what}`, () => {
    assertEquals(askingOrder(sentinels(standings)).map(({ name }) => name).join(" "), expected);
  });
}
