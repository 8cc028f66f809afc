// XDEL: deletes entries by their ids. Redis 5.0.

import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { SMALL_REPLY } from "../../resp/reply_limits.ts";
import type { MessageId } from "../model/id.ts";

/** Deletes entries; returns how many existed. */
export function xdel(redisKey: string, ids: readonly MessageId[]): Command<number> {
  return {
    args: ["XDEL", redisKey, ...ids],
    key: redisKey,
    repeatable: true,
    limits: SMALL_REPLY,
    read(decoder) {
      const count = decoder.value();
      if (typeof count !== "number" || count < 0 || count > ids.length) throw wrongShape("XDEL", "a count of ids");
      return count;
    },
  };
}
