/**
 * SeaStreamer files (`.ss`): messages of any number of streams in one file, with beacons at regular distances.
 *
 * Beacons are checkpoints: a reader finds a time or a sequence without reading the whole file. {@linkcode MessageSink} writes a
 * file, and {@linkcode MessageSource} reads one. Both exchange files with SeaStreamer's Rust library.
 *
 * @example Copy the recent part of a file
 * ```ts
 * import { MessageSink, MessageSource } from "@sea/streamer-redis/file";
 *
 * const orders = await MessageSink.create("orders.ss");
 * for (const [sequence, day] of ["2025-12-31", "2026-01-02"].entries()) {
 *   await orders.write({
 *     streamKey: "orders",
 *     shardId: 0,
 *     sequence: BigInt(sequence),
 *     timestamp: new Date(day),
 *     payload: `order of ${day}`,
 *   });
 * }
 * await orders.close();
 *
 * await using source = await MessageSource.open("orders.ss");
 * await using sink = await MessageSink.create("recent.ss");
 * await source.seek(new Date("2026-01-01"));
 * for await (const message of source) await sink.write(message);
 * ```
 *
 * @module
 */

export { MessageSink, type MessageSinkStats } from "./sink.ts";
export type { TornEnd } from "./sink_opening.ts";
export type { AppendSinkOptions, CreateSinkOptions, MessageSinkOptions } from "./sink_options.ts";
export { MessageSource, type MessageSourceStats } from "./source.ts";
export type { FilePosition, FileSeekOptions, MessageSourceOptions } from "./source_options.ts";
export type { FileMessage, FileMessageJson, FileRecord } from "./message.ts";
export type { PayloadJson } from "../model/printing.ts";
export { FileError, type FileErrorKind, type FileErrorOptions } from "./error.ts";
export {
  type ClientErrorCode,
  type FailedOutcome,
  StreamerError,
  type StreamerErrorOptions,
} from "../../resp/errors.ts";
