// Tests where reading resumes if the latest entry is missing after a failover, as a table: what is left, and where the stream begins and ends.

import { assertEquals } from "@std/assert";
import type { StreamEnd } from "../../../../streamer/commands/last_id.ts";
import { judgeTail } from "../../../../streamer/consumer/reading/lost_tail.ts";
import { test } from "../../../support/runner.ts";

const exact = (id: string, deleted?: string): StreamEnd => ({ id, exists: true, exact: true, deleted });
const LATEST = "90-0";

interface Case {
  /** The latest milestone that is there. @default {none} */
  readonly left?: string;
  readonly first: string | undefined;
  readonly end?: StreamEnd;
  /** Whether the former primary was lost. @default {true} */
  readonly isCut?: boolean;
  /** Where reading resumes; `same` where it is. */
  readonly then: string;
}

const CASES: Readonly<Record<string, Case>> = {
  "the latest entry was lost": { left: "89-0", first: "1-0", then: "89-0" },
  "a few were lost": { left: "86-0", first: "1-0", then: "86-0" },
  "a few were lost, and new ones have higher ids": { left: "82-0", first: "1-0", end: exact("95-0"), then: "82-0" },
  "all was trimmed": { first: "91-0", end: exact("95-0"), then: "same" },
  "all entries were deleted": { first: undefined, end: exact("90-0"), then: "same" },
  "the stream is empty and its ids went back": { first: undefined, end: exact("50-0"), then: "policy" },
  "the stream is empty, and its last id is unknown": {
    first: undefined,
    end: { id: "0-0", exists: undefined, exact: false },
    then: "same",
  },
  "the stream is missing, as other looks will find": {
    first: undefined,
    end: { id: "0-0", exists: false, exact: true },
    then: "same",
  },
  "handed over: the latest was deleted": {
    left: "89-0",
    isCut: false,
    first: "1-0",
    end: exact("95-0", "90-0"),
    then: "same",
  },
  "handed over: a later one was deleted": {
    left: "89-0",
    isCut: false,
    first: "1-0",
    end: exact("95-0", "92-0"),
    then: "same",
  },
  "handed over: nothing as late was deleted": {
    left: "89-0",
    isCut: false,
    first: "1-0",
    end: exact("95-0", "4-0"),
    then: "89-0",
  },
  "handed over: ids went back": { left: "89-0", isCut: false, first: "1-0", end: exact("89-0", "90-0"), then: "89-0" },
  "handed over: deletions are not known": {
    left: "89-0",
    isCut: false,
    first: "1-0",
    end: exact("95-0"),
    then: "same",
  },
  "handed over: nothing is known": {
    left: "89-0",
    isCut: false,
    first: "1-0",
    end: { id: "89-0", exists: undefined, exact: false },
    then: "same",
  },
  "more was lost than is remembered": { first: "1-0", end: exact("60-0"), then: "policy" },
};

const BY_POLICY = { earliest: "0-0", latest: "60-0", fail: "fail" } as const;

for (const [name, { left, isCut = true, first, end = exact("90-0"), then }] of Object.entries(CASES)) {
  test(`after a failover: ${name}`, () => {
    for (const policy of ["earliest", "latest", "fail"] as const) {
      const verdict = judgeTail({ latest: LATEST, left, isCut, first, end }, policy);
      const shown = verdict.kind === "reset" ? verdict.position : verdict.kind;
      const expected = policy === "latest" && then === "policy" ? end.id : then === "policy" ? BY_POLICY[policy] : then;
      assertEquals(shown, expected, policy);
    }
  });
}
