// One Redis key that a producer writes to: the template of its commands, the link of its messages, and the messages that wait
// because a server refuses them or because their slot moves to another node.

import type { NodeName, Redirect } from "../../cluster/router.ts";
import type { Timer } from "../../../resp/connection/clock.ts";
import type { EntryTemplate } from "../../commands/xadd.ts";
import type { RespDecoder } from "../../../resp/decoder.ts";
import type { StreamerError } from "../../../resp/errors.ts";
import type { TimestampFormat } from "../../model/id.ts";
import type { IdClock } from "../ids/id_clock.ts";
import type { IdempotencyWindow } from "../ids/idempotency.ts";
import type { NumberedTemplate } from "../ids/numbered_template.ts";
import type { RisingTemplate } from "../ids/rising_template.ts";
import type { ChunkPool } from "./chunk.ts";
import { RecordQueue, type Settling } from "./record_queue.ts";

/** Sends records `R` to one node and receives their replies. */
export interface Carrier<R extends Placed> {
  readonly node: NodeName;
  /** The buffers of messages for this node. */
  readonly chunks: ChunkPool;
  /** Why it is not connected, or why its last connection was lost. */
  readonly lastCause: unknown;
  /** Accepts a new record, which is written after all earlier ones. */
  add(record: R): void;
  /** Call this when a record fails before it was written. */
  dropped(record: R): void;
  /** Reads the reply to this record from the decoder. */
  replied(record: R, decoder: RespDecoder): void;
  /** Call this when the connection is lost before the reply to this record. */
  lost(record: R, cause: StreamerError): void;
  /** Moves the queued records of every target with a backlog into its backlog. */
  withhold(): void;
  /** Removes a target, of which no record is in flight, and returns the records of its backlog in the order of the calls. */
  surrender(target: Target<R>): R[];
  /** Accepts a target with the records that another link surrendered. They are written before later ones of this target. */
  adopt(target: Target<R>, records: readonly R[]): void;
  /** Lets a target's backlog be written again. */
  release(target: Target<R>): void;
  /** Call this when a target with an open backlog has no message in flight any more. */
  probed(target: Target<R>): void;
  /** Whether its server refuses all messages, so that it writes nothing for a while. */
  readonly isPaused: boolean;
  /** Whether it is connected and may write: its lost connections were killed, if possible. */
  readonly isUp: boolean;
}

/** Identifies a target. */
export interface TargetKey {
  readonly streamKey: string;
  readonly shardId: number;
  readonly redisKey: string;
  readonly slot: number;
}

/** How the messages of a target are encoded. */
export interface TargetForm {
  readonly timestampFormat: TimestampFormat;
  /** The template of messages without headers and own timestamp. `undefined` if it differs from message to message. */
  readonly template: EntryTemplate | undefined;
  /** Chooses the ids, if the producer does so. */
  readonly ids: IdClock | undefined;
  /** The same template with the next id in it. */
  readonly rising: RisingTemplate | undefined;
  /** Limits the messages in flight, if the server remembers their numbers. */
  readonly window: IdempotencyWindow | undefined;
  /** Numbers the messages, if the server remembers their numbers. */
  readonly numbered: NumberedTemplate | undefined;
}

/** The form of targets whose messages the server neither identifies nor remembers. */
export const PLAIN_FORM: TargetForm = Object.freeze({
  timestampFormat: "milliseconds",
  template: undefined,
  ids: undefined,
  rising: undefined,
  window: undefined,
  numbered: undefined,
});

/** A record with its position in the order of the calls. */
export interface Placed extends Settling {
  readonly serial: number;
}

