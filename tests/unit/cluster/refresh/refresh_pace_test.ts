// Owns the proof of when the nodes of a cluster are asked for their view: the pure decisions.

import { assert, assertEquals } from "@std/assert";
import {
  afterRefresh,
  refreshDelay,
  refreshDue,
  type RefreshHistory,
  type RefreshReason,
} from "../../../../streamer/cluster/refresh/refresh_pace.ts";
import { test } from "../../../support/runner.ts";

const fresh: RefreshHistory = { last: 100_000, unchanged: 0, hurried: 0, random: 0.5 };

test("the interval grows from 1 to 15 seconds while nothing changes, whatever the reason", () => {
  for (const reason of [{}, { isDown: true }]) {
    const delays = [0, 1, 2, 3, 1_000].map((unchanged) => refreshDelay({ ...fresh, unchanged }, reason));
    assertEquals(delays, [1_000, 15_000, 15_000, 15_000, 15_000]);
  }
});

test("the interval differs by up to half of it at random", () => {
  const delays = [0, 0.25, 0.75, 1].map((random) => refreshDelay({ ...fresh, random }, {}));
  assertEquals(delays, [500, 750, 1_250, 1_500]);
});

test("an election is followed soon, four times without any change", () => {
  const delays = [0, 3, 4, 5].map((hurried) => refreshDelay({ ...fresh, unchanged: 9, hurried }, { isElection: true }));
  assertEquals(delays, [250, 250, 15_000, 15_000]);
});

test("a refresh is due after the interval, counted from the start of the last one, and never in the past", () => {
  assertEquals(refreshDue({ ...fresh, last: undefined }, {}, 7), 7);
  assertEquals(refreshDue(fresh, {}, 100_300), 101_000);
  assertEquals(refreshDue(fresh, {}, 500_000), 500_000);
});

const outcomes: readonly {
  readonly is: string;
  readonly before?: Partial<RefreshHistory>;
  readonly began?: number;
  readonly reason?: RefreshReason;
  readonly isChanged?: boolean;
  readonly after: Pick<RefreshHistory, "unchanged" | "hurried">;
}[] = [
  { is: "without a change", after: { unchanged: 1, hurried: 0 } },
  { is: "without another one", before: { unchanged: 4, hurried: 2 }, after: { unchanged: 5, hurried: 2 } },
  { is: "with a change", before: { unchanged: 4, hurried: 2 }, isChanged: true, after: { unchanged: 0, hurried: 0 } },
  { is: "after a long time", before: { unchanged: 4 }, began: 130_000, after: { unchanged: 0, hurried: 0 } },
  { is: "the first of all", before: { last: undefined }, after: { unchanged: 0, hurried: 0 } },
  { is: "for an election", reason: { isElection: true }, after: { unchanged: 1, hurried: 1 } },
  {
    is: "for an election that changed something",
    before: { hurried: 3 },
    reason: { isElection: true },
    isChanged: true,
    after: { unchanged: 0, hurried: 0 },
  },
];

for (const { is, before, began = 101_000, reason = {}, isChanged = false, after } of outcomes) {
  test(`what is remembered of a refresh ${is}`, () => {
    const history = afterRefresh({ ...fresh, ...before }, { began, reason, isChanged, random: 0.9 });
    assertEquals(history, { last: began, random: 0.9, ...after });
  });
}

test("refreshes in a row without a change come at 0, 1, 16, 31 and 46 seconds of a minute", () => {
  const times: number[] = [];
  let history: RefreshHistory = { ...fresh, last: 0 };
  for (let now = 100_000;;) {
    now = refreshDue(history, {}, now);
    if (now >= 160_000) break;
    times.push(now - 100_000);
    history = afterRefresh(history, { began: now, reason: {}, isChanged: false, random: 0.5 });
  }
  assertEquals(times, [0, 1_000, 16_000, 31_000, 46_000]);
  assert(times.length * 200 / 60 < 20);
});
