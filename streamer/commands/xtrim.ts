// XTRIM: how a stream is cut to a length or an age. Redis 5.0; MINID 6.2. It must not know who wants it cut.

import { TYPE } from "../../resp/wire.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";

/** To what a stream is cut: a number of entries, or the first id that stays. */
export type TrimTarget = { readonly maxLength: number } | { readonly minId: string };

/** The words of a trimming, as they stand in XTRIM and, before the id, in XADD. */
export function trimArguments(target: TrimTarget, exact: boolean): readonly (string | number)[] {
  const sign = exact ? "=" : "~";
  return "maxLength" in target ? ["MAXLEN", sign, target.maxLength] : ["MINID", sign, target.minId];
}

/** Cuts a stream; gives how many entries were removed. Approximate unless exact: whole nodes of about 100 entries. */
export function xtrim(key: string, target: TrimTarget, exact: boolean): Command<number> {
  return {
    args: ["XTRIM", key, ...trimArguments(target, exact)],
    key,
    repeatable: true,
    read(decoder) {
      const value = decoder.typeByte() === TYPE.integer ? decoder.value() : undefined;
      if (typeof value !== "number") throw wrongShape("XTRIM", "a number");
      return value;
    },
  };
}
