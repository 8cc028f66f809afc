// Owns the proof of which view of a cluster is believed, case by case.

import { assertEquals } from "@std/assert";
import { type Answer, chooseView } from "../../../streamer/cluster/topology/choice.ts";
import type { ClusterView } from "../../../streamer/cluster/topology/view.ts";
import { view } from "../../support/routing/views.ts";
import { test } from "../../support/runner.ts";

const full = view(["a", 0, 8_000], ["b", 8_001, 16_383]);
const moved = view(["a", 0, 7_000], ["b", 7_001, 16_383]);
const drained = view(["b", 0, 16_383]);
const partial = view(["a", 0, 8_000], ["b", 8_001, 16_000]);
const smaller = view(["b", 8_001, 16_383]);
const grown = view(["a", 0, 8_000], ["b", 8_001, 12_000], ["c", 12_001, 16_383]);
const promoted = view(["a", 0, 8_000], ["x", 8_001, 16_383]);
const stranger = view(["s", 0, 8_000], ["t", 8_001, 16_383]);
const empty = view();

const learnt = (...views: readonly ClusterView[]): Answer[] => views.map((view) => ({ view, fromSeed: false }));
const seeds = (...views: readonly ClusterView[]): Answer[] => views.map((view) => ({ view, fromSeed: true }));

type Expected = ClusterView | "ask-another" | "keep";
const table: readonly (readonly [string, ClusterView | undefined, readonly Answer[], Expected, Expected])[] = [
  // what happens, the view of now, the answers; then the choice while others can be asked, and once all were asked
  ["the first view of a seed is accepted", undefined, seeds(full), full, full],
  ["even if slots are missing", undefined, seeds(partial), partial, partial],
  ["but not if all are", undefined, seeds(empty), "ask-another", "keep"],
  ["nobody has answered", full, [], "ask-another", "keep"],
  ["the same view is accepted", full, learnt(full), full, full],
  ["slots between known owners may move", full, learnt(moved), moved, moved],
  ["a new owner may come", full, learnt(grown), grown, grown],
  ["a view that covers less is put aside", full, learnt(partial), "ask-another", "keep"],
  ["until a second node says the same", full, learnt(partial, partial), partial, partial],
  ["two that differ do not agree", full, learnt(partial, smaller), "ask-another", "keep"],
  ["a whole view wins over one that is put aside", full, learnt(partial, full), full, full],
  ["and the other way round", full, learnt(full, partial), full, full],
  ["an owner without slots is put aside", full, learnt(drained), "ask-another", drained],
  ["until a second node says the same", full, learnt(drained, drained), drained, drained],
  ["so is a replaced owner", full, learnt(promoted), "ask-another", promoted],
  ["of several views that are put aside the fullest counts", full, learnt(promoted, smaller), "ask-another", promoted],
  ["an empty view never replaces a map", full, learnt(empty, empty), "ask-another", "keep"],
  ["nodes without a common id are strangers", full, learnt(stranger, stranger), "ask-another", "keep"],
  ["unless a seed says so", full, seeds(stranger), "ask-another", stranger],
  ["also if the stranger came first", full, [...learnt(stranger), ...seeds(stranger)], stranger, stranger],
  [
    "a stranger that is whole does not win over a view that is put aside",
    full,
    learnt(stranger, promoted),
    "ask-another",
    promoted,
  ],
  [
    "nothing is believed of learnt nodes before a seed has answered",
    undefined,
    learnt(full, full),
    "ask-another",
    "keep",
  ],
];

for (const [what, current, answers, early, late] of table) {
  test(`choice of a view: ${what} (${answers.length} answers)`, () => {
    for (const [exhausted, expected] of [[false, early], [true, late]] as const) {
      const choice = chooseView(current, answers, { exhausted });
      assertEquals(choice.kind === "accept" ? choice.view : choice.kind, expected);
    }
  });
}

test("an owner that cannot be reached may be replaced by the view of one node", () => {
  const context = { exhausted: false, lost: new Set(["id-b"]) };
  assertEquals(chooseView(full, learnt(promoted), context), { kind: "accept", view: promoted });
  assertEquals(chooseView(full, learnt(partial), context).kind, "ask-another", "it covers less");
  assertEquals(chooseView(full, learnt(promoted), { exhausted: false, lost: new Set(["id-a"]) }).kind, "ask-another");
});
