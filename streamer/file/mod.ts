/**
 * SeaStreamer files (`.ss`): messages of any number of streams, one behind the other, with beacons by which a time or a
 * sequence is found without reading everything. Files of the original library can be read, and it can read these.
 *
 * @example Copy a file from a time on
 * ```ts no-eval
 * import { MessageSink, MessageSource } from "@sea/streamer-redis/file";
 *
 * await using source = await MessageSource.open("orders.ss");
 * await using sink = await MessageSink.create("recent.ss");
 * await source.seek(new Date("2026-01-01"));
 * for await (const message of source) await sink.write(message);
 * ```
 *
 * @module
 */

export { MessageSink, type MessageSinkStats, type TornEnd } from "./sink.ts";
export type { AppendSinkOptions, CreateSinkOptions, MessageSinkOptions } from "./sink_options.ts";
export { MessageSource, type MessageSourceStats } from "./source.ts";
export type { FilePosition, FileSeekOptions, MessageSourceOptions } from "./source_options.ts";
export type { FileMessage, FileRecord } from "./message.ts";
export { FileError, type FileErrorKind, type FileErrorOptions } from "./error.ts";
export {
  type ClientErrorCode,
  type FailedOutcome,
  StreamerError,
  type StreamerErrorOptions,
} from "../../resp/errors.ts";
