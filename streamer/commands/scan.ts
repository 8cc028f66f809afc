// SCAN, TYPE and EXISTS: the keys of type stream on one server. Redis 6.0.

import type { RespArgument } from "../../resp/encoder.ts";
import { textOf } from "../../resp/value.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { LISTING_REPLY, SMALL_REPLY } from "../../resp/reply_limits.ts";

/** A part of a server's keys. */
export interface ScanPage {
  /** The next cursor, an unsigned number of 64 bits as text; `"0"` when all were seen. */
  readonly cursor: string;
  /** Maybe none, and maybe some that were seen before. */
  readonly keys: readonly string[];
}

/** What of a server's keys is looked at. */
export interface ScanOptions {
  /** A glob that keys must match. */
  readonly match?: string | undefined;
  /** How many keys the server looks at, about. */
  readonly count?: number | undefined;
}

/** The next keys of type stream, from a cursor on. */
export function scanStreams(cursor: string, { match, count }: ScanOptions = {}): Command<ScanPage> {
  const args: RespArgument[] = ["SCAN", cursor];
  if (match !== undefined) args.push("MATCH", match);
  if (count !== undefined) args.push("COUNT", count);
  args.push("TYPE", "stream");
  return {
    args,
    repeatable: true,
    limits: LISTING_REPLY,
    read(decoder) {
      const value = decoder.value();
      const [next, keys] = Array.isArray(value) ? [textOf(value[0]), value[1]] : [];
      const names = Array.isArray(keys) ? keys.map(textOf) : [];
      const whole = names.filter((name) => name !== undefined);
      if (next === undefined || !/^\d{1,20}$/.test(next) || !Array.isArray(keys) || whole.length < names.length) {
        throw wrongShape("SCAN", "a cursor and keys");
      }
      return { cursor: next, keys: whole };
    },
  };
}

/** The type of a key's value; `"none"` for a missing key. */
export function typeOfKey(key: string): Command<string> {
  return {
    args: ["TYPE", key],
    key,
    repeatable: true,
    limits: SMALL_REPLY,
    read(decoder) {
      const type = textOf(decoder.value());
      if (type === undefined) throw wrongShape("TYPE", "a type's name");
      return type;
    },
  };
}

/** Counts the keys that exist among these, of any type. They must be in one slot: each is on another node otherwise. */
export function countKeys(keys: readonly string[]): Command<number> {
  return {
    args: ["EXISTS", ...keys],
    key: keys[0],
    keys,
    repeatable: true,
    limits: SMALL_REPLY,
    read(decoder) {
      const count = decoder.value();
      if (typeof count !== "number" || count < 0 || count > keys.length) throw wrongShape("EXISTS", "a count");
      return count;
    },
  };
}

/** A text as a glob that matches it alone. */
export function globOf(text: string): string {
  return text.replace(/[*?[\]\\^]/g, "\\$&");
}
