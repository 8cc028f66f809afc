// TIME: the server's clock. Redis 2.6.

import { textOf } from "../../resp/value.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { SMALL_REPLY } from "../../resp/reply_limits.ts";

/** Milliseconds since 1970 by the clock of the server. */
export function serverTime(): Command<number> {
  return {
    args: ["TIME"],
    repeatable: true,
    limits: SMALL_REPLY,
    read(decoder) {
      const value = decoder.value();
      const [seconds, microseconds] = Array.isArray(value) && value.length === 2 ? value.map(textOf) : [];
      if (!isNumber(seconds) || !isNumber(microseconds)) throw wrongShape("TIME", "seconds and microseconds");
      return Number(seconds) * 1_000 + Math.floor(Number(microseconds) / 1_000);
    },
  };
}

function isNumber(text: string | undefined): text is string {
  return text !== undefined && /^\d{1,12}$/.test(text);
}
