// Tests how many bytes of a link may be in flight.

import { assert, assertEquals } from "@std/assert";
import { ALONE_WINDOW, FIRST_WINDOW, MAX_WINDOW, widenWindow } from "../../../streamer/producer/sending/link/window.ts";
import { test } from "../../support/runner.ts";

test("the window doubles with each window that is fully answered, up to its maximum", () => {
  let window = FIRST_WINDOW;
  for (let round = 0; round < 20; round++) {
    const before = window;
    for (let answered = 0; answered < before; answered += 1_000) {
      window = widenWindow(window, Math.min(1_000, before - answered));
    }
    assertEquals(window, Math.min(MAX_WINDOW, before * 2));
  }
  assertEquals([window, widenWindow(MAX_WINDOW, 1e9)], [MAX_WINDOW, MAX_WINDOW]);
  assert(ALONE_WINDOW < FIRST_WINDOW && FIRST_WINDOW < MAX_WINDOW);
});
