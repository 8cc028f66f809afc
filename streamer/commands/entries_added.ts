// XINFO STREAM: how many entries were ever added to a stream. Redis 7.0.

import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { STATE_REPLY } from "../../resp/reply_limits.ts";
import { pairsOf, textOf } from "../../resp/value.ts";

/** Entries ever added to a stream; `undefined` before Redis 7.0. */
export function entriesAdded(redisKey: string): Command<number | undefined> {
  return {
    args: ["XINFO", "STREAM", redisKey],
    key: redisKey,
    repeatable: true,
    limits: STATE_REPLY,
    read(decoder) {
      const pairs = pairsOf(decoder.value());
      if (pairs === undefined) throw wrongShape("XINFO STREAM", "pairs of names and values");
      const added = pairs.find(([name]) => textOf(name) === "entries-added")?.[1];
      return typeof added === "number" ? added : undefined;
    },
  };
}
