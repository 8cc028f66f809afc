// Tests that files equal those of the original, byte for byte: its files are read, and written again.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { assert, assertEquals } from "@std/assert";
import { FileDecoder, STEP } from "../../../streamer/file/format/decoder.ts";
import type { Beacon } from "../../../streamer/file/format/layout.ts";
import { test } from "../../support/runner.ts";
import { MemoryDisk } from "../../support/file/disk.ts";
import { create, diskOf, drain, golden, hex, open, PATH, T } from "../../support/file/filing.ts";

interface GoldenMessage {
  readonly key: string;
  readonly shard: string;
  readonly seq: string;
  readonly ts_ms: number;
  readonly payload_hex: string;
}

interface Golden {
  readonly file: string;
  readonly header: { readonly file_name: string; readonly created_at_ms: number; readonly beacon_interval: number };
  readonly size: number;
  readonly sha256: string;
  readonly messages: readonly GoldenMessage[] | { readonly count: number };
  readonly beacons: readonly {
    readonly offset: number;
    readonly size: number;
    readonly remaining: number;
    readonly items: readonly {
      readonly key: string;
      readonly shard: string;
      readonly seq: string;
      readonly ts: number;
      readonly crc: number;
    }[];
  }[];
}

const manifest: readonly Golden[] = JSON.parse(
  await readFile(new URL("../../fixtures/golden/manifest.json", import.meta.url), "utf8"),
);

/** All beacons of a file in memory. */
function beaconsOf(bytes: Uint8Array, interval: number): Beacon[] {
  const beacons: Beacon[] = [];
  const decoder = new FileDecoder({ interval, maxPayload: 1 << 20, onBeacon: (beacon) => void beacons.push(beacon) });
  decoder.page.makeSpace(0, bytes.length);
  decoder.page.bytes.set(bytes);
  decoder.page.length = bytes.length;
  while (decoder.locate() === STEP.frame) decoder.pass();
  assertEquals(decoder.position, bytes.length);
  return beacons;
}

for (const { file, header, size, sha256, messages: expected, beacons } of manifest) {
  test(`${file} is read, and written again byte for byte`, async () => {
    const bytes = await golden(file);
    assertEquals([bytes.length, createHash("sha256").update(bytes).digest("hex")], [size, sha256]);
    await using source = await open(diskOf(bytes));
    assertEquals(
      [source.fileName, source.createdAt.getTime(), source.beaconInterval],
      [header.file_name, header.created_at_ms, header.beacon_interval],
    );
    const { messages, errors } = await drain(source);
    assertEquals(errors, []);
    const isEnded = file === "g1024-eos.ss";
    assertEquals(source.ended, isEnded);
    if ("count" in expected) assertEquals(messages.length, expected.count - (isEnded ? 1 : 0));
    else {
      assertEquals(
        messages.map(({ streamKey, shardId, sequence, timestampMs, payload }) =>
          [streamKey, `${shardId}`, sequence, timestampMs, hex(payload)].join()
        ),
        expected.map(({ key, shard, seq, ts_ms, payload_hex }) => [key, shard, seq, ts_ms, payload_hex].join()),
      );
    }

    const disk = new MemoryDisk();
    const sink = await create(disk, {
      interval: header.beacon_interval,
      fileName: header.file_name,
      createdAt: BigInt(header.created_at_ms),
      endOfStream: isEnded,
      now: 1_700_000_009_999,
    });
    for (const message of messages) await sink.write(message);
    await sink.close();
    assertEquals(hex(disk.bytes(PATH)), hex(bytes));
  });

  test(`${file} has the beacons that the original wrote`, async () => {
    const found = beaconsOf(await golden(file), header.beacon_interval);
    assertEquals(
      found.map(({ size, remaining, markers }) => ({
        size,
        remaining,
        items: markers.map(({ streamKey, shard, sequence, timestamp, running }) => ({
          key: streamKey,
          shard: `${shard}`,
          seq: `${sequence}`,
          ts: Number(timestamp),
          crc: running,
        })),
      })),
      beacons.map(({ size, remaining, items }) => ({ size, remaining, items: [...items] })),
    );
  });
}

test("the messages of markers2048.ss follow its rule", async () => {
  await using source = await open(diskOf(await golden("markers2048.ss")));
  const { messages } = await drain(source);
  assertEquals(messages.length, 80);
  for (const [i, message] of messages.entries()) {
    assertEquals([message.streamKey, message.shardId, message.sequence], [`s${i % 5}`, 0, BigInt(i)]);
    assert(message.payload.length === 90 && message.payload.every((byte) => byte === i));
  }
});

for (const file of ["g1024.ss", "g1024-eos.ss"]) {
  test(`the messages of ${file} follow its rule`, async () => {
    await using source = await open(diskOf(await golden(file)));
    const { messages } = await drain(source);
    assertEquals(
      messages.map(({ streamKey, shardId, sequence, timestampMs }) => [streamKey, shardId, sequence, timestampMs]),
      Array.from({ length: 40 }, (_, i) => [`k${i % 2}`, i % 3, BigInt(i), T + BigInt(i)]),
    );
    const twice = (i: number) => `payload-${`${i}`.padStart(2, "0")}`.repeat(2);
    assertEquals(messages.map((message) => message.text()), Array.from({ length: 40 }, (_, i) => twice(i)));
  });
}
