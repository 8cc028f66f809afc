// Builds batches and shards without a server.

import { GroupShard } from "../../../streamer/consumer/shards/group_shard.ts";
import { PendingBatch } from "../../../streamer/consumer/pending/pending_batch.ts";
import { array, entry, frame } from "../../unit/commands/frames.ts";

/** A shard that no reader reads. */
export function shardOf(redisKey: string): GroupShard {
  const shard = replayingShard(redisKey);
  shard.replayed();
  return shard;
}

/** A shard of which the entries of a previous session have not been delivered yet. */
export function replayingShard(redisKey: string): GroupShard {
  const shard = new GroupShard({ streamKey: redisKey, shardId: 0, redisKey });
  shard.assign();
  return shard;
}

/** A batch of a page with these ids. */
export function batchOf(shard: GroupShard, ids: readonly string[], deliveries?: readonly number[]): PendingBatch {
  const page = frame(array(...ids.map((id) => entry(id, "msg", `payload of ${id}`))));
  const entries: number[] = [];
  for (let at = 2, i = 0; i < ids.length; i++, at += 10) entries.push(at);
  return new PendingBatch(shard, { frame: page, entries: Int32Array.from(entries), deliveries }, 1_000);
}

/** Bulk strings in sequence, decoded by hand. */
export function idsOf(encoded: Uint8Array): string[] {
  let text = "";
  for (const byte of encoded) text += String.fromCharCode(byte);
  const ids: string[] = [];
  while (text !== "") {
    const [head, digits] = /^\$(\d+)\r\n/.exec(text) ?? [];
    if (head === undefined) throw new Error(`No bulk string: ${JSON.stringify(text.slice(0, 60))}`);
    const end = head.length + Number(digits);
    if (text.slice(end, end + 2) !== "\r\n") throw new Error(`No end of a bulk string: ${JSON.stringify(text)}`);
    ids.push(text.slice(head.length, end));
    text = text.slice(end + 2);
  }
  return ids;
}
