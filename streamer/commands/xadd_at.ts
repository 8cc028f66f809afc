// XADD of an entry with an id of its own, its fields in their order. Redis 5.0. It must not know where the entry comes from.

import type { RespArgument } from "../../resp/encoder.ts";
import { RedisError } from "../../resp/errors.ts";
import { TYPE } from "../../resp/wire.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";
import type { MessageId } from "../model/id.ts";

/** An entry with its id. */
export interface EntryAt {
  readonly redisKey: string;
  readonly id: MessageId;
  /** Names and values in turn. */
  readonly fields: readonly RespArgument[];
}

/**
 * Adds an entry at its id. Sent again after a cut it does no harm: the server takes an id once. It may then be refused because it
 * is there already, which {@linkcode isNotAbove} tells, and a look at the stream decides.
 */
export function xaddAt({ redisKey, id, fields }: EntryAt): Command<void> {
  return {
    args: ["XADD", redisKey, id, ...fields],
    key: redisKey,
    repeatable: true,
    read(decoder) {
      if (decoder.typeByte() !== TYPE.bulk || decoder.valueLength !== id.length) {
        throw wrongShape("XADD", "the entry's id");
      }
    },
  };
}

/** Whether the server refuses an id because the stream's last one is not below it. */
export function isNotAbove(error: unknown): error is RedisError {
  return error instanceof RedisError && error.code === "ERR" && error.message.includes("equal or smaller");
}
