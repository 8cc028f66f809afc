// What entries are dumped into, whatever its format. It must not know any.

import type { MessageId } from "../model/id.ts";
import type { Message } from "../model/message.ts";
import { plural } from "./figures.ts";

/** Where entries go. */
export interface DumpTarget {
  /** Accepts an entry; false when nobody takes more. Gives a promise where it must be waited for. */
  add(entry: DumpEntry): boolean | Promise<boolean>;
  /** All entries have been added. */
  finish(): Promise<void>;
  /** What was begun is taken away. Twice, or after the end, is harmless. */
  abandon(): Promise<void>;
  /** What there is to say at the end. */
  readonly remarks: readonly string[];
}

/** An entry and where it stood. */
export interface DumpEntry {
  readonly message: Message;
  readonly id: MessageId;
  /** Names and values in turn. */
  readonly fields: readonly Uint8Array[];
  readonly redisKey: string;
}

/** What the end of a dump says about entries that could not be held. */
export function lossRemarks(losses: ReadonlyMap<string, number>): string[] {
  return [...losses].map(([what, times]) => `${plural(times, "entry")} ${what}`);
}
