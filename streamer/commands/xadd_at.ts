// XADD of an entry with an explicit id, its fields in their order. Redis 5.0.

import type { RespArgument } from "../../resp/encoder.ts";
import { RedisError } from "../../resp/errors.ts";
import { TYPE } from "../../resp/wire.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { classOf } from "../../resp/connection/server_errors.ts";
import { SMALL_REPLY } from "../../resp/reply_limits.ts";
import type { MessageId } from "../model/id.ts";

/** An entry with its id. */
export interface EntryAt {
  readonly redisKey: string;
  readonly id: MessageId;
  /** Alternating names and values. */
  readonly fields: readonly RespArgument[];
}

/**
 * Adds an entry with its id. It can be sent again after a lost connection, since the server stores each id once. If the entry is
 * already stored, the server refuses it: see {@linkcode isNotAbove}. The stream shows whether it is the same entry.
 */
export function xaddAt({ redisKey, id, fields }: EntryAt): Command<void> {
  return {
    args: ["XADD", redisKey, id, ...fields],
    key: redisKey,
    repeatable: true,
    limits: SMALL_REPLY,
    read(decoder) {
      if (decoder.typeByte() !== TYPE.bulk || decoder.valueLength !== id.length) {
        throw wrongShape("XADD", "the entry's id");
      }
    },
  };
}

/** Whether the server refused an id that is not greater than the stream's last one. */
export function isNotAbove(error: unknown): error is RedisError {
  return error instanceof RedisError && classOf(error) === "id-too-small";
}
