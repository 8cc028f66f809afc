// Owns how a test makes lots and shards without a server. Must not know what becomes of them.

import { type GroupShard, groupShard } from "../../../streamer/consumer/group_shard.ts";
import { Lot } from "../../../streamer/consumer/lot.ts";
import { array, entry, frame } from "../commands/frames.ts";

/** A shard that nobody reads. */
export function shardOf(redisKey: string): GroupShard {
  return { ...groupShard({ streamKey: redisKey, shardId: 0, redisKey }), replayed: true, active: true };
}

/** A lot of a page with these ids. */
export function lotOf(shard: GroupShard, ids: readonly string[], deliveries?: readonly number[]): Lot {
  const page = frame(array(...ids.map((id) => entry(id, "msg", `payload of ${id}`))));
  const entries: number[] = [];
  for (let at = 2, i = 0; i < ids.length; i++, at += 10) entries.push(at);
  return new Lot(shard, { frame: page, entries: Int32Array.from(entries), deliveries }, 1_000);
}

/** The bulk strings that stand one behind the other, decoded by hand. */
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
