// Tests when a shard is doubtful: its primary has changed, and may have lost entries that were read.

import { assertEquals } from "@std/assert";
import { ShardPosition } from "../../../../streamer/consumer/shards/shard_position.ts";
import { test } from "../../../support/runner.ts";

const name = { streamKey: "s", shardId: 0, redisKey: "s" };

function shardAt(position = "5-0", reached = "9-0"): ShardPosition {
  return new ShardPosition(name, { position, reached });
}

test("a shard that comes to another node than the one that has answered last is doubtful, until that is settled", () => {
  const shard = shardAt();
  shard.comeTo("a");
  shard.cut();
  shard.comeTo("b");
  assertEquals([shard.isDoubtful, shard.servedBy], [true, "a"]);
  shard.cut();
  shard.comeTo("a");
  assertEquals(shard.isDoubtful, true, "it was not settled");
  shard.comeTo("b");
  shard.settle();
  assertEquals([shard.isDoubtful, shard.servedBy], [false, "b"]);
  shard.comeTo("b");
  assertEquals([shard.isDoubtful, shard.isCut], [false, false], "it has answered");
});

test("a shard whose node comes back and only redirects to another one is doubtful", () => {
  const shard = shardAt();
  shard.comeTo("a");
  shard.served();
  shard.cut();
  shard.comeTo("a");
  assertEquals([shard.isDoubtful, shard.servedBy], [false, "a"]);
  shard.comeTo("b");
  assertEquals([shard.isDoubtful, shard.servedBy], [true, "a"]);
});

test("a shard that comes back to its node is not doubtful, and is cut until it has answered", () => {
  const shard = shardAt();
  shard.cut();
  shard.comeTo("a");
  shard.cut();
  shard.comeTo("a");
  assertEquals([shard.isDoubtful, shard.isCut], [false, true]);
  shard.served();
  assertEquals(shard.isCut, false);
});

test("once it is settled, the stream is known to have reached what was read, and no more", () => {
  const shard = shardAt();
  shard.settle();
  assertEquals([shard.position, shard.reached], ["5-0", "9-0"], "nothing was read");
  shard.passed({ count: 2, idAt: (i) => ["6-0", "7-0"][i] });
  shard.advance("7-0");
  shard.reach("9-0");
  shard.settle();
  assertEquals([shard.position, shard.reached, shard.milestones], ["7-0", "7-0", ["7-0", "6-0"]]);
});

test("a shard that begins at the end of its stream remembers that, and a moved one what is known of its node", () => {
  assertEquals([shardAt("9-0").start, shardAt().start, shardAt("0-0", "0-0").start], ["9-0", undefined, undefined]);
  const shard = shardAt();
  shard.passed({ count: 1, idAt: () => "5-0" });
  shard.comeTo("a");
  shard.cut();
  const moved = shard.movedTo("3-0");
  moved.comeTo("b");
  assertEquals([moved.isDoubtful, moved.milestones, shard.isDoubtful], [true, [], false]);
  assertEquals(shard.movedToEnd("8-0").start, "8-0");
});
