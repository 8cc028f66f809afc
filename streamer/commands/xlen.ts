// XLEN: how many entries a stream has. Redis 5.0.

import { TYPE } from "../../resp/wire.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { SMALL_REPLY } from "../../resp/reply_limits.ts";

/** Counts the entries of a stream; 0 where it is missing. */
export function xlen(redisKey: string): Command<number> {
  return {
    args: ["XLEN", redisKey],
    key: redisKey,
    repeatable: true,
    limits: SMALL_REPLY,
    read(decoder) {
      const value = decoder.typeByte() === TYPE.integer ? decoder.value() : undefined;
      if (typeof value !== "number" || value < 0) throw wrongShape("XLEN", "a count");
      return value;
    },
  };
}
