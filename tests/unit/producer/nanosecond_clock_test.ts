// Tests that the times of the library rise, and are current.

import { assert, assertEquals } from "@std/assert";
import { NanosecondClock, UNSTAMPED } from "../../../streamer/producer/messages/nanosecond_clock.ts";
import { idSource } from "../../../streamer/producer/messages/id_source.ts";
import { test } from "../../support/runner.ts";

test("each time is later than the one before, in nanoseconds of now, over 19 digits and no byte more", () => {
  const stamps = new NanosecondClock();
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

test("an id is the server's own in milliseconds, and has space for a time in nanoseconds", () => {
  const [server, own] = [idSource("milliseconds"), idSource("nanoseconds")];
  assertEquals([server.encoded, own.encoded, server.stamped, own.stamped], ["*", `${UNSTAMPED}-*`, false, true]);
  assertEquals(UNSTAMPED.length, String(BigInt(Date.now()) * 1_000_000n).length);
});
