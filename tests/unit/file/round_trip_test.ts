// Tests that written messages are read again, with any distance of beacons, sizes, and pieces, and that a source reads
// bytes exactly as the format's description says.

import { assert, assertEquals, assertLess, assertNotStrictEquals } from "@std/assert";
import { type FileRecord, MessageSink, MessageSource } from "../../../streamer/file/mod.ts";
import { freshSeed, Random } from "../../support/resp/drive.ts";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "../../support/runner.ts";
import { MemoryDisk } from "../../support/file/disk.ts";
import {
  create,
  diskOf,
  drain,
  fileOf,
  hex,
  open,
  PATH,
  plain,
  randomRecords,
  record,
  T,
} from "../../support/file/filing.ts";
import { referenceFile } from "../../support/file/reference.ts";

const seed = freshSeed();
const INTERVALS = [128, 129, 200, 512, 600, 1024, 2048, 4096, 65_536];

test(`random messages are read again, and the bytes are those of a plain writer (seed ${seed})`, async () => {
  const random = new Random(seed);
  for (let round = 0; round < 120; round++) {
    const interval = random.of(INTERVALS);
    const records = randomRecords(random, random.below(120), 1 + random.below(12));
    const disk = new MemoryDisk();
    disk.writePiece = random.of([Infinity, 1000, 77]);
    const endOfStream = random.below(2) === 0;
    const sink = await create(disk, { interval, endOfStream });
    for (const one of records) {
      sink.write(one);
      if (random.below(10) === 0) await sink.flush();
    }
    const { bytes } = sink.stats();
    await sink.close();
    const file = disk.bytes(PATH);
    if (!endOfStream) assertEquals(file.length, bytes);
    assertEquals(hex(file), hex(referenceFile(records, { interval, endOfStream })), `interval ${interval}`);
    disk.readPiece = random.of([Infinity, 1000, 77]);
    await using source = await open(disk);
    const { messages, errors } = await drain(source);
    assertEquals(errors, []);
    assertEquals(messages.map(plain), records.map(plain));
    assertEquals(source.ended, endOfStream);
  }
});

test("messages larger than pages and chunks are read again, also over many beacons", async () => {
  for (const interval of [128, 1024, 1024 * 1024]) {
    const sizes = [0, 1, 65_535, 262_144, 262_145, 3_000_000, 5, 1_048_576, 0];
    const records = sizes.map((size, i) => record({ sequence: BigInt(i), payload: new Uint8Array(size).fill(65 + i) }));
    await using source = await open(diskOf(await fileOf(records, { interval })));
    const { messages, errors } = await drain(source);
    assertEquals(errors, []);
    assertEquals(messages.length, sizes.length);
    for (const [i, { payload }] of messages.entries()) {
      assertEquals(payload.length, sizes[i]);
      assert(payload.every((byte) => byte === 65 + i));
    }
  }
});

test("a payload that is kept does not change during further reads, and a slice of it keeps nothing else", async () => {
  const records = Array.from(
    { length: 5000 },
    (_, i) => record({ sequence: BigInt(i), payload: `payload ${i} `.repeat(20) }),
  );
  await using source = await open(diskOf(await fileOf(records)));
  const { messages } = await drain(source);
  assertEquals(messages.map((message) => message.text()), records.map(({ payload }) => payload));
  const slice = messages[7].payload.slice();
  assertNotStrictEquals(slice.buffer, messages[7].payload.buffer);
  assertLess(slice.buffer.byteLength, 1000);
});

test("the bytes of a message are copied when it is written", async () => {
  const disk = new MemoryDisk();
  const sink = await create(disk);
  const payload = new Uint8Array([1, 2, 3]);
  sink.write(record({ payload }));
  payload.fill(9);
  await sink.close();
  await using source = await open(disk);
  assertEquals((await drain(source)).messages.map((message) => [...message.payload]), [[1, 2, 3]]);
});

test("texts are written as UTF-8, whatever their length", async () => {
  const texts = ["", "é", "日本語", "🙂".repeat(40_000), "x".repeat(100_000), "\ud800"];
  const records = texts.map((payload, i) => record({ sequence: BigInt(i), payload }));
  await using source = await open(diskOf(await fileOf(records)));
  assertEquals(
    (await drain(source)).messages.map((message) => message.text()),
    texts.map((text) => text.toWellFormed()),
  );
});

