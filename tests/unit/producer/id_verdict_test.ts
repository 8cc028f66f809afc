// Tests what becomes of a message in doubt, for everything that its stream can say.

import { assertEquals } from "@std/assert";
import { type IdFacts, type IdVerdict, judgeId } from "../../../streamer/producer/ids/verdict.ts";
import { test } from "../../support/runner.ts";

const NOTHING: IdFacts = { found: "nothing", isAboveEnd: false, isRefused: false, hasLower: false };

const CASES: readonly (readonly [what: string, facts: Partial<IdFacts>, verdict: IdVerdict])[] = [
  ["its own bytes under its id", { found: "own" }, "stored"],
  ["its own bytes, after a refusal: a late copy was faster", { found: "own", isRefused: true }, "stored"],
  ["other bytes under its id", { found: "other" }, "conflict"],
  ["other bytes under its id, at the end", { found: "other", isAboveEnd: true }, "conflict"],
  ["an entry that is too large to be read", { found: "unreadable" }, "ambiguous"],
  ["nothing, and the stream ends below it", { isAboveEnd: true }, "send"],
  ["nothing, the stream ends below it, and lower entries are there", { isAboveEnd: true, hasLower: true }, "send"],
  ["nothing, above the last entry, but the server refuses the id", { isAboveEnd: true, isRefused: true }, "ambiguous"],
  ["the same, and lower entries are there", { isAboveEnd: true, isRefused: true, hasLower: true }, "conflict"],
  ["nothing, and lower entries are there, so that it was not trimmed", { hasLower: true }, "conflict"],
  ["nothing, and the stream begins above it, so that it may have been trimmed", {}, "ambiguous"],
];

for (const [what, facts, verdict] of CASES) {
  test(`a message in doubt: ${what}: ${verdict}`, () => assertEquals(judgeId({ ...NOTHING, ...facts }), verdict));
}
