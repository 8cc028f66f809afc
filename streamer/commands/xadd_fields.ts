// XADD of an entry whose fields are at hand, one at a time. Redis 5.0. It must not know what they mean.

import type { RespArgument } from "../../resp/encoder.ts";
import { TYPE } from "../../resp/wire.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";

/** Adds an entry of these names and values. Sent again after a cut, so that it can stand twice in the stream. */
export function xaddFields(redisKey: string, fields: readonly RespArgument[]): Command<void> {
  return {
    args: ["XADD", redisKey, "*", ...fields],
    key: redisKey,
    repeatable: true,
    read(decoder) {
      if (decoder.typeByte() !== TYPE.bulk || decoder.valueLength < 0) throw wrongShape("XADD", "an entry id");
    },
  };
}
