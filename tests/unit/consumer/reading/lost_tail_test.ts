// Tests where reading resumes after a failover, as a table: what was read, what is left of it, and where the stream begins and ends.

import { assertEquals } from "@std/assert";
import { judgeTail } from "../../../../streamer/consumer/reading/lost_tail.ts";
import { test } from "../../../support/runner.ts";

const exact = (id: string) => ({ id, exists: true, exact: true }) as const;
const MILESTONES = ["90-0", "89-0", "88-0", "86-0", "82-0"];

interface Case {
  readonly read?: readonly string[];
  readonly left: readonly string[];
  readonly first: string | undefined;
  readonly end?: { readonly id: string; readonly exists: boolean | undefined; readonly exact: boolean };
  /** Where reading resumes; `same` where it is. */
  readonly then: string;
}

const CASES: Readonly<Record<string, Case>> = {
  "all that was read is there": { left: MILESTONES, first: "1-0", then: "same" },
  "only the latest is there": { left: ["90-0"], first: "1-0", then: "same" },
  "the latest entry was lost": { left: MILESTONES.slice(1), first: "1-0", then: "89-0" },
  "a few were lost": { left: ["86-0", "82-0"], first: "1-0", then: "86-0" },
  "a few were lost, and new ones have higher ids": { left: ["82-0"], first: "1-0", end: exact("95-0"), then: "82-0" },
  "all was trimmed": { left: [], first: "91-0", end: exact("95-0"), then: "same" },
  "all entries were deleted": { left: [], first: undefined, end: exact("90-0"), then: "same" },
  "the stream is empty and its ids went back": { left: [], first: undefined, end: exact("50-0"), then: "policy" },
  "the stream is empty, and its last id is unknown": {
    left: [],
    first: undefined,
    end: { id: "0-0", exists: undefined, exact: false },
    then: "same",
  },
  "the stream is missing, as other looks will find": {
    left: [],
    first: undefined,
    end: { id: "0-0", exists: false, exact: true },
    then: "same",
  },
  "more was lost than is remembered": { left: [], first: "1-0", end: exact("60-0"), then: "policy" },
  "nothing was read": { read: [], left: [], first: "1-0", end: exact("60-0"), then: "same" },
};

const BY_POLICY = { earliest: "0-0", latest: "60-0", fail: "fail" } as const;

for (const [name, { read = MILESTONES, left, first, end = exact("90-0"), then }] of Object.entries(CASES)) {
  test(`after a failover: ${name}`, () => {
    for (const policy of ["earliest", "latest", "fail"] as const) {
      const verdict = judgeTail({ milestones: read, left: new Set(left), first, end }, policy);
      const shown = verdict.kind === "reset" ? verdict.position : verdict.kind;
      const expected = policy === "latest" && then === "policy" ? end.id : then === "policy" ? BY_POLICY[policy] : then;
      assertEquals(shown, expected, policy);
    }
  });
}
