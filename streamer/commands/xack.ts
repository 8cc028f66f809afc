// XACK: acknowledges entries. Redis 5.0. Ids are copied as the bytes that the server sent, without making strings.

import { RespEncoder } from "../../resp/encoder.ts";
import { TYPE } from "../../resp/wire.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { SMALL_REPLY } from "../../resp/reply_limits.ts";

/** Acknowledges `count` entries. `ids` contains their ids in sequence, each encoded as a bulk string. */
export function xack(redisKey: string, group: string, ids: Uint8Array, count: number): Command<number> {
  const args = ["XACK", redisKey, group];
  const head = new RespEncoder({ capacity: 256 }).command(args, args.length + count).take();
  const encoded = new Uint8Array(head.length + ids.length);
  encoded.set(head);
  encoded.set(ids, head.length);
  return {
    args,
    encoded,
    key: redisKey,
    repeatable: true,
    limits: SMALL_REPLY,
    read(decoder) {
      const value = decoder.typeByte() === TYPE.integer ? decoder.value() : undefined;
      if (typeof value !== "number" || value < 0 || value > count) {
        throw wrongShape("XACK", "at most the number of acknowledged ids");
      }
      return value;
    },
  };
}
