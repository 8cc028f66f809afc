// A plain writer of the file format, written from its description and as simple as possible, as a reference. Must not
// use the code under test.

import type { FileRecord } from "../../../streamer/file/mod.ts";

/** How a file is to be written. */
export interface ReferenceOptions {
  readonly interval: number;
  readonly endOfStream?: boolean;
}

const utf8 = new TextEncoder();

/** All bytes of a file with these messages; header and end as the other tests have them. */
export function referenceFile(records: readonly FileRecord[], { interval, endOfStream }: ReferenceOptions): Uint8Array {
  const name = "a.ss";
  const file: number[] = [0x53, 0x73, 1, ...short(name), ...number(1_700_000_000_000n, 8), ...number(interval, 4)];
  while (file.length < 127) file.push(0);
  file.push(13);
  const states = new Map<string, { key: string; shard: bigint; sequence: bigint; time: bigint; running: number }>();
  let markers = 0;
  const beacon = (remaining: number) => {
    const sorted = [...states.values()].sort((a, b) =>
      a.key < b.key ? -1 : a.key > b.key ? 1 : a.shard < b.shard ? -1 : 1
    );
    const most = Math.floor(Math.min(255, Math.floor((interval - 7) / 282)) / 2);
    const count = Math.min(sorted.length, most);
    file.push(13, ...number(remaining, 4), count);
    for (let i = 0; i < count; i++) {
      const { key, shard, sequence, time, running } = sorted[(markers + i) % sorted.length];
      file.push(...short(key), ...number(shard, 8), ...number(sequence, 8), ...number(time, 8), ...number(running, 2));
    }
    file.push(13);
    markers += count;
  };
  if (interval === 128) beacon(0);
  const end = {
    streamKey: "SEA_STREAMER_INTERNAL",
    shardId: 0,
    sequence: 0n,
    timestamp: 1_700_000_000_000n,
    payload: "EOS",
  };
  for (const record of endOfStream ? [...records, end] : records) {
    const payload = typeof record.payload === "string" ? utf8.encode(record.payload) : record.payload;
    const { streamKey: key, shardId, sequence } = record;
    const time = typeof record.timestamp === "bigint" ? record.timestamp : BigInt(record.timestamp.getTime());
    const crc = plainCrc([...payload], 0xffff);
    const id = `${key} ${shardId}`;
    const state = states.get(id);
    const running = plainCrc(number(crc, 2), state?.running ?? 0xffff);
    states.set(id, {
      key,
      shard: BigInt(shardId),
      sequence: state !== undefined && state.sequence > sequence ? state.sequence : sequence,
      time: state !== undefined && state.time > time ? state.time : time,
      running,
    });
    const bytes = [...short(key), ...number(shardId, 8), ...number(sequence, 8), ...number(time, 8)];
    bytes.push(...number(payload.length, 4));
    for (const byte of payload) bytes.push(byte);
    bytes.push(...number(crc, 2), 13);
    for (const [i, byte] of bytes.entries()) {
      file.push(byte);
      if (file.length % interval === 0) beacon(bytes.length - 1 - i);
    }
  }
  return Uint8Array.from(file);
}

function short(text: string): number[] {
  return [text.length, ...utf8.encode(text)];
}

function number(value: number | bigint, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, i) => Number(BigInt(value) >> BigInt(8 * (bytes - 1 - i)) & 0xffn));
}

function plainCrc(bytes: readonly number[], start: number): number {
  let crc = start;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = ((crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0xc867) & 0xffff;
  }
  return crc;
}
