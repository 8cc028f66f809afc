// The port to which `dump` writes entries, in either format.

import type { MessageId } from "../../model/id.ts";
import type { Message } from "../../model/message.ts";
import { plural } from "../screen/figures.ts";

/** A target of entries. */
export interface DumpTarget {
  /** Accepts an entry. The result is false if the reader has gone away, and a promise if the caller must wait. */
  add(entry: DumpEntry): boolean | Promise<boolean>;
  /** Completes the dump after the last entry. */
  finish(): Promise<void>;
  /** Removes an incomplete dump. A second call, or a call after `finish`, does nothing. */
  abandon(): Promise<void>;
  /** Remarks for the summary. */
  readonly remarks: readonly string[];
}

/** An entry and its key. */
export interface DumpEntry {
  readonly message: Message;
  readonly id: MessageId;
  /** Names and values, alternating. */
  readonly fields: readonly Uint8Array[];
  readonly redisKey: string;
}

/** The remarks about dropped fields and entries. */
export function lossRemarks(losses: ReadonlyMap<string, number>): string[] {
  return [...losses].map(([what, times]) => `${plural(times, "entry")} ${what}`);
}
