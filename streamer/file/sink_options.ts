// The options of writing a file: their defaults, checked once, at the edge. It must not know how they are carried out.

import { unitsOf } from "../model/id.ts";
import { checkBoolean, checkNames, checkNumber, checkOneOf, invalidOption } from "../model/options.ts";
import { FRAME_BYTES, HEADER_BYTES, MAX_FILE_NAME } from "./layout.ts";

/** What {@linkcode MessageSink.create} and {@linkcode MessageSink.append} have in common. */
export interface MessageSinkOptions {
  /**
   * Bytes between beacons, of a file that is new: a multiple of 1,024. The smaller, the finer is seeking and the larger the
   * file. @default {1048576}
   */
  readonly beaconInterval?: number;
  /** The name in the header of a file that is new: at most 111 characters of ASCII. @default {the path's last part, with `_` for what is not ASCII} */
  readonly fileName?: string;
  /** When the file was made, in the header of a file that is new: a Date, or milliseconds since 1970. @default {now} */
  readonly createdAt?: Date | bigint;
  /** What the file may have at most, in bytes; a message that would go past it is refused before anything of it is written. @default {Infinity} */
  readonly maxBytes?: number;
  /** Whether closing writes the message that ends the stream; room for it is kept below `maxBytes`. @default {false} */
  readonly endOfStream?: boolean;
  /** Bytes accepted and not yet written from which on `write` gives a promise; at most `maxBuffered`. @default {4194304} */
  readonly highWaterMark?: number;
  /** Bytes accepted and not yet written past which `write` throws `BUFFER_FULL`. @default {67108864} */
  readonly maxBuffered?: number;
  /** Abandons the opening. */
  readonly signal?: AbortSignal;
}

/** Options of {@linkcode MessageSink.create}. */
export interface CreateSinkOptions extends MessageSinkOptions {
  /** Whether a file that is there already is replaced; else it is an error. @default {false} */
  readonly overwrite?: boolean;
}

/** Options of {@linkcode MessageSink.append}. */
export interface AppendSinkOptions extends MessageSinkOptions {
  /**
   * What is done about a file that ends inside of a message or beacon, as after a crash: `"fail"` throws a `FileError` of kind
   * `"torn"` that tells where, and leaves the file as it is; `"truncate"` cuts the piece off, and tells by `torn` where
   * it was. A file with corrupt bytes is never cut. @default {"fail"}
   */
  readonly onTorn?: "fail" | "truncate";
}

/** The same with every default filled in. */
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

/** The last part of a path as it can stand in a header: readers of the original count a name's characters as bytes. */
function nameOf(path: string): string {
  const last = path.split(/[\\/]/).pop() ?? "";
  return last.replace(/[^\x20-\x7e]/gu, "_").slice(0, MAX_FILE_NAME);
}
