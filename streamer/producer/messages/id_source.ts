// The source of the ids of entries without an own timestamp: the server, or this machine's clock. An id that changes with each
// write is encoded as a placeholder, which is overwritten before the write.

import type { Clock } from "../../../resp/connection/clock.ts";
import type { TimestampFormat } from "../../model/id.ts";
import { NanosecondClock, UNSTAMPED } from "./nanosecond_clock.ts";

/** Creates ids of entries. */
export interface IdSource {
  /** The encoded id, or its placeholder. */
  readonly encoded: string;
  /** Whether {@linkcode write} must be called before each write of the entry. */
  readonly stamped: boolean;
  /** Overwrites the placeholder with the part of the id that changes, or notes the time of the first write. */
  write(message: Stamped): void;
}

/** The parts of a message that concern its id. */
export interface Stamped {
  readonly chunk: { readonly bytes: Uint8Array } | undefined;
  /** The index of the placeholder. */
  readonly stampAt: number;
  /** The time of the first write, in milliseconds of the clock. */
  idFirst: number;
}

const SERVER_IDS: IdSource = Object.freeze({ encoded: "*", stamped: false, write: () => {} });

/** This machine's time in nanoseconds. The server adds the second half of the id. */
class NanosecondIds implements IdSource {
  readonly encoded = `${UNSTAMPED}-*`;
  readonly stamped = true;
  readonly #clock = new NanosecondClock();

  write({ chunk, stampAt }: Stamped): void {
    if (chunk !== undefined) this.#clock.stamp(chunk.bytes, stampAt);
  }
}

/** The server's own ids. Notes in the message when it is first written, in milliseconds of the clock. */
export function timedIds(clock: Pick<Clock, "now">): IdSource {
  return {
    encoded: SERVER_IDS.encoded,
    stamped: true,
    write(message) {
      if (message.idFirst === 0) message.idFirst = clock.now();
    },
  };
}

/** The id source of one producer: the server for milliseconds, this machine's clock at each write for nanoseconds. */
export function idSource(format: TimestampFormat): IdSource {
  return format === "milliseconds" ? SERVER_IDS : new NanosecondIds();
}
