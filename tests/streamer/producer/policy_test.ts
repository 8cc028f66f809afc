// Owns the proof of the producer's pure decisions: which refusals pass, and how much may be in flight.

import { assert, assertEquals } from "@std/assert";
import { FIRST_WINDOW, judgeRefusal, MAX_WINDOW, widenWindow } from "../../../streamer/producer/policy.ts";
import { test } from "../../support/runner.ts";

test("exactly the refusals that pass by themselves are retried", () => {
  const passing = ["MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "LOADING", "BUSY", "MASTERDOWN", "READONLY"];
  for (const code of passing) assertEquals(judgeRefusal(code), "retry", code);
  const final = [
    "OOM",
    "WRONGTYPE",
    "NOPERM",
    "ERR",
    "NOAUTH",
    "NOSCRIPT",
    "EXECABORT",
    "CROSSSLOT",
    "MISCONF",
    "BUSYGROUP",
    "",
    "moved",
    "constructor",
    "__proto__",
  ];
  for (const code of final) assertEquals(judgeRefusal(code), "reject", code);
});

test("the window doubles with each window that is answered whole, up to its most", () => {
  let window = FIRST_WINDOW;
  for (let round = 0; round < 20; round++) {
    const before = window;
    for (let answered = 0; answered < before; answered += 1_000) {
      window = widenWindow(window, Math.min(1_000, before - answered));
    }
    assertEquals(window, Math.min(MAX_WINDOW, before * 2));
  }
  assertEquals([window, widenWindow(MAX_WINDOW, 1e9)], [MAX_WINDOW, MAX_WINDOW]);
  assert(FIRST_WINDOW < MAX_WINDOW);
});
