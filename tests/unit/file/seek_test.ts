// Tests that a seek finds the message that a scan would find, with a number of reads that is logarithmic in the
// beacons.

import { assert, assertEquals, assertLessOrEqual, assertRejects } from "@std/assert";
import {
  FileError,
  type FileRecord,
  type FileSeekOptions,
  type MessageSource,
  StreamerError,
} from "../../../streamer/file/mod.ts";
import { freshSeed, Random } from "../../support/resp/drive.ts";
import { test } from "../../support/runner.ts";
import type { MemoryDisk } from "../../support/file/disk.ts";
import {
  diskOf,
  drain,
  fileOf,
  framesOf,
  open,
  PATH,
  plain,
  randomRecords,
  record,
  T,
} from "../../support/file/filing.ts";

const seed = freshSeed();

function isOf(one: FileRecord, { streamKey, shardId }: FileSeekOptions): boolean {
  return (streamKey === undefined || one.streamKey === streamKey) && (shardId === undefined || one.shardId === shardId);
}

/** The result of a scan of every message. */
function behind(records: readonly FileRecord[], is: (one: FileRecord) => boolean): string[] {
  const first = records.findIndex(is);
  return first < 0 ? [] : records.slice(first).map(plain);
}

test(`a seek finds the message that a scan would find (seed ${seed})`, async () => {
  const random = new Random(seed);
  for (let round = 0; round < 60; round++) {
    const interval = random.of([128, 512, 600, 1024, 2048, 4096, 16_384]);
    const records = randomRecords(random, 1 + random.below(400), 1 + random.below(8));
    const disk = diskOf(await fileOf(records, { interval, endOfStream: random.below(2) === 0 }));
    disk.readPiece = random.of([Infinity, 500]);
    await using source = await open(disk);
    for (let i = 0; i < 30; i++) {
      const { streamKey, shardId, sequence, timestamp } = random.of(records);
      const options = random.of<FileSeekOptions>([{ streamKey, shardId }, { streamKey, shardId }, { streamKey }, {}]);
      assert(typeof timestamp === "bigint");
      const where = `interval ${interval}, ${JSON.stringify(options)}`;
      if (random.below(2) === 0) {
        const time = timestamp + BigInt(random.below(3) - 1);
        await source.seek(time, options);
        const expected = behind(records, (one) => isOf(one, options) && Number(one.timestamp) > Number(time));
        assertEquals((await drain(source)).messages.map(plain), expected, `${where}, time ${time}`);
      } else {
        const position = sequence + BigInt(random.below(3)) - (sequence > 0n ? 1n : 0n);
        await source.rewind(position, options);
        const expected = behind(records, (one) => isOf(one, options) && one.sequence > position);
        assertEquals((await drain(source)).messages.map(plain), expected, `${where}, sequence ${position}`);
      }
    }
  }
}, { timeout: 60_000 });

test("a seek takes a logarithm of the beacons in reads, for one shard and for all", async () => {
  const count = 60_000;
  const records = Array.from({ length: count }, (_, i) =>
    record({
      streamKey: `s${i % 3}`,
      sequence: BigInt(i),
      timestamp: T + BigInt(i),
      payload: "x".repeat(100),
    }));
  const file = await fileOf(records, { beaconInterval: 4096 });
  const beacons = Math.floor(file.length / 4096);
  const most = Math.ceil(Math.log2(beacons)) + 3; // and the bytes after the found beacon
  assertEquals([beacons > 1900, most], [true, 14]);
  for (const options of [{}, { streamKey: "s1" }, { streamKey: "s1", shardId: 0 }]) {
    for (const [i, wanted] of [1, 20_000, 33_333, 59_000].entries()) {
      const disk = diskOf(file);
      await using source = await open(disk);
      const before = source.stats().reads;
      if (i % 2 === 0) await source.seek(T + BigInt(wanted), options);
      else await source.rewind(BigInt(wanted), options);
      assertLessOrEqual(source.stats().reads - before, most, JSON.stringify(options));
      assertEquals(source.stats().reads, disk.reads);
      const { value } = await source[Symbol.asyncIterator]().next();
      const first = records.findIndex((one) => one.sequence > BigInt(wanted) && isOf(one, options));
      assertEquals(plain(value), plain(records[first]));
    }
  }
});

test("one shard of very many is found in few reads, too", async () => {
  // 90 shards, of which a beacon of 4 KiB holds 7.
  const records = Array.from(
    { length: 30_000 },
    (_, i) =>
      record({ streamKey: `s${i % 90}`, sequence: BigInt(i), timestamp: T + BigInt(i), payload: "x".repeat(100) }),
  );
  const file = await fileOf(records, { beaconInterval: 4096 });
  await using source = await open(diskOf(file));
  await source.rewind(20_000n, { streamKey: "s44", shardId: 0 });
  assertLessOrEqual(source.stats().reads, 10 * 15);
  const { value } = await source[Symbol.asyncIterator]().next();
  assertEquals(value.sequence, BigInt(records.findIndex((one, i) => i > 20_000 && one.streamKey === "s44")));
  // All of them: a beacon cannot have all, so that everything is read, and found.
  await source.rewind(20_000n);
  assertEquals((await source[Symbol.asyncIterator]().next()).value.sequence, 20_001n);
});

