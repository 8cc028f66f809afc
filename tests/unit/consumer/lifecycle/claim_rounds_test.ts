// Tests which shards a claim scan asks for, as decisions.

import { assertEquals } from "@std/assert";
import { ClaimRounds, SETTLED_PERIOD } from "../../../../streamer/consumer/lifecycle/claim_rounds.ts";
import { test } from "../../../support/runner.ts";

/** Shards `a0 a1 … b0 …`: the letter is the node. */
function world(...shards: string[]) {
  const spans = new Map<string, object>(shards.map((shard) => [shard, {}]));
  const rounds = new ClaimRounds<string>({ quietSpan: (shard) => spans.get(shard), nodeOf: ([node]) => node });
  let now = 1_000;
  return {
    spans,
    rounds,
    /** A scan after so many milliseconds, which finds nothing pending but in these shards. */
    scan(after: number, pending: readonly string[] = []): string {
      now += after;
      const asked = rounds.next(shards, now);
      for (const shard of asked) rounds.scanned(shard, spans.get(shard), !pending.includes(shard));
      return asked.join(" ");
    },
  };
}

test("a shard in which nothing was pending while it was quiet is left out until it changes", () => {
  const { scan, spans } = world("a0", "a1", "b0");
  assertEquals(scan(0), "a0 a1 b0");
  assertEquals(scan(1_000), "");
  spans.set("a1", {}); // entries came, and were delivered
  assertEquals([scan(1_000), scan(1_000)], ["a1", ""]);
  spans.delete("b0"); // it is not quiet
  assertEquals([scan(1_000), scan(1_000)], ["b0", "b0"]);
  spans.set("b0", {});
  assertEquals([scan(1_000), scan(1_000)], ["b0", ""]);
});

test("a shard with pending entries is always asked for", () => {
  const { scan } = world("a0", "a1");
  assertEquals([scan(0, ["a1"]), scan(10, ["a1"]), scan(10), scan(10)], ["a0 a1", "a1", "a1", ""]);
  assertEquals(
    [scan(2 * SETTLED_PERIOD, ["a0"]), scan(10, ["a0"]), scan(10)],
    ["a0 a1", "a0", "a0"],
    "found in its turn",
  );
});

test("a scan that ends after the shard has changed settles nothing", () => {
  const { rounds, spans } = world("a0");
  const before = spans.get("a0");
  spans.set("a0", {});
  rounds.scanned("a0", before, true);
  assertEquals(rounds.next(["a0"], 0), ["a0"]);
});

test("without pushes every shard is always asked for", () => {
  const { scan, spans } = world("a0", "a1");
  spans.clear();
  assertEquals([scan(0), scan(1), scan(1)], ["a0 a1", "a0 a1", "a0 a1"]);
});

test("settled shards are asked for in turn, three a minute on each node", () => {
  const { scan } = world("a0", "a1", "a2", "a3", "a4", "b0", "b1", "b2");
  scan(0);
  const asked = [scan(30_000), scan(30_000), scan(30_000), scan(29_000), scan(1_000), scan(1_000)];
  assertEquals(asked, ["a0 b0", "a1 a2 b1 b2", "a3 b0", "a4 b1", "a0 b2", ""]);
});

test("with long intervals, more of them have their turns at once", () => {
  const { scan } = world("a0", "a1", "a2", "a3", "a4", "b0");
  scan(0);
  assertEquals([scan(4 * SETTLED_PERIOD), scan(3_600_000), scan(100)], ["a0 a1 a2 a3 b0", "a0 a1 a2 a3 a4 b0", ""]);
});

test("a shard that is read no more is forgotten", () => {
  const { rounds, spans } = world("a0", "a1");
  for (const shard of ["a0", "a1"]) rounds.scanned(shard, spans.get(shard), true);
  assertEquals(rounds.next(["a0"], 0), []);
  assertEquals(rounds.next(["a0", "a1"], 1), ["a1"]);
});

test("a shard that has become quiet is looked at early, once between two scans", () => {
  const { rounds, spans, scan } = world("a0", "a1", "a2");
  const all = ["a0", "a1", "a2"];
  const looks = () => {
    const { now, again } = rounds.early(all);
    return [now.join(" "), again];
  };
  spans.delete("a2"); // it is busy
  assertEquals([looks(), looks(), looks()], [["", true], ["a0 a1", false], ["", false]]);
  rounds.scanned("a0", spans.get("a0"), true);
  rounds.scanned("a1", spans.get("a1"), false);
  assertEquals(scan(0, ["a1"]), "a1 a2");
  assertEquals([looks(), looks()], [["", true], ["a1", false]]);
  spans.set("a0", {});
  spans.set("a1", {});
  spans.set("a2", {});
  assertEquals(looks(), ["", true]);
  spans.set("a2", {});
  assertEquals([looks(), looks(), looks()], [["a0", true], ["a2", false], ["", false]]);
});
