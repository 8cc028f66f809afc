// Tests the effect of each event on an outage, and which connections each state admits.

import { assertEquals } from "@std/assert";
import {
  admission,
  type AdmissionFacts,
  afterFailure,
  afterLoss,
  afterSuccess,
  afterTry,
  CALM,
  type Outage,
  outageAt,
  PROBATION,
  SPENT,
  STEADY,
} from "../../../resp/connection/reconnect/outage.ts";
import { test } from "../../support/runner.ts";

const now = 100_000;
const cause = new Error("why");
const trouble = { since: 99_000, changedAt: 99_900, cause, attempts: 3, probation: PROBATION, flapping: false };
const down: Outage = { kind: "down", ...trouble };
const proving: Outage = { kind: "proving", ...trouble, attempts: 0, provenAt: now + 50 };
const loss = { openedAt: now - 60_000, now, cause: new Error("lost"), served: false };

test("the effect of a loss, a failure, a success and an attempt on each state", () => {
  const begun = { since: now, changedAt: now, attempts: 0, probation: PROBATION, flapping: false };
  const back = { kind: "down", since: 99_000, changedAt: now, attempts: 0, probation: PROBATION, flapping: true };
  const failure = { now, cause: loss.cause };
  const young = { ...loss, openedAt: now - 10 };
  const table: readonly (readonly [string, Outage, unknown])[] = [
    ["calm, lost", afterLoss(CALM, loss), { kind: "down", ...begun, cause: loss.cause }],
    ["calm, failed", afterFailure(CALM, failure), { kind: "down", ...begun, cause: loss.cause }],
    ["calm, succeeded", afterSuccess(CALM, now), CALM],
    ["spent, lost", afterLoss(SPENT, loss), { kind: "down", ...begun, cause: loss.cause }],
    ["spent, succeeded", afterSuccess(SPENT, now), CALM],
    ["calm, tried", afterTry(CALM), CALM],
    ["down, lost", afterLoss(down, loss), down],
    ["down, failed", afterFailure(down, failure), { ...down, changedAt: now, cause: loss.cause }],
    ["down, tried", afterTry(down), { ...down, attempts: 4 }],
    ["down, succeeded", afterSuccess(down, now), {
      ...down,
      kind: "proving",
      changedAt: now,
      attempts: 0,
      provenAt: now + PROBATION,
    }],
    ["proving, tried", afterTry(proving), proving],
    ["proving, succeeded", afterSuccess(proving, now), { ...proving, changedAt: now }],
    ["proving, failed", afterFailure(proving, failure), { ...back, cause: loss.cause }],
    ["proving, an old one is found lost", afterLoss(proving, loss), proving],
    ["proving, a new one is lost", afterLoss(proving, young), { ...back, cause: loss.cause }],
    ["proving, a new one that had served is lost", afterLoss(proving, { ...young, served: true }), {
      ...back,
      since: now,
      cause: loss.cause,
    }],
    ["proving, its time is not over", outageAt(proving, now + 49), proving],
    ["proving, its time is over", outageAt(proving, now + 50), CALM],
    ["down, time passes", outageAt(down, now + 1e9), down],
  ];
  for (const [what, actual, expected] of table) assertEquals<unknown>(actual, expected, what);
});

test("a connection has to last twice as long as the one that was lost, unless that one had lasted for long", () => {
  const probations = [0, 100, 200, 2_000, 5_000, 9_999, STEADY, 1e9].map((lifetime) => {
    const outage = afterLoss(CALM, { ...loss, openedAt: now - lifetime });
    return outage.kind === "down" && outage.probation;
  });
  assertEquals(probations, [PROBATION, PROBATION, 400, 4_000, STEADY, STEADY, PROBATION, PROBATION]);
});

test("of several lost connections the longest lasting one decides how long the next has to last", () => {
  const one = afterLoss(down, { ...loss, openedAt: now - 2_000 });
  const two = afterLoss(one, { ...loss, openedAt: now - 200 });
  assertEquals(two, { ...down, probation: 4_000 });
  const again = afterLoss(afterSuccess(two, now), { ...loss, openedAt: now, now: now + 30 });
  assertEquals(again.kind === "down" && again.probation, 4_000);
});

test("which connections each state admits, and when", () => {
  const options = { initialDelay: 50, maxDelay: 2_000, maxAttempts: Infinity };
  const facts: AdmissionFacts = { now, options, tries: [], underway: 0, waiting: 1, random: 0.5 };
  const ten = Array.from({ length: 10 }, (_, i) => now - 500 + i); // ten attempts within the last second
  const flapping = { ...proving, flapping: true } as const;
  const table: readonly (readonly [string, Outage, Partial<AdmissionFacts>, unknown])[] = [
    ["calm", CALM, {}, { kind: "all" }],
    ["calm after ten tries", CALM, { tries: ten }, { kind: "all" }],
    ["spent", SPENT, {}, { kind: "all" }],
    ["spent after ten tries", SPENT, { tries: ten }, { kind: "one", delay: 500 }],
    ["down: a tenth of the outage", { ...down, changedAt: now }, {}, { kind: "one", delay: 100, attempt: 4 }],
    ["down: no part of the delay has passed before it begins", { ...down, changedAt: now }, { now: now + 60 }, {
      kind: "one",
      delay: 100,
      attempt: 4,
    }],
    ["down for long, without a waiting connection", down, { now: now + 60_000 }, { kind: "one", delay: 0, attempt: 4 }],
    ["down after ten tries", down, { tries: ten }, { kind: "one", delay: 500, attempt: 4 }],
    ["down while another tries", down, { underway: 1 }, { kind: "none" }],
    ["down, attempts left", down, { options: { ...options, maxAttempts: 4 } }, {
      kind: "one",
      delay: 90,
      attempt: 4,
    }],
    ["down, no attempts left", down, { options: { ...options, maxAttempts: 3 } }, { kind: "refused" }],
    ["down, no attempts left while the last one is in progress", down, {
      underway: 1,
      options: { ...options, maxAttempts: 3 },
    }, { kind: "none" }],
    ["proving", proving, { underway: 3 }, { kind: "one", delay: 0 }],
    ["proving after ten tries: proof comes first", proving, { tries: ten }, { kind: "one", delay: 50 }],
    ["proving after ten tries: the pace comes first", { ...proving, provenAt: now + 2_000 }, { tries: ten }, {
      kind: "one",
      delay: 500,
    }],
    ["proving for another time: one at a time", { ...flapping, provenAt: now + 900 }, { underway: 1 }, {
      kind: "one",
      delay: 900,
    }],
    ["flapping, one waits: two tenths of the outage", { ...down, changedAt: now, flapping: true }, {}, {
      kind: "one",
      delay: 200,
      attempt: 4,
    }],
    ["flapping, several wait: six tenths", { ...down, changedAt: now, flapping: true }, { waiting: 2 }, {
      kind: "one",
      delay: 600,
      attempt: 4,
    }],
    ["proving for another time: after a delay", { ...flapping, changedAt: now, provenAt: now + 900 }, {}, {
      kind: "one",
      delay: 200,
    }],
    ["proving for another time: proof comes first", { ...flapping, changedAt: now }, {}, { kind: "one", delay: 50 }],
  ];
  for (const [what, outage, more, expected] of table) {
    assertEquals<unknown>(admission(outage, { ...facts, ...more }), expected, what);
  }
});
