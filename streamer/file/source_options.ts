// The options for reading a file and their defaults. Checked once, at the edge.

import { StreamerError } from "../../resp/errors.ts";
import { shown, unitsOf } from "../model/id.ts";
import { checkBoolean, checkNames, checkNumber, invalidOption } from "../model/options.ts";
import type { FileError } from "./error.ts";
import { checkFileKey, checkSequence, checkShard } from "./message.ts";
import type { Wanted } from "./format/search.ts";

/**
 * Options of {@linkcode MessageSource.open}.
 *
 * @category Files
 */
export interface MessageSourceOptions {
  /**
   * What to do with invalid bytes, wrong checksums, and a file that ends inside a message.
   *
   * - `"fail"`: the iteration throws a {@linkcode FileError} after all messages before it. The next iteration continues after it.
   * - `"skip"`: reading continues; the place is counted in the statistics.
   * - A function: it is called with each error, and reading continues.
   *
   * @default {"fail"}
   */
  readonly onCorrupt?: "fail" | "skip" | ((error: FileError) => void);
  /** The largest payload in bytes, at most 4,294,967,295. A message that claims more is corrupt. @default {536870912} */
  readonly maxPayload?: number;
  /**
   * Whether to wait at the end of the file for more messages. Waiting ends at the mark of the end of the stream, at `close`, and if
   * the signal is aborted. @default {false}
   */
  readonly follow?: boolean;
  /** Milliseconds between reads of a file that is followed; at least 1. @default {100} */
  readonly pollInterval?: number;
  /** Cancels the opening, and later reading and waiting, which reject with its reason. @default {undefined} */
  readonly signal?: AbortSignal;
}

/**
 * Options of {@linkcode MessageSource.seek} and {@linkcode MessageSource.rewind}.
 *
 * @category Files
 */
export interface FileSeekOptions {
  /** Consider only messages of this stream. @default {undefined} */
  readonly streamKey?: string;
  /** Consider only messages of this shard; requires `streamKey`. @default {undefined} */
  readonly shardId?: number | bigint;
  /** Ends the wait. @default {undefined} */
  readonly signal?: AbortSignal;
}

/**
 * A position in a file: its beginning, its end, or after a sequence.
 *
 * @category Files
 */
export type FilePosition = "beginning" | "end" | bigint;

/** The options with all defaults. */
export interface SourceSettings {
  readonly onCorrupt: "fail" | "skip" | ((error: FileError) => void);
  readonly maxPayload: number;
  readonly follow: boolean;
  readonly pollInterval: number;
  readonly signal: AbortSignal | undefined;
}

/** Checks options and fills in defaults. */
export function sourceSettings(options: MessageSourceOptions): SourceSettings {
  checkNames("options of a source", options, ["onCorrupt", "maxPayload", "follow", "pollInterval", "signal"]);
  const { onCorrupt = "fail", signal } = options;
  if (onCorrupt !== "fail" && onCorrupt !== "skip" && typeof onCorrupt !== "function") {
    throw invalidOption("onCorrupt", onCorrupt, '"fail", "skip" or a function');
  }
  return {
    onCorrupt,
    maxPayload: checkNumber("maxPayload", options.maxPayload, 512 * 1024 * 1024, {
      min: 0,
      max: 2 ** 32 - 1,
      integer: true,
    }),
    follow: checkBoolean("follow", options.follow, false),
    pollInterval: checkNumber("pollInterval", options.pollInterval, 100, { min: 1, max: 2 ** 31 - 1 }),
    signal,
  };
}

/** The message to find after a time. */
export function wantedTime(time: Date | bigint, options: FileSeekOptions): Wanted {
  return { ...whose(options), by: "timestamp", above: unitsOf(time, "milliseconds") };
}

/** The message to find after a sequence. */
export function wantedSequence(position: bigint, options: FileSeekOptions): Wanted {
  return { ...whose(options), by: "sequence", above: checkSequence(position) };
}

/** Checks a position. */
export function checkPosition(position: unknown): asserts position is FilePosition {
  if (position === "beginning" || position === "end" || typeof position === "bigint") return;
  throw new StreamerError(
    "INVALID_OPTION",
    `Cannot rewind: 'position' must be "beginning", "end" or a bigint, got ${shown(position)}`,
  );
}

function whose(options: FileSeekOptions): Pick<Wanted, "streamKey" | "shardId"> {
  checkNames("options of seeking", options, ["streamKey", "shardId", "signal"]);
  const { streamKey, shardId } = options;
  if (streamKey === undefined && shardId !== undefined) {
    throw invalidOption("shardId", shardId, "left out when streamKey is");
  }
  return {
    ...(streamKey === undefined ? {} : { streamKey: checkFileKey(streamKey) }),
    ...(shardId === undefined ? {} : { shardId: checkShard(shardId) }),
  };
}
