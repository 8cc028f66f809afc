// SENTINEL SENTINELS: the other Sentinels of a primary. Redis 2.8.

import { pairsOf, type RespValue, textOf } from "../../resp/value.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { LISTING_REPLY } from "../../resp/reply_limits.ts";
import { addressOf, type SentinelAddress } from "./sentinel_primary.ts";

/** The addresses of the other Sentinels that monitor the primary with this name. Entries without an address are left out. */
export function sentinelPeers(name: string): Command<readonly SentinelAddress[]> {
  return {
    args: ["SENTINEL", "SENTINELS", name],
    repeatable: true,
    limits: LISTING_REPLY,
    read(decoder) {
      const rows = decoder.value();
      if (!Array.isArray(rows)) throw wrongShape("SENTINEL SENTINELS", "a list");
      return rows.flatMap((row) => readPeer(row) ?? []);
    },
  };
}

function readPeer(row: RespValue): SentinelAddress | undefined {
  const pairs = pairsOf(row);
  if (pairs === undefined) throw wrongShape("SENTINEL SENTINELS", "fields with values");
  let [ip, port]: (string | undefined)[] = [];
  for (const [name, value] of pairs) {
    const field = textOf(name);
    if (field === "ip") ip = textOf(value);
    if (field === "port") port = textOf(value);
  }
  return addressOf(ip, port);
}
