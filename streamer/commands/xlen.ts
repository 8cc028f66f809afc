// XLEN: how many entries a stream has. Redis 5.0. It must not know who asks.

import { TYPE } from "../../resp/wire.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";

/** Counts the entries of a stream; 0 where it is missing. */
export function xlen(redisKey: string): Command<number> {
  return {
    args: ["XLEN", redisKey],
    key: redisKey,
    repeatable: true,
    read(decoder) {
      const value = decoder.typeByte() === TYPE.integer ? decoder.value() : undefined;
      if (typeof value !== "number") throw wrongShape("XLEN", "a number");
      return value;
    },
  };
}