/** One Redis key of a producer, to which it sends records `R`. */
export class Target<R extends Placed> implements TargetKey {
  readonly streamKey: string;
  readonly shardId: number;
  readonly redisKey: string;
  /** The slot of the key, computed once. */
  readonly slot: number;
  readonly template: TargetForm["template"];
  readonly timestampFormat: TimestampFormat;
  readonly ids: IdClock | undefined;
  readonly rising: RisingTemplate | undefined;
  readonly window: IdempotencyWindow | undefined;
  readonly numbered: NumberedTemplate | undefined;
  /** What has to be known before the first message, and again after a lost connection. */
  readonly start: IdClock | IdempotencyWindow | undefined;
  /** The link of its messages, set at the first use. It changes only while no message of the target is in flight. */
  link: Carrier<R> | undefined = undefined;
  /** The node that redirected here with ASK, while the link's node imports the slot. Each command then needs its own ASKING. */
  askedBy: NodeName | undefined = undefined;
  /** The redirect to follow once no message of the target is in flight. */
  next: Redirect | undefined = undefined;
  /** Redirects followed since a message was last stored. */
  redirects = 0;
  /** Messages that were written and whose replies are outstanding. */
  inFlight = 0;
  /** Messages that were accepted and are not settled. */
  unsettled = 0;
  /** Set while messages wait. Later messages are queued after them. */
  backlog: Backlog<R> | undefined = undefined;
  /** The time of the first refusal, until the server stores a message again. */
  refusingSince: number | undefined = undefined;
  /**
   * Whether its messages were refused for the time being, so that the next one is sent alone. If the refusals end between two messages of
   * one write, the first of them is refused and the second one stored, and the first one can no longer be stored in order.
   */
  isProbing = false;
  /** Whether its stream is asked for its end, or for messages in doubt. Meanwhile the backlog stays closed. */
  isHeld = false;

  constructor(key: TargetKey, { timestampFormat, template, ids, rising, window, numbered }: TargetForm) {
    this.streamKey = key.streamKey;
    this.shardId = key.shardId;
    this.redisKey = key.redisKey;
    this.slot = key.slot;
    this.timestampFormat = timestampFormat;
    this.template = template;
    this.ids = ids;
    this.rising = rising;
    this.window = window;
    this.numbered = numbered;
    this.start = ids ?? window;
  }

  /** Whether as many messages are in flight as the server remembers. */
  get isFull(): boolean {
    return this.window !== undefined && this.inFlight >= this.window.size;
  }

  /** Whether the target has no state, so that it can be dropped and recreated. */
  get isIdle(): boolean {
    return this.unsettled === 0 && this.inFlight === 0 && this.backlog === undefined;
  }
}

/** The waiting messages of one target. All refused ones come before all of `later`. */
export class Backlog<R extends Placed> {
  /** Messages to be sent again after a temporary refusal or a lost connection, each with the reason. */
  #refused: { readonly record: R; readonly cause: unknown }[] = [];
  /** The messages to be written once the backlog is open. */
  later: RecordQueue<R> = new RecordQueue<R>();
  /** Whether the backlog can be written now. Not before all replies to messages in flight for the target have arrived. */
  open = false;
  /** The latest reason to wait. */
  cause: unknown;
  /** Whether a server has refused a message, or the target moves. Otherwise it is only held. */
  isRefused = false;
  /** Opens the backlog when it expires. */
  timer: Timer | undefined;

  /** Adds a message that was refused or returned, and closes the backlog. */
  refuse(record: R, cause: unknown): void {
    this.#refused.push({ record, cause });
    this.cause = cause;
    this.open = false;
  }

  /** Removes and returns the refused messages. A later message was stored, so they can no longer be stored before it. */
  overtaken(): { readonly record: R; readonly cause: unknown }[] {
    return this.#refused.splice(0);
  }

  /** Opens the backlog. Its messages are written in the order of the calls. */
  release(): void {
    this.open = true;
    if (this.#refused.length > 0) this.list();
  }

  /** The messages that are not settled, in the order of the calls. They stay in the backlog. Linear in their number. */
  list(): R[] {
    const records = this.drain().filter((record) => !record.settled);
    this.later = new RecordQueue<R>();
    for (const record of records) this.later.push(record);
    return records;
  }

  /** Removes all messages and returns them in the order of the calls. */
  drain(): R[] {
    const refused = this.#refused.splice(0).map(({ record }) => record).sort((a, b) => a.serial - b.serial);
    return refused.concat(this.later.drain());
  }
}
