// CLIENT UNBLOCK: ends a blocked read at once, as if its time had run out. Redis 5.0. It must not know why.

import type { Command } from "../../resp/connection/command.ts";
import { valueCommand } from "../../resp/connection/command.ts";
import type { RespValue } from "../../resp/value.ts";

/** Ends the blocked command of the connection with this number; answers 1, or 0 where none is blocked. */
export function clientUnblock(id: string): Command<RespValue> {
  return valueCommand(["CLIENT", "UNBLOCK", id]); // not repeatable: after a restart the number may be a stranger's
}
