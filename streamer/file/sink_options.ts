// The options for writing a file and their defaults. Checked once, at the edge.

import { unitsOf } from "../model/id.ts";
import { checkBoolean, checkNames, checkNumber, checkOneOf, invalidOption } from "../model/options.ts";
import { FRAME_BYTES, HEADER_BYTES, MAX_FILE_NAME } from "./format/layout.ts";

/**
 * Options of {@linkcode MessageSink.create} and {@linkcode MessageSink.append}.
 *
 * @category Files
 */
export interface MessageSinkOptions {
  /**
   * Bytes between beacons in a new file: a multiple of 1,024. A smaller interval makes seeking finer, and the file larger.
   * @default {1048576}
   */
  readonly beaconInterval?: number;
  /**
   * The name in the header of a new file: at most 111 printable ASCII characters.
   * @default {the last part of the path, with `_` for other characters}
   */
  readonly fileName?: string;
  /** The creation time in the header of a new file: a Date, or milliseconds since 1970. @default {now} */
  readonly createdAt?: Date | bigint;
  /**
   * The largest size of the file in bytes. A message that would exceed it is refused before any of its bytes are written.
   * @default {Infinity}
   */
  readonly maxBytes?: number;
  /** Whether `close` writes the message that marks the end of the stream. Space for it is reserved below `maxBytes`. @default {false} */
  readonly endOfStream?: boolean;
  /** The number of buffered bytes from which `write` returns a promise; at most `maxBuffered`. @default {4194304} */
  readonly highWaterMark?: number;
  /** The number of buffered bytes above which `write` throws `BUFFER_FULL`. @default {67108864} */
  readonly maxBuffered?: number;
  /** Cancels the opening. @default {undefined} */
  readonly signal?: AbortSignal;
}

/**
 * Options of {@linkcode MessageSink.create}.
 *
 * @category Files
 */
export interface CreateSinkOptions extends MessageSinkOptions {
  /** Whether an existing file is replaced; otherwise it is an error. @default {false} */
  readonly overwrite?: boolean;
}

/**
 * Options of {@linkcode MessageSink.append}.
 *
 * @category Files
 */
export interface AppendSinkOptions extends MessageSinkOptions {
  /**
   * What to do with a file that ends inside a message or a beacon, as after a crash. `"fail"` throws a `FileError` of kind `"torn"`
   * with the offset, and leaves the file unchanged. `"truncate"` removes the incomplete part and reports it as `torn`. A file with
   * corrupt bytes is never truncated. @default {"fail"}
   */
  readonly onTorn?: "fail" | "truncate";
}

/** The options with all defaults. */
export interface SinkSettings {
  readonly beaconInterval: number;
  readonly fileName: string;
  readonly createdAt: bigint;
  readonly maxBytes: number;
  readonly endOfStream: boolean;
  readonly highWaterMark: number;
  readonly maxBuffered: number;
  readonly overwrite: boolean;
  readonly onTorn: "fail" | "truncate";
  readonly signal: AbortSignal | undefined;
}

const COMMON = [
  "beaconInterval",
  "fileName",
  "createdAt",
  "maxBytes",
  "endOfStream",
  "highWaterMark",
  "maxBuffered",
  "signal",
];
const KIB = 1024;
const MAX_INTERVAL = 2 ** 32 - KIB;

/** Checks the options of a new file and fills in defaults. */
export function createSettings(path: string, options: CreateSinkOptions): SinkSettings {
  checkNames("options of a new sink", options, [...COMMON, "overwrite"]);
  return { ...settingsOf(path, options), overwrite: checkBoolean("overwrite", options.overwrite, false) };
}

/** Checks the options of appending and fills in defaults. */
export function appendSettings(path: string, options: AppendSinkOptions): SinkSettings {
  checkNames("options of an appending sink", options, [...COMMON, "onTorn"]);
  return { ...settingsOf(path, options), onTorn: checkOneOf("onTorn", options.onTorn, "fail", ["fail", "truncate"]) };
}

function settingsOf(path: string, options: MessageSinkOptions): SinkSettings {
  const { beaconInterval = KIB * KIB, fileName, createdAt } = options;
  if (!Number.isInteger(beaconInterval / KIB) || beaconInterval < KIB || beaconInterval > MAX_INTERVAL) {
    throw invalidOption("beaconInterval", beaconInterval, `a multiple of ${KIB} from ${KIB} to ${MAX_INTERVAL}`);
  }
  if (fileName !== undefined && (typeof fileName !== "string" || !PRINTABLE.test(fileName))) {
    throw invalidOption("fileName", fileName, `at most ${MAX_FILE_NAME} printable characters of ASCII`);
  }
  const maxBuffered = checkNumber("maxBuffered", options.maxBuffered, 64 * KIB * KIB, { min: 1 });
  return {
    beaconInterval,
    fileName: fileName ?? nameOf(path),
    createdAt: createdAt === undefined ? BigInt(Date.now()) : unitsOf(createdAt, "milliseconds"),
    maxBytes: checkNumber("maxBytes", options.maxBytes, Infinity, { min: HEADER_BYTES + FRAME_BYTES }),
    endOfStream: checkBoolean("endOfStream", options.endOfStream, false),
    highWaterMark: checkNumber("highWaterMark", options.highWaterMark, Math.min(4 * KIB * KIB, maxBuffered), {
      min: 1,
      max: maxBuffered,
    }),
    maxBuffered,
    overwrite: false,
    onTorn: "fail",
    signal: options.signal,
  };
}

const PRINTABLE = /^[\x20-\x7e]{0,111}$/;

/** The last part of a path as a name for the header. It is ASCII, since the Rust library counts its characters as bytes. */
function nameOf(path: string): string {
  const last = path.split(/[\\/]/).pop() ?? "";
  return last.replace(/[^\x20-\x7e]/gu, "_").slice(0, MAX_FILE_NAME);
}
