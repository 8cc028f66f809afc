// Shared by the tests of files: sinks and sources on a disk in memory, random messages, golden files.

import { readFile } from "node:fs/promises";
import { FileDecoder, STEP } from "../../../streamer/file/format/decoder.ts";
import { FileError, type FileMessage, type FileRecord } from "../../../streamer/file/mod.ts";
import { appendSink, createSink } from "../../../streamer/file/sink.ts";
import type { MessageSink } from "../../../streamer/file/sink.ts";
import {
  appendSettings,
  type AppendSinkOptions,
  createSettings,
  type CreateSinkOptions,
} from "../../../streamer/file/sink_options.ts";
import { type MessageSource, openSource } from "../../../streamer/file/source.ts";
import type { MessageSourceOptions } from "../../../streamer/file/source_options.ts";
import type { Random } from "../resp/drive.ts";
import { MemoryDisk } from "./disk.ts";

export const PATH = "a.ss";
export const T = 1_700_000_000_000n;

/** Options of tests: any interval, and a time for the end of the stream. */
export interface AnyInterval {
  readonly interval?: number;
  readonly now?: number;
}

/** A sink on this disk; its interval may be one that the format allows and the public options do not. */
export function create(disk: MemoryDisk, options: CreateSinkOptions & AnyInterval = {}): Promise<MessageSink> {
  const { interval, now = Number(T), ...rest } = options;
  const settings = createSettings(PATH, { createdAt: T, ...rest });
  const ports = { open: disk.open, now: () => now };
  return createSink(ports, PATH, interval === undefined ? settings : { ...settings, beaconInterval: interval });
}

export function append(disk: MemoryDisk, options: AppendSinkOptions & AnyInterval = {}): Promise<MessageSink> {
  const { interval, now = Number(T), ...rest } = options;
  const settings = appendSettings(PATH, { createdAt: T, ...rest });
  const ports = { open: disk.open, now: () => now };
  return appendSink(ports, PATH, interval === undefined ? settings : { ...settings, beaconInterval: interval });
}

export function open(disk: MemoryDisk, options: MessageSourceOptions = {}): Promise<MessageSource> {
  return openSource(disk.open, PATH, options);
}

/** A disk with this file on it. */
export function diskOf(bytes: Uint8Array): MemoryDisk {
  const disk = new MemoryDisk();
  disk.files.set(PATH, bytes);
  return disk;
}

/** The bytes of a file with these messages. */
export async function fileOf(
  records: Iterable<FileRecord>,
  options: CreateSinkOptions & AnyInterval = {},
): Promise<Uint8Array> {
  const disk = new MemoryDisk();
  const sink = await create(disk, options);
  for (const record of records) await sink.write(record);
  await sink.close();
  return disk.bytes(PATH);
}

export function record(fields: Partial<FileRecord> = {}): FileRecord {
  return { streamKey: "a", shardId: 0, sequence: 1n, timestamp: T, payload: "x", ...fields };
}

/** A message in a form that can be compared: payloads are texts of their bytes. */
export function plain(message: FileRecord | FileMessage): string {
  const { streamKey, shardId, sequence, timestamp, timestampMs = timestamp, payload } = message;
  const bytes = typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
  return `${streamKey}/${shardId} ${sequence} ${Number(timestampMs)} ${bytes.length}:${hex(bytes)}`;
}

export function hex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

/**
 * All remaining messages of a source. At a corrupt place the result holds the error, and reading continues after it.
 */
export async function drain(source: MessageSource): Promise<{ messages: FileMessage[]; errors: FileError[] }> {
  const messages: FileMessage[] = [];
  const errors: FileError[] = [];
  for (;;) {
    try {
      for await (const message of source) messages.push(message);
      return { messages, errors };
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      errors.push(error);
    }
  }
}

/** Messages of some shards, whose sequences and times ascend in each; payloads mostly short. */
export function randomRecords(random: Random, count: number, shards: number): FileRecord[] {
  const sequences = new Map<string, bigint>();
  let time = T;
  return Array.from({ length: count }, () => {
    const streamKey = `s${random.below(shards)}`;
    const shardId = random.below(3);
    const name = `${streamKey}:${shardId}`;
    const sequence = (sequences.get(name) ?? 0n) + BigInt(1 + random.below(3));
    sequences.set(name, sequence);
    time += BigInt(random.below(3));
    const size = random.below(20) === 0 ? random.below(5000) : random.below(120);
    const payload = new Uint8Array(size);
    for (let i = 0; i < size; i++) payload[i] = random.below(256);
    return { streamKey, shardId, sequence, timestamp: time, payload };
  });
}

/** A golden file: bytes that the original's writer has made. */
export async function golden(name: string): Promise<Uint8Array> {
  return new Uint8Array(await readFile(new URL(`../../fixtures/golden/${name}`, import.meta.url)));
}

/** Where the messages of a whole file begin, and where each ends, before a beacon that may come then. */
export function framesOf(bytes: Uint8Array, interval: number): { readonly offset: number; readonly end: number }[] {
  const decoder = new FileDecoder({ interval, maxPayload: bytes.length });
  decoder.page.makeSpace(0, bytes.length);
  decoder.page.bytes.set(bytes);
  decoder.page.length = bytes.length;
  const frames: { readonly offset: number; readonly end: number }[] = [];
  for (; decoder.locate() === STEP.frame; decoder.pass()) {
    frames.push({ offset: decoder.position, end: decoder.frame.end });
  }
  return frames;
}
