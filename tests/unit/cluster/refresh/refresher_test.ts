// Owns the proof of how refreshes are started: one at a time, at their pace, and few by many clients.

import { assert, assertEquals, assertLess } from "@std/assert";
import { Refresher } from "../../../../streamer/cluster/refresh/refresher.ts";
import type { RefreshReason } from "../../../../streamer/cluster/refresh/refresh_pace.ts";
import { freshSeed, Random } from "../../../support/resp/drive.ts";
import { test } from "../../../support/runner.ts";
import { FakeClock, settle } from "../../connection/fakes.ts";

/** A refresher with a script: each refresh takes a while and ends with an outcome. */
function world(options: { takes?: number; isUsed?: () => boolean; outcome?: () => boolean } = {}) {
  const { takes = 0, isUsed = () => true, outcome = () => false } = options;
  const clock = new FakeClock();
  const began: number[] = [];
  const reasons: RefreshReason[] = [];
  let running = 0;
  let most = 0;
  const refresher = new Refresher({
    clock,
    isUsed,
    refresh: (reason, signal) => {
      began.push(clock.now() - 1_000);
      reasons.push(reason);
      most = Math.max(most, ++running);
      return new Promise((resolve, reject) => {
        const end = (settle: () => void) => {
          running--;
          settle();
        };
        const timer = clock.after(takes, () => {
          try {
            const isChanged = outcome();
            end(() => resolve(isChanged));
          } catch (error) {
            end(() => reject(error));
          }
        });
        signal.addEventListener("abort", () => {
          timer.stop();
          end(() => reject(signal.reason));
        });
      });
    },
  });
  return { clock, refresher, began, reasons, most: () => most };
}

test("a refresh that is wanted comes a second after the last one at the earliest, and at once after a quiet time", async () => {
  const { clock, refresher, began } = world();
  refresher.want();
  await clock.pass(999);
  assertEquals(began, []);
  await clock.pass(1);
  assertEquals(began, [1_000]);
  await clock.pass(40_000);
  refresher.want();
  await clock.pass(0);
  assertEquals(began, [1_000, 41_000]);
  refresher.close();
});

test("wishes that come together are one refresh, at the earliest time of any", async () => {
  const { clock, refresher, began } = world();
  for (let i = 0; i < 1_000; i++) refresher.want(i % 2 === 0 ? {} : { isDown: true });
  refresher.want({ isElection: true });
  await clock.pass(10_000);
  assertEquals(began, [250]);
  refresher.close();
});

test("many wishes do not draw the earliest of many random delays", async () => {
  const { clock, refresher, began } = world();
  const draws = [0.9, 0.1, 0.2, 0.3, 0];
  clock.chance = 1;
  refresher.want(); // the draw at its construction counts: 0.5
  for (const chance of draws) {
    clock.chance = chance;
    refresher.want();
  }
  await clock.pass(2_000);
  assertEquals(began, [1_000]);
  refresher.close();
});

test("one refresh runs at a time, and a wish that comes meanwhile is kept for after it", async () => {
  const { clock, refresher, began, reasons, most } = world({ takes: 5_000 });
  refresher.want();
  await clock.pass(1_000);
  for (let i = 0; i < 100; i++) refresher.want();
  refresher.want({ isElection: true });
  refresher.want(); // the election is not forgotten
  await clock.pass(10_000);
  assertEquals([began, most()], [[1_000, 6_000], 1]);
  assertEquals(reasons.at(-1), { isElection: true });
  refresher.close();
});

test("while nothing changes the interval grows, and a change by other means shortens it again", async () => {
  const { clock, refresher, began } = world();
  const keepWanting = () => {
    refresher.want();
    wishes = clock.after(100, keepWanting);
  };
  let wishes = clock.after(0, keepWanting);
  await clock.pass(32_000);
  assertEquals(began, [1_000, 16_000, 31_000]);
  refresher.changed();
  await clock.pass(2_000);
  assertEquals(began, [1_000, 16_000, 31_000, 32_100]);
  wishes.stop();
  refresher.close();
});

test("a change by other means counts also while a refresh runs", async () => {
  const { clock, refresher, began } = world({ takes: 100 });
  refresher.want();
  await clock.pass(2_000);
  refresher.want();
  await clock.pass(14_050); // it runs now
  refresher.changed();
  refresher.want();
  await clock.pass(2_000);
  assertEquals(began, [1_000, 16_000, 17_000]);
  refresher.close();
});

test("without a reason the nodes are asked every minute or so while a connection is open, and never without one", async () => {
  let isUsed = true;
  const { clock, refresher, began } = world({ isUsed: () => isUsed });
  await clock.pass(200_000);
  assertEquals(began, [60_000, 120_000, 180_000]);
  isUsed = false;
  await clock.pass(1_000_000);
  assertEquals(began.length, 3);
  refresher.want(); // with a reason all the same
  await clock.pass(0);
  assertEquals(began.length, 4);
  isUsed = true;
  await clock.pass(60_000);
  assertEquals(began.length, 5);
  refresher.close();
});

test("a refresh that fails is one without a change, and the next ones come all the same", async () => {
  const { clock, refresher, began } = world({
    outcome: () => {
      throw new Error("a fault");
    },
  });
  refresher.want();
  await clock.pass(1_000);
  await clock.pass(60_000);
  assertEquals(began, [1_000, 61_000]);
  refresher.close();
});

test("after the close nothing is asked, and no timer is left, also if a refresh was running", async () => {
  const { clock, refresher, began } = world({ takes: 5_000 });
  refresher.want();
  await clock.pass(1_000);
  refresher.want();
  refresher.close();
  refresher.close();
  await settle();
  refresher.want();
  refresher.want({ isElection: true });
  assertEquals([clock.running, began], [0, [1_000]]);
});

/** How many refreshes 200 clients begin in each second of a minute of trouble, each with a wish every half a second or so. */
async function refreshesOfMany(reason: RefreshReason, chance: () => number): Promise<number[]> {
  const clock = new FakeClock();
  clock.random = chance;
  const start = clock.now() + 120_000;
  const perSecond = new Array(60).fill(0);
  let isCounting = false;
  const refreshers = Array.from({ length: 200 }, () =>
    new Refresher({
      clock,
      isUsed: () => true,
      refresh: () => {
        const second = Math.floor((clock.now() - start) / 1_000);
        if (isCounting && second < 60) perSecond[second]++;
        return Promise.resolve(false);
      },
    }));
  await clock.pass(120_000);
  isCounting = true;
  const wish = (refresher: Refresher): void => {
    refresher.want(reason);
    clock.after(500 * (0.5 + chance()), () => wish(refresher));
  };
  refreshers.forEach(wish);
  await clock.pass(59_999);
  for (const refresher of refreshers) refresher.close();
  return perSecond;
}

for (
  const [what, reason] of [["a minute of CLUSTERDOWN", { isDown: true }], ["a minute with a dead node", {}]] as const
) {
  test(`200 clients ask fewer than 20 times a second in all through ${what}`, async () => {
    const seed = freshSeed();
    const random = new Random(seed);
    const perSecond = await refreshesOfMany(reason, () => random.below(2 ** 32) / 2 ** 32);
    const total = perSecond.reduce((sum, count) => sum + count, 0);
    const shown = `seed ${seed}: ${perSecond.join(" ")}`;
    assertLess(total / 60, 20, shown);
    assertLess(Math.max(...perSecond.slice(3)), 40, shown); // spread, and not all at the same time
    assert(total >= 200 * 4, shown); // nobody is forgotten
  }, { timeout: 120_000 });
}
