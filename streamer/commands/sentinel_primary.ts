// SENTINEL GET-MASTER-ADDR-BY-NAME: the address of a primary. Redis 2.8.

import { textOf } from "../../resp/value.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { SMALL_REPLY } from "../../resp/reply_limits.ts";

/** The address of a server or of a Sentinel, as a Sentinel announces it. Only the shape is checked. */
export interface SentinelAddress {
  readonly host: string;
  readonly port: number;
}

/** The address of the primary with this name. `undefined` if the Sentinel does not know the name. */
export function sentinelPrimary(name: string): Command<SentinelAddress | undefined> {
  return {
    args: ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", name],
    repeatable: true,
    limits: SMALL_REPLY,
    read(decoder) {
      const value = decoder.value();
      if (value === null) return undefined;
      const [host, port] = Array.isArray(value) && value.length === 2 ? value.map(textOf) : [];
      const address = addressOf(host, port);
      if (address === undefined) throw wrongShape("SENTINEL GET-MASTER-ADDR-BY-NAME", "a host and a port");
      return address;
    },
  };
}

/** The address of a host and a port in decimal. `undefined` if either is missing or malformed. */
export function addressOf(host: string | undefined, port: string | undefined): SentinelAddress | undefined {
  if (host === undefined || port === undefined || !/^[0-9]{1,5}$/.test(port)) return undefined;
  return { host, port: Number(port) };
}
