// ROLE: whether a server is a primary. Redis 2.8.12.

import { textOf } from "../../resp/value.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { LISTING_REPLY } from "../../resp/reply_limits.ts";

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
