// XACK: entries that are done with. Redis 5.0. Its ids are taken as they came over the wire, without making strings of them.
// It must not know who acknowledges, nor when.

import { RespEncoder } from "../../resp/encoder.ts";
import { TYPE } from "../../resp/wire.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";

/** Acknowledges `count` entries, whose ids stand in `ids` one behind the other, each encoded as a bulk string. */
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
    read(decoder) {
      const value = decoder.typeByte() === TYPE.integer ? decoder.value() : undefined;
      if (typeof value !== "number") throw wrongShape("XACK", "a number");
      return value;
    },
  };
}
