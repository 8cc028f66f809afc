// XTRIM: trims a stream to a length or to a lowest id. Redis 5.0; MINID 6.2.

import { TYPE } from "../../resp/wire.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { SMALL_REPLY } from "../../resp/reply_limits.ts";

/** To what a stream is cut: a number of entries, or the first id that stays. */
export type TrimTarget = { readonly maxLength: number } | { readonly minId: string };

/** The arguments that describe a trim: in XTRIM, and in XADD before the id. */
export function trimArguments(target: TrimTarget, exact: boolean): readonly (string | number)[] {
  const sign = exact ? "=" : "~";
  return "maxLength" in target ? ["MAXLEN", sign, target.maxLength] : ["MINID", sign, target.minId];
}

/** Trims a stream; returns how many entries were removed. Approximate unless exact: whole nodes of about 100 entries. */
export function xtrim(key: string, target: TrimTarget, exact: boolean): Command<number> {
  return {
    args: ["XTRIM", key, ...trimArguments(target, exact)],
    key,
    repeatable: true,
    limits: SMALL_REPLY,
    read(decoder) {
      const value = decoder.typeByte() === TYPE.integer ? decoder.value() : undefined;
      if (typeof value !== "number" || value < 0) throw wrongShape("XTRIM", "a count");
      return value;
    },
  };
}
