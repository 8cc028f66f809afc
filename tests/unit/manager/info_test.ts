// Tests a group's lag if the server's is wrong or absent, and the merging of shards.

import { assertEquals } from "@std/assert";
import { countsLag, lagOf, mergeInfos } from "../../../streamer/manager/info.ts";
import type { StreamGroupInfo, StreamInfo } from "../../../streamer/manager/options.ts";
import { test } from "../../support/runner.ts";

const ten = { length: 10, firstId: "1-0", lastId: "10-0", lastGeneratedId: "12-0", entriesAdded: 12 };

test("a lag follows from the group's position, else it is the server's if its count is reliable and possible", () => {
  const cases: readonly [string, number | undefined, number | null][] = [
    ["0-0", 99, 10], // before all entries
    ["0-0", undefined, 10],
    ["12-0", 3, 0], // after all entries there ever were
    ["99-0", undefined, 0],
    ["10-0", undefined, 0], // after all remaining entries
    ["11-5", 2, 0],
    ["5-0", 5, 5],
    ["5-0", 9, 9],
    ["5-0", 1, 1],
    ["5-0", 10, null], // the first entry is not after it
    ["5-0", 0, null], // the last one is
    ["5-0", -3, null],
    ["5-0", undefined, null],
    ["1-0", 9, 9],
  ];
  for (const [lastDeliveredId, lag, expected] of cases) {
    const group = { lastDeliveredId, lag };
    assertEquals(lagOf(group, ten, { exact: true }), expected, `${lastDeliveredId}, the server says ${lag}`);
    const doubted = lagOf(group, ten, { exact: false });
    assertEquals(doubted, expected === lag && lag > 0 && lag < 10 ? null : expected, `${lastDeliveredId}, not exact`);
    const whole = { ...ten, entriesAdded: 10 };
    assertEquals(lagOf(group, whole, { exact: false }), expected, `${lastDeliveredId}, nothing was removed`);
  }
});

test("an entry added between the replies does not make a group without it complete", () => {
  const before = { length: 1, firstId: "1-0", lastId: "2-0", lastGeneratedId: "1-0", entriesAdded: 5 };
  assertEquals(lagOf({ lastDeliveredId: "1-0", lag: 0 }, before, { exact: false }), 0);
  const tail = { length: 3, firstId: "1-0", lastId: "9-0", lastGeneratedId: "7-0", entriesAdded: 5 };
  assertEquals(lagOf({ lastDeliveredId: "3-0", lag: undefined }, tail, { exact: false }), null);
});

test("servers with reliable counts are recognized by their names and versions", () => {
  for (const server of ["redis 8.0.6", "redis 10.1", "valkey 9.1.2"]) assertEquals(countsLag(server), true, server);
  for (const server of [undefined, "", "redis 7.4.2", "valkey 8.0.1", "valkey", "other 9.0.0"]) {
    assertEquals(countsLag(server), false, server);
  }
});

test("an empty stream has no entries ahead", () => {
  const empty = { length: 0, firstId: undefined, lastId: undefined, lastGeneratedId: "7-0", entriesAdded: 3 };
  for (const lag of [undefined, 0, 5]) {
    for (const exact of [true, false]) assertEquals(lagOf({ lastDeliveredId: "0-0", lag }, empty, { exact }), 0);
  }
});

function groupOf(name: string, parts: Partial<StreamGroupInfo>): StreamGroupInfo {
  return { name, lag: 0, pending: 0, lastDeliveredId: "0-0", oldestPendingAge: null, consumers: [], ...parts };
}

/** Two shards, with one group in both and one group in each only. */
const one: StreamInfo = {
  length: 3,
  firstId: "9-0",
  lastId: "11-0",
  groups: [
    groupOf("g", {
      lag: 1,
      pending: 2,
      lastDeliveredId: "10-0",
      oldestPendingAge: 5,
      consumers: [{ name: "c", pending: 1, idle: 9, inactive: null }, {
        name: "a",
        pending: 1,
        idle: 1,
        inactive: null,
      }],
    }),
    groupOf("only here", { lag: 4 }),
  ],
};

const other: StreamInfo = {
  length: 2,
  firstId: "10-0",
  lastId: "100-0",
  groups: [
    groupOf("g", {
      lag: 2,
      pending: 1,
      lastDeliveredId: "9-5",
      oldestPendingAge: 7,
      consumers: [{ name: "c", pending: 1, idle: 4, inactive: 6 }],
    }),
    groupOf("only there", { lag: null }),
  ],
};

test("of several shards, counts are added, ends are the outermost, groups and consumers are merged by name", () => {
  const empty: StreamInfo = { length: 0, firstId: null, lastId: null, groups: [groupOf("only there", {})] };
  assertEquals(mergeInfos([one, empty, other]), {
    length: 5,
    firstId: "9-0",
    lastId: "100-0",
    groups: [
      groupOf("g", {
        lag: 3,
        pending: 3,
        lastDeliveredId: "9-5",
        oldestPendingAge: 7,
        consumers: [{ name: "a", pending: 1, idle: 1, inactive: null }, {
          name: "c",
          pending: 2,
          idle: 4,
          inactive: 6,
        }],
      }),
      groupOf("only here", { lag: null }),
      groupOf("only there", { lag: null }),
    ],
  });
  assertEquals(mergeInfos([one, empty]).groups[1].lag, 4, "where there are no entries none are to come");
  assertEquals(mergeInfos([empty, empty]).firstId, null);
});
