// Tests the delays before attempts to reach a lost server.

import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import {
  MAX_TRIES_A_SECOND,
  reconnectDelay,
  refusalDelay,
  throttle,
} from "../../../resp/connection/reconnect/backoff.ts";
import { test } from "../../support/runner.ts";

const defaults = { initialDelay: 50, maxDelay: 2_000, maxAttempts: Infinity };

test("the delay is a tenth of the outage, at least initialDelay, at most maxDelay", () => {
  const delays = [0, 100, 499, 500, 1_000, 5_000, 20_000, 1e9].map((outage) => reconnectDelay(defaults, outage, 0.5));
  assertEquals(delays, [50, 50, 50, 50, 100, 500, 2_000, 2_000]);
});

test("randomness changes it by a fifth at most, evenly both ways", () => {
  for (const outage of [0, 1_000, 1e6]) {
    const middle = reconnectDelay(defaults, outage, 0.5);
    assertAlmostEquals(reconnectDelay(defaults, outage, 0), middle * 0.8);
    assertAlmostEquals(reconnectDelay(defaults, outage, 0.999999999), middle * 1.2, 1e-3);
  }
});

test("a server that was away for a few seconds is found within half a second of its return", () => {
  for (let outage = 0; outage <= 4_000; outage += 10) assert(reconnectDelay(defaults, outage, 1) <= 500);
});

test("a refused command is sent again after half a second at most, unless the first delay is longer", () => {
  const delaysOf = (options: typeof defaults) => [0, 1_000, 5_000, 1e9].map((time) => refusalDelay(options, time, 0.5));
  assertEquals(delaysOf(defaults), [50, 100, 500, 500]);
  assertEquals(delaysOf({ ...defaults, maxDelay: 200 }), [50, 100, 200, 200]);
  assertEquals(delaysOf({ ...defaults, initialDelay: 800 }), [800, 800, 800, 800]);
});

test("there are never more attempts within a second than allowed, whatever the delays", () => {
  const tries: number[] = [];
  let now = 0;
  for (let i = 0; i < 200; i++) {
    now += Math.max(throttle(tries, now), i % 7);
    tries.push(now);
  }
  for (const [i, time] of tries.entries()) {
    const within = tries.slice(i).filter((other) => other < time + 1_000).length;
    assert(within <= MAX_TRIES_A_SECOND, `${within} tries from ${time}`);
  }
  assertEquals(throttle([], 5), 0);
  assertEquals(throttle(tries.slice(0, MAX_TRIES_A_SECOND - 1), now), 0);
});
