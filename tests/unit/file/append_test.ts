// Tests that a file is continued after its last complete message, whatever its end looks like, and that other files
// stay unchanged.

import { assert, assertEquals, assertLessOrEqual, assertRejects } from "@std/assert";
import { FileError } from "../../../streamer/file/mod.ts";
import { freshSeed, Random } from "../../support/resp/drive.ts";
import { test } from "../../support/runner.ts";
import { MemoryDisk } from "../../support/file/disk.ts";
import {
  append,
  create,
  diskOf,
  drain,
  fileOf,
  framesOf,
  golden,
  hex,
  open,
  PATH,
  plain,
  randomRecords,
  record,
} from "../../support/file/filing.ts";

const seed = freshSeed();
const more = record({ streamKey: "more", sequence: 1_000_000n, payload: "appended" });

test("a missing or empty file is created", async () => {
  for (const disk of [new MemoryDisk(), diskOf(new Uint8Array(0))]) {
    const sink = await append(disk, { beaconInterval: 2048, fileName: "b.ss" });
    assertEquals([sink.beaconInterval, sink.fileName, sink.torn], [2048, "b.ss", undefined]);
    sink.write(more);
    await sink.close();
    assertEquals(hex(disk.bytes(PATH)), hex(await fileOf([more], { beaconInterval: 2048, fileName: "b.ss" })));
  }
});

for (const interval of [128, 300, 1024]) {
  for (const endOfStream of [false, true]) {
    const name = `${endOfStream ? "with" : "without"} an end of stream, interval ${interval}`;
    test(`a file that was cut at any byte is continued if its torn end may be cut off (${name})`, async () => {
      const records = randomRecords(new Random(7), 20, 2).map((one) => ({
        ...one,
        payload: one.payload.slice(0, 200),
      }));
      const file = await fileOf(records, { interval, endOfStream });
      const frames = framesOf(file, interval).slice(0, records.length);
      for (let cut = 1; cut <= file.length; cut++) {
        const bytes = file.slice(0, cut);
        const whole = frames.filter(({ end }) => end <= cut).length;
        const end = whole === 0 ? 128 : frames[whole - 1].end;
        const strict = diskOf(bytes.slice());
        let tornAt: number | undefined;
        try {
          const sink = await append(strict);
          await sink.close();
        } catch (error) {
          assert(error instanceof FileError, String(error));
          assertEquals([error.kind, error.code], ["torn", "PROTOCOL"]);
          assertEquals(hex(strict.bytes(PATH)), hex(bytes)); // unchanged
          tornAt = error.offset;
        }
        assertEquals(strict.closed, strict.opened);

        const disk = diskOf(bytes.slice());
        disk.readPiece = cut % 3 === 0 ? 50 : Infinity;
        const sink = await append(disk, { onTorn: "truncate" });
        assertEquals(sink.torn, tornAt === undefined ? undefined : { offset: tornAt, bytes: cut - tornAt }, `${cut}`);
        sink.write(more);
        await sink.close();
        if (tornAt !== undefined && tornAt > 0) {
          assert(tornAt >= end && tornAt < cut, `cut at ${cut}, torn at ${tornAt}`);
        }
        await using source = await open(disk);
        const { messages, errors } = await drain(source);
        assertEquals(errors, [], `cut at ${cut}`);
        assertEquals(messages.map(plain), [...records.slice(0, whole), more].map(plain), `cut at ${cut}`);
      }
    }, { timeout: 60_000 });
  }
}

test("an end of stream is removed, and nothing of it remains after a shorter message", async () => {
  for (const interval of [128, 1024]) {
    const disk = diskOf(await fileOf([record()], { interval, endOfStream: true }));
    for (let i = 0n; i < 30n; i++) {
      const sink = await append(disk, { endOfStream: true });
      sink.write(record({ streamKey: "a", sequence: 2n + i, payload: "" }));
      await sink.close();
    }
    await using source = await open(disk);
    const { messages, errors } = await drain(source);
    assertEquals([messages.length, errors, source.ended], [31, [], true]);
  }
});

test(`a file written in many sessions equals one of a single session, beacons included (seed ${seed})`, async () => {
  const random = new Random(seed);
  for (let round = 0; round < 30; round++) {
    const interval = random.of([128, 1024, 2048, 4096]);
    const records = randomRecords(random, 150, 1 + random.below(3));
    const disk = new MemoryDisk();
    await (await create(disk, { interval })).close();
    for (let from = 0; from < records.length;) {
      const to = from + 1 + random.below(40);
      const sink = await append(disk, { endOfStream: random.below(2) === 0 });
      for (const one of records.slice(from, to)) sink.write(one);
      await sink.close();
      from = to;
    }
    await using source = await open(disk);
    const { messages, errors } = await drain(source);
    assertEquals([messages.map(plain), errors], [records.map(plain), []]);
    for (let i = 0; i < 20; i++) {
      const time = random.of(records).timestamp;
      assert(typeof time === "bigint");
      await source.seek(time);
      const first = records.findIndex(({ timestamp }) => Number(timestamp) > Number(time));
      const expected = first < 0 ? [] : records.slice(first);
      assertEquals(
        (await drain(source)).messages.map(plain),
        expected.map(plain),
        `interval ${interval}, seek ${time}`,
      );
    }
  }
});

test("running checksums of beacons are continued", async () => {
  const records = randomRecords(new Random(3), 60, 1).map((one) => ({ ...one, shardId: 0 }));
  const whole = await fileOf(records, { interval: 2048 });
  const disk = new MemoryDisk();
  await (await create(disk, { interval: 2048 })).close();
  for (const one of records) {
    const sink = await append(disk);
    sink.write(one);
    await sink.close();
  }
  assertEquals(hex(disk.bytes(PATH)), hex(whole));
});

test("a file of another format, or corrupt after its last beacon, stays unchanged", async () => {
  const file = await golden("g1024.ss");
  const frames = framesOf(file, 1024);
  const broken = file.slice();
  broken[frames[frames.length - 2].offset] = 0;
  const behind = new Uint8Array([...await golden("g1024-eos.ss"), 1]);
  const text = new TextEncoder().encode("Some text that somebody has written. ".repeat(10));
  for (const bytes of [broken, behind, text, text.slice(0, 50)]) {
    for (const onTorn of ["fail", "truncate"] as const) {
      const disk = diskOf(bytes.slice());
      const error = await assertRejects(() => append(disk, { onTorn }), FileError);
      assertEquals([error.kind, error.code], ["corrupt", "PROTOCOL"]);
      assertEquals(hex(disk.bytes(PATH)), hex(bytes));
      assertEquals(disk.closed, 1);
    }
  }
});

test("a payload with a wrong checksum is not a torn end", async () => {
  const file = await golden("g1024.ss");
  file[file.length - 4] ^= 1;
  const disk = diskOf(file);
  const sink = await append(disk);
  sink.write(more);
  await sink.close();
  await using source = await open(disk);
  const { messages, errors } = await drain(source);
  assertEquals([messages.length, errors.length], [40, 1]);
});

test("appending reads the bytes after the last beacon, and not the rest", async () => {
  const records = Array.from({ length: 20_000 }, (_, i) => record({ sequence: BigInt(i), payload: "x".repeat(100) }));
  const disk = diskOf(await fileOf(records, { beaconInterval: 16_384 }));
  const sink = await append(disk);
  assertLessOrEqual(disk.reads, 5); // header, beacon, the bytes after it, the end
  await sink.close();
});
