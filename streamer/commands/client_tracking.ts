// CLIENT TRACKING: the server remembers the keys that a connection has looked at, and pushes a message once a key changes. Redis 6.0, RESP3.

import type { RespDecoder } from "../../resp/decoder.ts";
import { type Command, valueCommand } from "../../resp/connection/command.ts";
import { StreamerError } from "../../resp/errors.ts";
import { type RespValue, textOf } from "../../resp/value.ts";

/**
 * Begins tracking on this connection. Its own changes push nothing. A command that only reads arms its keys: the next change of an
 * armed key pushes one message, and the key is no longer armed.
 */
export function clientTracking(): Command<RespValue> {
  return valueCommand(["CLIENT", "TRACKING", "ON", "NOLOOP"], { repeatable: true });
}

/** The keys that a push says have changed; `"all"` after a flush, and `undefined` for a push of another kind. */
export function changedKeys(decoder: RespDecoder): readonly string[] | "all" | undefined {
  const push = decoder.value();
  if (!Array.isArray(push) || textOf(push[0]) !== "invalidate") return undefined;
  const [, keys] = push;
  if (keys === null) return "all";
  const names = Array.isArray(keys) ? keys.map((key) => textOf(key)) : [undefined];
  if (push.length !== 2 || names.includes(undefined)) {
    throw new StreamerError("PROTOCOL", "Malformed push: expected the keys that have changed");
  }
  return names.filter((name) => name !== undefined);
}
