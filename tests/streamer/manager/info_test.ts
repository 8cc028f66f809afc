// Owns what a group's lag is where the server is wrong or silent, and how shards become one. Must not need a server.

import { assertEquals } from "@std/assert";
import { lagOf, mergeInfos } from "../../../streamer/manager/info.ts";
import type { StreamGroupInfo, StreamInfo } from "../../../streamer/manager/options.ts";
import { test } from "../../support/runner.ts";

const ten = { length: 10, firstId: "1-0", lastId: "10-0", lastGeneratedId: "12-0" };

test("a lag follows from where the group stands, else it is the server's, unless that cannot be", () => {
  const cases: readonly [string, number | undefined, number | null][] = [
    ["0-0", 99, 10], // in front of all
    ["0-0", undefined, 10],
    ["12-0", 3, 0], // behind all that was ever there
    ["99-0", undefined, 0],
    ["10-0", undefined, 0], // behind all that is still there
    ["11-5", 2, 0],
    ["5-0", 5, 5],
    ["5-0", 9, 9],
    ["5-0", 1, 1],
    ["5-0", 10, null], // the first entry is not behind it
    ["5-0", 0, null], // the last one is
    ["5-0", -3, null],
    ["5-0", undefined, null],
    ["1-0", 9, 9],
  ];
  for (const [lastDeliveredId, lag, expected] of cases) {
    assertEquals(lagOf({ lastDeliveredId, lag }, ten), expected, `${lastDeliveredId}, the server says ${lag}`);
  }
});

test("of an empty stream nothing is to come", () => {
  const empty = { length: 0, firstId: undefined, lastId: undefined, lastGeneratedId: "7-0" };
  for (const lag of [undefined, 0, 5]) assertEquals(lagOf({ lastDeliveredId: "0-0", lag }, empty), 0);
});

function groupOf(name: string, parts: Partial<StreamGroupInfo>): StreamGroupInfo {
  return { name, lag: 0, pending: 0, lastDeliveredId: "0-0", oldestPendingAge: null, consumers: [], ...parts };
}

test("of several shards, counts are summed up, ends are the outermost, groups and consumers of a name are one", () => {
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
      groupOf("only here", { lag: 4 }),
      groupOf("only there", { lag: null }),
    ],
  });
  assertEquals(mergeInfos([empty, empty]).firstId, null);
});
