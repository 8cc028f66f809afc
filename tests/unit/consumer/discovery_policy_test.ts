// Tests the decisions about a plain key whose stream gets shards.

import { assertEquals } from "@std/assert";
import { judgePlain, newlyGone, type StreamForm } from "../../../streamer/consumer/shards/discovery_policy.ts";
import { test } from "../../support/runner.ts";

const plain: StreamForm = { kind: "plain" };
const leaving = (until: string, numbers: readonly number[] = [0]): StreamForm => ({
  kind: "leaving",
  numbers,
  until,
  ignoredPlain: true,
});

test("without shards a stream stays in its plain key, also when it was about to be left", () => {
  for (const form of [plain, leaving("5-0")]) {
    assertEquals(judgePlain(form, { numbers: [], last: "9-0", plain: true }), plain);
  }
});

test("when shards are found the plain key is read up to its last entry", () => {
  assertEquals(judgePlain(plain, { numbers: [0], last: "9-0", plain: true }), leaving("9-0"));
  assertEquals(judgePlain(plain, { numbers: [3], last: "0-0", plain: false }), {
    kind: "leaving",
    numbers: [3],
    until: "0-0",
    ignoredPlain: false,
  });
  assertEquals(judgePlain(plain, { numbers: [3], last: "0-0", plain: true }), {
    kind: "leaving",
    numbers: [3],
    until: "0-0",
    ignoredPlain: false,
  }, "an empty stream has nothing that could be ignored");
});

test("later entries do not delay the change, deleted ones advance it", () => {
  const later = { numbers: [0, 1], last: "12-0", plain: true };
  assertEquals(judgePlain(leaving("9-0"), later), leaving("9-0", [0, 1]));
  assertEquals(judgePlain(leaving("9-0"), { ...later, last: "9-0" }), leaving("9-0", [0, 1]));
  assertEquals(judgePlain(leaving("9-0"), { ...later, last: "8-77" }), leaving("8-77", [0, 1]));
  assertEquals(judgePlain(leaving("10-0"), { ...later, last: "9-0" }), leaving("9-0", [0, 1]), "as numbers");
});

test("a plain key that was missing before is no longer reported", () => {
  assertEquals(newlyGone([1, 2, 3], new Set([2])), [1, 3]);
  assertEquals(newlyGone([2], new Set([2])), []);
});
