// ROLE: whether a server is a primary. Redis 2.8.12. HELLO reports it, too, and every user may run it. Redis 6.2.

import type { RespDecoder } from "../../resp/decoder.ts";
import { pairsOf, textOf } from "../../resp/value.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { LISTING_REPLY, SMALL_REPLY } from "../../resp/reply_limits.ts";

/** The role of the server: `"master"`, `"slave"` or `"sentinel"`. */
export function roleOfServer(): Command<string> {
  return {
    args: ["ROLE"],
    repeatable: true,
    limits: LISTING_REPLY, // a primary lists its replicas
    read(decoder) {
      const value = decoder.value();
      const role = Array.isArray(value) ? textOf(value[0]) : undefined;
      if (role === undefined) throw wrongShape("ROLE", "a list that begins with a role");
      return role;
    },
  };
}

/** The role, as HELLO reports it: `"master"` or `"replica"`. `undefined` if it does not. It changes nothing on the connection. */
export function roleByHello(): Command<string | undefined> {
  return {
    args: ["HELLO"],
    repeatable: true,
    limits: SMALL_REPLY,
    read: (decoder) => helloField(decoder, "role"),
  };
}

/** A field of a reply to HELLO; `undefined` if the server does not report it. */
export function helloField(decoder: RespDecoder, field: string): string | undefined {
  return textOf(pairsOf(decoder.value())?.find(([name]) => textOf(name) === field)?.[1]);
}
