// CLIENT KILL: how a connection that may still deliver commands late is put to silence. Redis 2.8.12. It must not know why.

import { TYPE } from "../wire.ts";
import { type Command, wrongShape } from "./command.ts";
import type { ConnectionIdentity } from "./handshake.ts";

/** Kills the connection with this number at this address: both must fit, as a number alone may be a stranger's. */
export function clientKill(identity: ConnectionIdentity): Command<number> {
  return {
    args: ["CLIENT", "KILL", "ID", identity.id, "ADDR", identity.address],
    repeatable: true,
    read(decoder) {
      const value = decoder.typeByte() === TYPE.integer ? decoder.value() : undefined;
      if (typeof value !== "number") throw wrongShape("CLIENT KILL", "a number");
      return value;
    },
  };
}
