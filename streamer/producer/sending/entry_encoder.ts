// Encodes the parts of one producer's commands that are not payloads: templates and ids.

import { type EntryTemplate, entryTemplate, type HeaderList } from "../../commands/xadd.ts";
import { trimArguments } from "../../commands/xtrim.ts";
import type { Router } from "../../cluster/router.ts";
import { type TimestampFormat, unitsOf } from "../../model/id.ts";
import { shardRedisKey } from "../../model/key.ts";
import { invalidOption } from "../../model/options.ts";
import type { IdSource } from "../messages/id_source.ts";
import type { SendRecord } from "../messages/receipt.ts";
import { Target } from "../messages/target.ts";
import type { ProducerSettings } from "../options.ts";
import { NO_HEADERS } from "./entry_fields.ts";

/** The parts of a template that differ from message to message. */
export interface TemplateParts {
  readonly id?: string | undefined;
  readonly field?: string;
  readonly headers?: HeaderList;
}

const NO_PARTS: TemplateParts = Object.freeze({});

/** Settings of an encoder. */
export interface EncoderOptions {
  /** The name of the payload field. */
  readonly field: string;
  readonly settings: Pick<ProducerSettings, "maxLength" | "maxAge">;
  readonly timestampFormat: TimestampFormat;
  readonly ids: IdSource;
}

/** Encodes templates and ids. */
export class EntryEncoder {
  readonly timestampFormat: TimestampFormat;
  /** The name of the payload field. */
  readonly field: string;
  readonly #settings: EncoderOptions["settings"];
  readonly #ids: IdSource;

  constructor({ field, settings, timestampFormat, ids }: EncoderOptions) {
    this.timestampFormat = timestampFormat;
    this.field = field;
    this.#settings = settings;
    this.#ids = ids;
  }

  /** Creates the target of a stream's plain key, or of one of its shards. */
  newTarget(router: Pick<Router, "slotOf">, streamKey: string, shard: number | undefined): Target<SendRecord> {
    const redisKey = shard === undefined ? streamKey : shardRedisKey(streamKey, shard);
    const key = { streamKey, shardId: shard ?? 0, redisKey, slot: router.slotOf(redisKey) };
    const template = this.#settings.maxAge === undefined ? this.template(redisKey) : undefined;
    return new Target(key, this.timestampFormat, template);
  }

  /**
   * The bytes before and after the value of an entry's first field, by default the payload field. Without an id, the producer's
   * id source decides.
   */
  template(key: string, parts: TemplateParts = NO_PARTS): EntryTemplate {
    const { id, field = this.field, headers = NO_HEADERS } = parts;
    const { maxLength, maxAge } = this.#settings;
    const trim = maxLength !== undefined
      ? trimArguments({ maxLength }, false)
      : maxAge !== undefined
      ? trimArguments({ minId: `${this.#ago(maxAge)}-0` }, false)
      : [];
    const { encoded, stamped } = this.#ids;
    return entryTemplate({ key, trim, id: id ?? encoded, field, headers, stamped: id === undefined && stamped });
  }

  /** The id of a message with an own timestamp. */
  id(timestamp: Date | bigint): string {
    if (typeof timestamp !== "bigint" && !(timestamp instanceof Date)) {
      throw invalidOption("timestamp", timestamp, "a Date or a bigint");
    }
    return `${unitsOf(timestamp, this.timestampFormat, "timestamp")}-*`;
  }

  #ago(milliseconds: number): bigint {
    const time = new Date(Math.max(0, Math.floor(Date.now() - milliseconds)));
    return unitsOf(time, this.timestampFormat);
  }
}
