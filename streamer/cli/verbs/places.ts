// Where the shards of streams are, for `info --nodes`.

import { shardsIn } from "../../cluster/shards.ts";
import type { Manager } from "../../manager/manager.ts";
import { shardRedisKey } from "../../model/key.ts";
import { type RedisStreamer, routerFor, shardFinder } from "../../streamer.ts";
import type { ShardPlace } from "../screen/rates.ts";

/** How places are looked for. */
export interface PlacesOptions {
  readonly streamer: RedisStreamer;
  readonly manager: Manager;
  /** Whether the shards of the stream are looked for. Otherwise its name is a Redis key. */
  readonly named: boolean;
  readonly signal: AbortSignal;
}

/** The node and the length of each shard of a stream, or of its plain key. */
export async function placesOf(
  name: string,
  { streamer, manager, named, signal }: PlacesOptions,
): Promise<readonly ShardPlace[]> {
  const router = routerFor(streamer);
  const { numbers } = named ? shardsIn(await shardFinder(streamer)([name], signal), name) : { numbers: [] };
  const shards = numbers.length === 0 ? [undefined] : numbers;
  return await Promise.all(shards.map(async (shard) => {
    const redisKey = shard === undefined ? name : shardRedisKey(name, shard);
    const shardId = shard === undefined ? {} : { shardId: shard };
    const length = await manager.length(name, { ...shardId, signal }); // after this the router knows the node, also if the slot has moved
    const [node, ...others] = router.nodes();
    // With Sentinel, the router's name of the only node is not its address.
    return { shard, length, node: others.length === 0 ? node.name : router.nodeOf(router.slotOf(redisKey)) };
  }));
}
