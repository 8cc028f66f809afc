// Tests refreshes that a caller waits for.

import { assertEquals } from "@std/assert";
import { Refresher } from "../../../../streamer/cluster/refresh/refresher.ts";
import { FakeClock, settle } from "../../connection/fakes.ts";
import { test } from "../../../support/runner.ts";

interface Setup {
  readonly clock: FakeClock;
  readonly refresher: Refresher;
  /** The answers that are outstanding: `true` if the map has changed. */
  readonly asked: PromiseWithResolvers<boolean>[];
}

function setUp(): Setup {
  const clock = new FakeClock();
  const asked: PromiseWithResolvers<boolean>[] = [];
  const refresh = () => {
    asked.push(Promise.withResolvers<boolean>());
    return asked[asked.length - 1].promise;
  };
  return { clock, asked, refresher: new Refresher({ clock, refresh, isUsed: () => true }) };
}

test("a caller's refresh is at once, and one for all callers", async () => {
  const { asked, refresher } = setUp();
  const first = refresher.now();
  assertEquals(asked.length, 1);
  const later = [refresher.now(), refresher.now()];
  let isOver = false;
  first.then(() => isOver = true);
  await settle();
  assertEquals([asked.length, isOver], [1, false]);
  asked[0].resolve(false);
  await settle();
  assertEquals([asked.length, isOver], [2, true], "the first one may have asked too early for the others");
  asked[1].resolve(true);
  await Promise.all(later);
  assertEquals(asked.length, 2);
  refresher.close();
  await refresher.now();
  assertEquals(asked.length, 2);
});

test("a caller's refresh takes the place of one that was due, and does not delay the next ones", async () => {
  const { clock, asked, refresher } = setUp();
  refresher.want();
  const now = refresher.now();
  asked[0].resolve(false);
  await now;
  await clock.pass(2_000);
  assertEquals(asked.length, 1);
  for (let turn = 0; turn < 5; turn++) {
    const again = refresher.now();
    asked[asked.length - 1].resolve(false);
    await again;
  }
  refresher.want();
  await clock.pass(1_000);
  assertEquals(asked.length, 7, "not 15 seconds later");
  refresher.close();
});

test("what is wanted during a caller's refresh is asked after it", async () => {
  const { clock, asked, refresher } = setUp();
  const now = refresher.now();
  refresher.want();
  asked[0].resolve(true);
  await now;
  assertEquals(asked.length, 1);
  await clock.pass(1_500);
  assertEquals(asked.length, 2);
  refresher.close();
});
