// Owns the proof that keys have the slots that servers give them.

import { assertEquals } from "@std/assert";
import { readFile } from "node:fs/promises";
import { slotOfKey, SLOTS } from "../../../streamer/cluster/topology/slot.ts";
import { test } from "../../support/runner.ts";

const GOLDEN: Readonly<Record<string, number>> = JSON.parse(
  await readFile(new URL("../../fixtures/golden/slots.json", import.meta.url), "utf8"),
);

for (const [key, slot] of Object.entries(GOLDEN)) {
  test(`the slot of ${JSON.stringify(key)} is ${slot}`, () => {
    assertEquals(slotOfKey(key), slot);
  });
}

test("keys spread over all slots", () => {
  const seen = new Set(Array.from({ length: 200_000 }, (_, i) => slotOfKey(`orders:${i}`)));
  assertEquals(seen.size, SLOTS);
});
