// Owns the proof that real servers give random keys the slots that this library gives them.

import { assertEquals } from "@std/assert";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { freshSeed, Random } from "../../support/resp/drive.ts";
import { test } from "../../support/runner.ts";
import { startServer } from "../../support/servers/server.ts";

const seed = freshSeed();
const SYMBOLS = ["{", "}", "{", "}", "a", "b", ":", "0", "é", "漢", "😀", " "];

test(`2,000 random keys have the slots of CLUSTER KEYSLOT (seed ${seed})`, async () => {
  await using server = await startServer({ args: ["--cluster-enabled", "yes"] });
  const random = new Random(seed);
  const keys = Array.from(
    { length: 2_000 },
    () => Array.from({ length: random.below(12) }, () => random.of(SYMBOLS)).join(""),
  );
  const slots = await server.commands(keys.map((key) => ["CLUSTER", "KEYSLOT", key]));
  assertEquals(keys.map((key) => [key, slotOfKey(key)]), keys.map((key, i) => [key, slots[i]]));
});
