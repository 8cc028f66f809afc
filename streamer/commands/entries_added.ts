// How many entries were ever added to a stream: XINFO STREAM, Redis 7.0. It must not know what the answer is for.

import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { pairsOf, textOf } from "../../resp/value.ts";

/** Entries ever added to a stream; `undefined` before Redis 7.0. */
export function entriesAdded(redisKey: string): Command<number | undefined> {
  return {
    args: ["XINFO", "STREAM", redisKey],
    key: redisKey,
    repeatable: true,
    read(decoder) {
      const pairs = pairsOf(decoder.value());
      if (pairs === undefined) throw wrongShape("XINFO STREAM", "pairs of names and values");
      const added = pairs.find(([name]) => textOf(name) === "entries-added")?.[1];
      return typeof added === "number" ? added : undefined;
    },
  };
}
