// Owns the proof that the times the library chooses rise, and are of now.

import { assert, assertEquals } from "@std/assert";
import { freshId, Stamps, UNSTAMPED } from "../../../streamer/producer/stamps.ts";
import { test } from "../../support/runner.ts";

test("each time is later than the one before, in nanoseconds of now, over 19 digits and no byte more", () => {
  const stamps = new Stamps();
  const bytes = new Uint8Array(30).fill(120);
  const first = BigInt(Date.now()) * 1_000_000n;
  let before = 0n;
  let text = "";
  for (let i = 0; i < 200_000; i++) {
    stamps.stamp(bytes, 5);
    text = String.fromCharCode(...bytes);
    const time = BigInt(text.slice(5, 24));
    if (time <= before) throw new Error(`${time} follows ${before}`);
    before = time;
  }
  assertEquals([text.slice(0, 5), text.slice(24)], ["xxxxx", "xxxxxx"]);
  const last = BigInt(Date.now() + 1_000) * 1_000_000n;
  assert(before >= first && before <= last, `${before}`);
});

test("an id is the server's own in milliseconds, and has room for a time in nanoseconds", () => {
  assertEquals([freshId("milliseconds"), freshId("nanoseconds")], ["*", `${UNSTAMPED}-*`]);
  assertEquals(UNSTAMPED.length, String(BigInt(Date.now()) * 1_000_000n).length);
});