test("the largest numbers are read again, and a time beyond Date is an Invalid Date", async () => {
  const max = 2n ** 64n - 1n;
  const records: FileRecord[] = [
    record({ shardId: max, sequence: max, timestamp: max }),
    record({ shardId: Number.MAX_SAFE_INTEGER, sequence: 0n, timestamp: 0n }),
    record({ shardId: 2n ** 53n, timestamp: new Date(5) }),
    record({ shardId: 7n }),
  ];
  await using source = await open(diskOf(await fileOf(records)));
  const { messages } = await drain(source);
  assertEquals(messages.map(({ shardId }) => shardId), [max, Number.MAX_SAFE_INTEGER, 2n ** 53n, 7]);
  assertEquals(messages.map(({ sequence }) => sequence), [max, 0n, 1n, 1n]);
  assertEquals(messages.map(({ timestampMs }) => timestampMs), [max, 0n, 5n, T]);
  assert(Number.isNaN(messages[0].timestamp.getTime()));
  assertEquals(messages[2].timestamp, new Date(5));
  // And once more through a copy.
  const copy = new MemoryDisk();
  const sink = await create(copy);
  for (const message of messages) sink.write(message);
  await sink.close();
  await using again = await open(copy);
  assertEquals((await drain(again)).messages.map(plain), messages.map(plain));
});

test("pulses are skipped, and other messages of the internal stream are yielded", async () => {
  const internal = "SEA_STREAMER_INTERNAL";
  const file = referenceFile([
    record({ streamKey: internal, payload: "PULSE" }),
    record({ sequence: 1n }),
    record({ streamKey: internal, payload: "EOX" }),
    record({ payload: "EOS" }),
    record({ streamKey: internal, payload: "EOS" }),
    record({ sequence: 2n }),
  ], { interval: 1024 });
  await using source = await open(diskOf(file));
  const { messages, errors } = await drain(source);
  assertEquals([messages.map((message) => message.text()), errors], [["x", "EOX", "EOS"], []]);
  assert(source.ended);
});

test("several loops share the messages, and the next loop continues where one ends", async () => {
  const records = Array.from({ length: 100 }, (_, i) => record({ sequence: BigInt(i) }));
  await using source = await open(diskOf(await fileOf(records, { interval: 256 })));
  const seen: bigint[] = [];
  for await (const { sequence } of source) {
    seen.push(sequence);
    if (seen.length === 10) break;
  }
  const [one, two] = [source[Symbol.asyncIterator](), source[Symbol.asyncIterator]()];
  const results = await Promise.all([one.next(), two.next(), one.next(), two.next()]);
  for (const { value } of results) seen.push(value.sequence);
  await one.return?.();
  assertEquals(await one.next(), { value: undefined, done: true });
  for await (const { sequence } of source) seen.push(sequence);
  assertEquals(seen, records.map(({ sequence }) => sequence));
});

test("real files are written, flushed, read, continued and replaced", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sea-file-"));
  try {
    const path = join(folder, "größe.ss");
    {
      await using sink = await MessageSink.create(path, { beaconInterval: 1024, endOfStream: true });
      for (let i = 0; i < 1000; i++) await sink.write(record({ sequence: BigInt(i), payload: `payload ${i}` }));
      await sink.flush({ sync: true });
      assertEquals(sink.stats().buffered, 0);
    }
    {
      await using sink = await MessageSink.append(path);
      assertEquals(sink.beaconInterval, 1024);
      await sink.write(record({ sequence: 1000n, payload: "one more" }));
    }
    await using source = await MessageSource.open(path);
    assertEquals([source.fileName, source.beaconInterval], ["gr__e.ss", 1024]);
    const { messages, errors } = await drain(source);
    assertEquals([messages.length, errors, source.ended], [1001, [], false]);
    assertEquals(messages[1000].text(), "one more");
    await source.seek(T - 1n);
    await source.rewind(998n);
    assertEquals((await drain(source)).messages.map(({ sequence }) => sequence), [999n, 1000n]);
    const replaced = await MessageSink.create(path, { overwrite: true });
    await replaced.close();
    await using empty = await MessageSource.open(path);
    assertEquals((await drain(empty)).messages, []);
  } finally {
    await rm(folder, { recursive: true });
  }
});
