// XADD of one entry with several fields. Redis 5.0.

import type { RespArgument } from "../../resp/encoder.ts";
import { TYPE } from "../../resp/wire.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { SMALL_REPLY } from "../../resp/reply_limits.ts";

/** Adds an entry of these names and values. It is sent again after a lost connection, so the stream can contain it twice. */
export function xaddFields(redisKey: string, fields: readonly RespArgument[]): Command<void> {
  return {
    args: ["XADD", redisKey, "*", ...fields],
    key: redisKey,
    repeatable: true,
    limits: SMALL_REPLY,
    read(decoder) {
      if (decoder.typeByte() !== TYPE.bulk || decoder.valueLength < 0) throw wrongShape("XADD", "an entry id");
    },
  };
}
