// Tests the decisions about cuts: when messages are sent one at a time, and which one is given up.

import { assertEquals } from "@std/assert";
import {
  type Cut,
  CUTS_TO_GIVE_UP,
  type Isolation,
  judgeCut,
  UNSUSPECTING,
} from "../../../streamer/producer/sending/link/isolation.ts";
import { test } from "../../support/runner.ts";

const cut = (inFlight: string, more: Partial<Cut<string>> = {}): Cut<string> => ({
  inFlight: [...inFlight],
  unexplained: true,
  ...more,
});
const window = (head?: string): Isolation<string> => ({ kind: "window", head });
const alone = (struck?: string, strikes = 0): Isolation<string> => ({ kind: "alone", struck, strikes });

const table: readonly (readonly [string, Isolation<string>, Cut<string>, Isolation<string>, string, string?])[] = [
  // event, before, the cut, after, suspects, the one that is given up
  ["the first cut notes its head", window(), cut("abc"), window("a"), ""],
  ["another head is noted instead", window("a"), cut("bc"), window("b"), ""],
  ["the same head again isolates all in flight", window("a"), cut("ab"), alone(), "ab"],
  ["however the connection ended", window("a"), cut("ab", { unexplained: false }), alone(), "ab"],
  ["a cut with nothing in flight changes nothing", window("a"), cut(""), window("a"), ""],
  ["the first cut alone is a strike", alone(), cut("a"), alone("a", 1), ""],
  ["the second one too", alone("a", 1), cut("a"), alone("a", 2), ""],
  ["seven are too few to give it up", alone("a", 6), cut("a"), alone("a", 7), ""],
  ["with the eighth one it is given up", alone("a", 7), cut("a"), alone(), "", "a"],
  ["another message begins with one strike", alone("a", 7), cut("b"), alone("b", 1), ""],
  ["a cut that is explained ends the row", alone("a", 7), cut("a", { unexplained: false }), alone(), ""],
  ["a cut with nothing in flight ends the row", alone("a", 7), cut(""), alone(), ""],
];

for (const [what, before, happened, next, suspects, hopeless] of table) {
  test(`isolation: ${what}`, () => {
    assertEquals(judgeCut(before, happened), { next, suspects: [...suspects], hopeless });
  });
}

test("isolation: from the beginning a message is given up at the tenth cut", () => {
  let isolation: Isolation<string> = UNSUSPECTING;
  let cuts = 0;
  for (let given = false; !given; cuts++) {
    const { next, hopeless } = judgeCut(isolation, cut("a"));
    isolation = next;
    given = hopeless === "a";
  }
  assertEquals(cuts, 2 + CUTS_TO_GIVE_UP);
});
