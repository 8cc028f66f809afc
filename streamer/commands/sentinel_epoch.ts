// SENTINEL MASTER: which failover of a primary a Sentinel knows. Redis 2.8.

import { pairsOf, textOf } from "../../resp/value.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { SMALL_REPLY } from "../../resp/reply_limits.ts";

/** The epoch of the last failover that a Sentinel knows, which grows with each one. `undefined` if it does not say. */
export function sentinelEpoch(name: string): Command<bigint | undefined> {
  return {
    args: ["SENTINEL", "MASTER", name],
    repeatable: true,
    limits: SMALL_REPLY,
    read(decoder) {
      const pairs = pairsOf(decoder.value());
      if (pairs === undefined) throw wrongShape("SENTINEL MASTER", "fields with values");
      for (const [name, value] of pairs) {
        const text = textOf(value) ?? "";
        if (textOf(name) === "config-epoch" && /^[0-9]{1,19}$/.test(text)) return BigInt(text);
      }
      return undefined;
    },
  };
}
