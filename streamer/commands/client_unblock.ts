// CLIENT UNBLOCK: ends a blocked read at once, as if it had timed out. Redis 5.0.

import type { Command } from "../../resp/connection/command.ts";
import { valueCommand } from "../../resp/connection/command.ts";
import type { RespValue } from "../../resp/value.ts";

/** Ends the blocked command of the connection with this id; answers 1, or 0 where none is blocked. */
export function clientUnblock(id: string): Command<RespValue> {
  return valueCommand(["CLIENT", "UNBLOCK", id]); // not repeatable: on another server the id may be another client's
}
