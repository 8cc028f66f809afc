// One Redis key that a producer writes to: the template of its commands, and what is held back while the server refuses
// it for the time being. It must not know connections.

import type { Timer } from "../../resp/connection/clock.ts";
import type { EntryTemplate } from "../commands/xadd.ts";
import type { RespDecoder } from "../../resp/decoder.ts";
import type { StreamerError } from "../../resp/errors.ts";
import type { TimestampFormat } from "../model/id.ts";
import { RecordQueue, type Settling } from "./record_queue.ts";

/** Who carries records `R` to the server and back. */
export interface Carrier<R> {
  readonly timestampFormat: TimestampFormat;
  /** The decoder stands on the reply to this record. */
  replied(record: R, decoder: RespDecoder): void;
  /** The connection was lost before the reply. */
  lost(record: R, cause: StreamerError): void;
}

/** One Redis key of a producer, to which it sends records `R`. */
export interface Target<R extends Placed> {
  readonly carrier: Carrier<R>;
  readonly streamKey: string;
  readonly shardId: number;
  readonly redisKey: string;
  /** For messages without headers and own timestamp; `undefined` where no two commands are alike. */
  readonly template: EntryTemplate | undefined;
  /** Messages written and not answered. */
  inFlight: number;
  /** Messages accepted and not settled. */
  unsettled: number;
  /** Set while something is held back; what comes later then queues behind it. */
  backlog: Backlog<R> | undefined;
  /** Since when the server refuses, until it stores something again. */
  refusingSince: number | undefined;
}

/** What has a place in the order of the calls. */
export interface Placed extends Settling {
  readonly serial: number;
}

/** What is held back for one key. All that was refused comes before all of `held`. */
export class Backlog<R extends Placed> {
  /** Refused for now, or returned by a cut, each with the reason: to be sent again. */
  #refused: { readonly record: R; readonly cause: unknown }[] = [];
  /** What is to be written, once this is open. */
  held: RecordQueue<R> = new RecordQueue<R>();
  /** Whether it may be written now; not before all that is in flight for the key has been answered. */
  open = false;
  /** What the server said last. */
  cause: unknown;
  /** Opens it, when it runs out. */
  timer: Timer | undefined;

  /** One more was refused, or returned; this closes the backlog. */
  refuse(record: R, cause: unknown): void {
    this.#refused.push({ record, cause });
    this.cause = cause;
    this.open = false;
  }

  /** Takes those that a later message, now stored, has overtaken: they cannot go in front of it any more. */
  overtaken(): { readonly record: R; readonly cause: unknown }[] {
    return this.#refused.splice(0);
  }

  /** Lets them be written: in the order of the calls. */
  release(): void {
    this.open = true;
    if (this.#refused.length === 0) return;
    const refused = this.#refused.splice(0).map(({ record }) => record).sort((a, b) => a.serial - b.serial);
    const held = new RecordQueue<R>();
    for (const record of [...refused, ...this.held.drain()]) held.push(record);
    this.held = held;
  }
}
