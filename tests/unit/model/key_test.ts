// Tests which names are stream keys.

import { assertEquals, assertThrows } from "@std/assert";
import { StreamerError } from "../../../mod.ts";
import { checkStreamKey } from "../../../streamer/model/key.ts";
import { test } from "../../support/runner.ts";

test("1 to 249 of the allowed characters are a stream key", () => {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-:/{}";
  for (const key of [...alphabet, alphabet, "a".repeat(249), "{user}:orders/2026", "sea_streamer_internal", "0"]) {
    assertEquals(checkStreamKey(key), key);
  }
});

test("anything else is refused with INVALID_STREAM_KEY, and shown short", () => {
  const wrong = [
    "",
    "a".repeat(250),
    "a b",
    "a\n",
    "\na",
    "a\0",
    "ä",
    "a*",
    "a,b",
    "a%2F",
    "😀",
    "SEA_STREAMER_INTERNAL",
  ];
  for (const key of [...wrong, "x".repeat(100_000), undefined, null, 7, {}, ["a"], new String("a")]) {
    const error = assertThrows(() => checkStreamKey(key), StreamerError);
    assertEquals(error.code, "INVALID_STREAM_KEY");
    assertEquals(error.message.length < 400, true);
  }
});
