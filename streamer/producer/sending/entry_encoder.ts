// Encodes the parts of one producer's commands that are not payloads: templates and ids.

import {
  type EntryParts,
  type EntryTemplate,
  entryTemplate,
  type HeaderList,
  type TrimArguments,
} from "../../commands/xadd.ts";
import { trimArguments } from "../../commands/xtrim.ts";
import type { Router } from "../../cluster/router.ts";
import { type TimestampFormat, unitsOf } from "../../model/id.ts";
import { shardRedisKey } from "../../model/key.ts";
import { invalidOption } from "../../model/options.ts";
import { IdClock, idPlaceholder, wideId } from "../ids/id_clock.ts";
import { pastTimestamp } from "../ids/id_errors.ts";
import { RisingTemplate } from "../ids/rising_template.ts";
import { checkIdempotencyKey, IdempotencyWindow, numberPrefix, randomProducerId } from "../ids/idempotency.ts";
import { NumberedTemplate, numberedTemplate } from "../ids/numbered_template.ts";
import type { IdSource } from "../messages/id_source.ts";
import type { SendRecord } from "../messages/receipt.ts";
import { PLAIN_FORM, Target } from "../messages/target.ts";
import type { ProducerSettings } from "../options.ts";
import { NO_HEADERS } from "./entry_fields.ts";

/** The parts of a template that differ from message to message. */
export interface TemplateParts {
  /** The own timestamp, in the stream's unit. */
  readonly time?: bigint | undefined;
  /** The idempotency key. */
  readonly number?: string | undefined;
  /** Whether the payload field is the only one. */
  readonly plain?: boolean;
  readonly field?: string;
  readonly headers?: HeaderList;
}

const NO_PARTS: TemplateParts = Object.freeze({});

/** Settings of an encoder. */
export interface EncoderOptions {
  /** The name of the payload field. */
  readonly field: string;
  readonly settings: Pick<ProducerSettings, "maxLength" | "maxAge" | "delivery" | "singleWriter" | "producerId">;
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
  readonly #naming: { readonly producerId: string; readonly prefix: string };

  constructor({ field, settings, timestampFormat, ids }: EncoderOptions) {
    this.timestampFormat = timestampFormat;
    this.field = field;
    this.#settings = settings;
    this.#ids = ids;
    const { producerId } = settings;
    this.#naming = { producerId: producerId ?? randomProducerId(), prefix: numberPrefix(producerId !== undefined) };
  }

  /** Creates the target of a stream's plain key, or of one of its shards. */
  newTarget(router: Pick<Router, "slotOf">, streamKey: string, shard: number | undefined): Target<SendRecord> {
    const redisKey = shard === undefined ? streamKey : shardRedisKey(streamKey, shard);
    const key = { streamKey, shardId: shard ?? 0, redisKey, slot: router.slotOf(redisKey) };
    const { timestampFormat } = this;
    const { maxAge, singleWriter, delivery } = this.#settings;
    const isFixed = maxAge === undefined;
    if (delivery === "exactly-once" && !singleWriter) {
      const numbered = new NumberedTemplate({ ...this.#parts(redisKey, NO_PARTS), ...this.#naming });
      const window = new IdempotencyWindow();
      return new Target(key, { ...PLAIN_FORM, timestampFormat, template: undefined, window, numbered });
    }
    if (!singleWriter) {
      const template = isFixed ? this.#template(redisKey, NO_PARTS) : undefined;
      return new Target(key, { ...PLAIN_FORM, timestampFormat, template });
    }
    const ids = new IdClock(timestampFormat);
    const rising = isFixed ? new RisingTemplate(ids, this.#parts(redisKey, NO_PARTS)) : undefined;
    return new Target(key, { ...PLAIN_FORM, timestampFormat, template: undefined, ids, rising });
  }

  /** The bytes before and after the payload of a message without headers and own timestamp. `wall` is the time of day. */
  plain(target: Target<SendRecord>, wall: number): EntryTemplate {
    const { numbered } = target;
    if (numbered !== undefined && this.#settings.maxAge === undefined) return numbered.next();
    return target.rising?.next(wall) ?? this.template(target, wall, NO_PARTS);
  }

  /**
   * The bytes before and after the value of an entry's first field, by default the payload field.
   *
   * @throws {StreamerError} `INVALID_OPTION` for an own timestamp before the last one, if the producer chooses the ids.
   */
  template(target: Target<SendRecord>, wall: number, parts: TemplateParts): EntryTemplate {
    const { ids, numbered, redisKey } = target;
    const { time, number, plain = false } = parts;
    if (plain && time === undefined && number === undefined) return target.template ?? this.plain(target, wall);
    if (numbered !== undefined) {
      return numberedTemplate({ ...this.#parts(redisKey, parts), ...this.#naming }, number ?? numbered.take());
    }
    if (ids === undefined) return this.#template(redisKey, parts);
    return entryTemplate({ ...this.#parts(redisKey, parts), id: nextId(ids, wall, time), stamped: true });
  }

  #template(key: string, parts: TemplateParts): EntryTemplate {
    const { encoded, stamped } = this.#ids;
    const { time } = parts;
    const id = time === undefined ? { id: encoded, stamped } : { id: `${time}-*`, stamped: false };
    return entryTemplate({ ...this.#parts(key, parts), ...id });
  }

  #parts(key: string, parts: TemplateParts): Omit<EntryParts, "id" | "stamped"> {
    const { field = this.field, headers = NO_HEADERS } = parts;
    return { key, trim: this.trim(), field, headers };
  }

  /** The arguments that trim the stream with each write. */
  trim(): TrimArguments {
    const { maxLength, maxAge } = this.#settings;
    if (maxLength !== undefined) return trimArguments({ maxLength }, false);
    return maxAge === undefined ? [] : trimArguments({ minId: `${this.#ago(maxAge)}-0` }, false);
  }

  /** Checks the idempotency key of a message. */
  checkKey(key: unknown): string {
    const { delivery, producerId } = this.#settings;
    return checkIdempotencyKey(key, delivery === "exactly-once" ? producerId : undefined);
  }

  /** The own timestamp of a message, in the stream's unit. */
  time(timestamp: Date | bigint): bigint {
    const { delivery, singleWriter } = this.#settings;
    if (delivery === "exactly-once" && !singleWriter) {
      throw invalidOption(
        "timestamp",
        timestamp,
        `omitted with delivery "exactly-once", unless 'singleWriter' is true`,
      );
    }
    if (typeof timestamp !== "bigint" && !(timestamp instanceof Date)) {
      throw invalidOption("timestamp", timestamp, "a Date or a bigint");
    }
    return unitsOf(timestamp, this.timestampFormat, "timestamp");
  }

  #ago(milliseconds: number): bigint {
    const time = new Date(Math.max(0, Math.floor(Date.now() - milliseconds)));
    return unitsOf(time, this.timestampFormat);
  }
}

/** The next id of a target, or a placeholder while it cannot be chosen. With an own timestamp it has space to be chosen again. */
function nextId(ids: IdClock, wall: number, own: bigint | undefined): string {
  if (!ids.started) return idPlaceholder(own ?? ids.unitsOf(wall));
  if (own === undefined) ids.advance(wall);
  else if (!ids.advanceTo(own)) throw pastTimestamp();
  return own === undefined ? ids.last : wideId(ids.first, ids.second);
}