test("the end and the beginning are found, whatever they are", async () => {
  for (const interval of [128, 1024, 65_536]) {
    for (const sizes of [[], [1], [500, 20, 3000], [10, 5, 100_000], [0, 0, 400_000, 1]]) {
      for (const endOfStream of [false, true]) {
        const records = sizes.map((size, i) => record({ sequence: BigInt(i), payload: "x".repeat(size) }));
        const file = await fileOf(records, { interval, endOfStream });
        await using source = await open(diskOf(file));
        await source.rewind("end");
        assertEquals(await drain(source), { messages: [], errors: [] });
        assertEquals(source.ended, endOfStream);
        await source.rewind("beginning");
        assertEquals(source.ended, false);
        assertEquals((await drain(source)).messages.length, records.length);
        // Torn inside of the last message: the end is after the last complete one.
        if (records.length === 0) continue;
        const last = framesOf(file, interval)[records.length - 1];
        await using torn = await open(diskOf(file.slice(0, last.end - 1)));
        await torn.rewind("end");
        const { messages, errors } = await drain(torn);
        assertEquals([messages, errors.map(({ kind, offset }) => ({ kind, offset }))], [[], [
          { kind: "torn", offset: last.offset },
        ]]);
      }
    }
  }
});

test("a seek past all messages is at the end of the file", async () => {
  await using source = await open(diskOf(await fileOf([record(), record({ sequence: 2n })])));
  await source.seek(T);
  assertEquals((await drain(source)).messages, []);
  await source.rewind(1n, { streamKey: "other" });
  assertEquals((await drain(source)).messages, []);
  await source.seek(new Date(Number(T) - 1));
  assertEquals((await drain(source)).messages.length, 2);
});

test("a seek over corrupt bytes rejects, and changes nothing; or skips them", async () => {
  const records = Array.from(
    { length: 100 },
    (_, i) => record({ sequence: BigInt(i), timestamp: T + BigInt(i), payload: "x".repeat(30) }),
  );
  const file = await fileOf(records, { beaconInterval: 65_536 });
  const frames = framesOf(file, 65_536);
  file[frames[50].offset] = 0;
  await using strict = await open(diskOf(file));
  const { value } = await strict[Symbol.asyncIterator]().next();
  assertEquals(value.sequence, 0n);
  const error = await assertRejects(() => strict.seek(T + 70n), FileError);
  assertEquals(error.offset, frames[50].offset);
  assertEquals((await strict[Symbol.asyncIterator]().next()).value.sequence, 1n);
  await strict.seek(T + 30n);
  assertEquals((await strict[Symbol.asyncIterator]().next()).value.sequence, 31n);
  await using lenient = await open(diskOf(file), { onCorrupt: "skip" });
  await lenient.seek(T + 70n);
  assertEquals((await drain(lenient)).messages, []); // no beacon after it
});

test("invalid positions and options are refused", async () => {
  await using source = await open(diskOf(await fileOf([record()])));
  const bad: (() => Promise<void>)[] = [
    () => source.seek(-1n),
    () => source.seek(new Date(NaN)),
    () => source.rewind(-1n),
    () => source.rewind(2n ** 64n),
    () => source.rewind("middle" as "end"), // as: a value that the types forbid
    () => source.seek(T, { shardId: 1 }),
    () => source.seek(T, { streamKey: "a", shardId: -1 }),
    () => source.seek(T, { shard: 1 } as FileSeekOptions), // as: a value that the types forbid
  ];
  for (const call of bad) assertEquals((await assertRejects(call, StreamerError)).code, "INVALID_OPTION");
  const error = await assertRejects(() => source.seek(T, { streamKey: "a:b" }), StreamerError);
  assertEquals(error.code, "INVALID_STREAM_KEY");
  assertEquals((await drain(source)).messages.length, 1);
});

/** A source at the beginning of a file in which everything must be read to find its last message. */
async function slowToSeek(
  signal?: AbortSignal,
): Promise<{ readonly disk: MemoryDisk; readonly source: MessageSource }> {
  const records = Array.from({ length: 5_000 }, (_, i) => record({ sequence: BigInt(i), payload: "p".repeat(200) }));
  const disk = diskOf(await fileOf(records, { interval: 512 })); // without markers
  disk.readPiece = 10_000;
  return { disk, source: await open(disk, signal === undefined ? {} : { signal }) };
}

for (const whose of ["its own", "the source's"]) {
  test(`a seek in progress ends with the reason of ${whose} signal, stops reading and changes nothing`, async () => {
    const stop = new AbortController();
    const { disk, source } = await slowToSeek(whose === "its own" ? undefined : stop.signal);
    await using _ = source;
    const before = disk.reads;
    disk.onRead = () => {
      if (disk.reads === before + 3) stop.abort("stop");
    };
    const seeking = source.rewind(4_998n, whose === "its own" ? { signal: stop.signal } : {});
    assertEquals(await seeking.then(() => "resolved", (reason: unknown) => reason), "stop");
    if (whose === "its own") assertEquals((await drain(source)).messages[0].sequence, 0n);
    else await source.close(); // which waits for the reader
    const whole = Math.ceil(disk.bytes(PATH).length / disk.readPiece);
    assertLessOrEqual(disk.reads, before + 40 + (whose === "its own" ? whole : 0));
  });
}

test("closing rejects a seek in progress", async () => {
  const { disk, source } = await slowToSeek();
  const { promise: reached, resolve } = Promise.withResolvers<void>();
  const before = disk.reads;
  disk.onRead = () => {
    if (disk.reads === before + 3) resolve();
  };
  const seeking = assertRejects(() => source.rewind(4_998n), StreamerError);
  await reached;
  await source.close();
  assertEquals([(await seeking).code, disk.closed], ["CONSUMER_ENDED", 1]);
});
