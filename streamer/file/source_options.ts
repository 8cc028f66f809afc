// The options of reading a file: their defaults, checked once, at the edge. It must not know how they are carried out.

import { StreamerError } from "../../resp/errors.ts";
import { shown, unitsOf } from "../model/id.ts";
import { checkBoolean, checkNames, checkNumber, invalidOption } from "../model/options.ts";
import type { FileError } from "./error.ts";
import { checkFileKey, checkSequence, checkShard } from "./message.ts";
import type { Wanted } from "./search.ts";

/** Options of {@linkcode MessageSource.open}. */
export interface MessageSourceOptions {
  /**
   * What is done about bytes that are not of the format, about a payload whose checksum is wrong, and about a file that ends
   * inside of a message: `"fail"` makes the iteration throw a {@linkcode FileError}, after all that stands before, and the
   * next iteration goes on behind; `"skip"` goes on by itself, and only counts them in the statistics; a function is
   * told of each, and then it goes on. @default {"fail"}
   */
  readonly onCorrupt?: "fail" | "skip" | ((error: FileError) => void);
  /** Largest payload in bytes, to 4,294,967,295; a message that claims more is taken for corrupt. @default {536870912} */
  readonly maxPayload?: number;
  /**
   * Waits at the end of the file for what is written behind it, until the end of the stream is met, or it is closed or
   * aborted. @default {false}
   */
  readonly follow?: boolean;
  /** Milliseconds between looks at a file that is followed; at least 1. @default {100} */
  readonly pollInterval?: number;
  /** Abandons the opening; later ends the waiting and reading: it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Whose messages a position is meant for. */
export interface FileSeekOptions {
  /** Only messages of this stream are looked at. @default {undefined} */
  readonly streamKey?: string;
  /** Only messages of this shard are looked at; only together with `streamKey`. @default {undefined} */
  readonly shardId?: number | bigint;
  /** Ends the waiting. */
  readonly signal?: AbortSignal;
}

/** A position in a file: everything, only what comes, or behind a sequence. */
export type FilePosition = "beginning" | "end" | bigint;

/** The same with every default filled in. */
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
    throw invalidOption("onCorrupt", onCorrupt, '"fail" or "skip" or a function');
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

/** What is looked for behind a time. */
export function wantedTime(time: Date | bigint, options: FileSeekOptions): Wanted {
  return { ...whose(options), by: "timestamp", above: unitsOf(time, "milliseconds") };
}

/** What is looked for behind a sequence. */
export function wantedSequence(position: bigint, options: FileSeekOptions): Wanted {
  return { ...whose(options), by: "sequence", above: checkSequence(position) };
}

/** A position as it was given. */
export function checkPosition(position: unknown): asserts position is FilePosition {
  if (position === "beginning" || position === "end" || typeof position === "bigint") return;
  throw new StreamerError(
    "INVALID_OPTION",
    `Cannot use a position as it must be "beginning" or "end" or a bigint: current value is ${shown(position)}`,
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
