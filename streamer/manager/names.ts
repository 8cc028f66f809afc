// Resolves the name of a group or a consumer: text, the escaped form of a name that is not valid UTF-8, or bytes.

import { classOf } from "../../resp/connection/server_errors.ts";
import { RedisError, StreamerError } from "../../resp/errors.ts";
import { xinfoConsumers, xinfoGroups } from "../commands/xgroup.ts";
import { shown } from "../model/id.ts";
import { bytesShownAs, type WireName, wireName } from "../model/name.ts";
import { invalidOption } from "../model/options.ts";
import type { SignalOptions } from "./options.ts";
import type { ManagerContext } from "./shard_keys.ts";

/** A name of a group or a consumer. */
export interface GivenName {
  /** The name as it was given. */
  readonly name: WireName;
  /** The name whose escaped form this is, which is not valid UTF-8. */
  readonly escaped?: Uint8Array | undefined;
}

/** Checks a name: text, or its bytes. */
export function checkMemberName(what: string, name: unknown): GivenName {
  if (typeof name === "string" && name.length > 0) return { name, escaped: bytesShownAs(name) };
  if (name instanceof Uint8Array && name.length > 0) return { name: wireName(name.slice()) };
  throw invalidOption(what, name, "a non-empty string or Uint8Array");
}

/** Finds the group of a key. The key's groups are requested only if the name may be an escaped one. */
export async function resolveGroup(
  context: ManagerContext,
  redisKey: string,
  given: GivenName,
  options: SignalOptions,
): Promise<WireName> {
  return await resolve("group", given, async () => await context.read(xinfoGroups(redisKey), options));
}

/** Finds the consumer of a group, in the same way. */
export async function resolveConsumer(
  context: ManagerContext,
  { redisKey, group }: { readonly redisKey: string; readonly group: WireName },
  given: GivenName,
  options: SignalOptions,
): Promise<WireName> {
  return await resolve("consumer", given, async () => await context.read(xinfoConsumers(redisKey, group), options));
}

async function resolve(
  what: string,
  { name, escaped }: GivenName,
  list: () => Promise<readonly { readonly name: WireName }[]>,
): Promise<WireName> {
  if (escaped === undefined) return name;
  const names: readonly WireName[] = await list().then((rows) => rows.map((row) => row.name), (error) => {
    if (error instanceof RedisError && classOf(error) !== "forbidden") return []; // the command that follows meets the same error
    throw error;
  });
  const isThere = names.includes(name);
  const isEscaped = names.some((one) => one instanceof Uint8Array && areSame(one, escaped));
  if (isThere && isEscaped) {
    throw new StreamerError(
      "CONFLICT",
      `The name ${shown(name)} fits two ${what}s: one with that name, and one whose bytes are escaped to it. ` +
        "Pass the bytes instead",
    );
  }
  return isEscaped ? escaped : name;
}

function areSame(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, i) => byte === other[i]);
}
