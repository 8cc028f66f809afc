// Tests following a file while it is written, in any pieces, and the ways in which the wait ends.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { FileError, type FileMessage, type MessageSource, StreamerError } from "../../../streamer/file/mod.ts";
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
  open,
  PATH,
  plain,
  randomRecords,
  record,
  T,
} from "../../support/file/filing.ts";

const seed = freshSeed();
const follow = { follow: true, pollInterval: 1 } as const;

/** Lets the file grow to this length; resolves when the source has read its content, or has ended. */
async function grow(disk: MemoryDisk, file: Uint8Array, length: number, source: MessageSource): Promise<void> {
  const { reads } = disk;
  disk.files.set(PATH, file.slice(0, length));
  while (disk.reads < reads + 2 && !source.ended) await new Promise((resolve) => setTimeout(resolve, 1));
}

test(`a file that grows in any pieces yields every message once (seed ${seed})`, async () => {
  const random = new Random(seed);
  for (let round = 0; round < 5; round++) {
    const interval = random.of([128, 300, 1024]);
    const records = randomRecords(random, 30, 3);
    const file = await fileOf(records, { interval, endOfStream: true });
    const disk = diskOf(file.slice(0, 128));
    await using source = await open(disk, follow);
    const reading = drain(source);
    for (let length = 128; length < file.length;) {
      length = Math.min(file.length - 1, length + 1 + random.below(600));
      await grow(disk, file, length, source);
      if (length === file.length - 1) break;
    }
    disk.files.set(PATH, file);
    const { messages, errors } = await reading;
    assertEquals([messages.map(plain), errors, source.ended], [records.map(plain), [], true]);
  }
}, { timeout: 60_000 });

test("a large message that grows slowly is awaited without being read again and again", async () => {
  const file = await fileOf([record({ payload: new Uint8Array(2_000_000) }), record()], { endOfStream: true });
  const disk = diskOf(file.slice(0, 128));
  await using source = await open(disk, follow);
  const reading = drain(source);
  for (const length of [129, 200, 300_000, 1_500_000]) {
    disk.files.set(PATH, file.slice(0, length));
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  disk.files.set(PATH, file);
  assertEquals((await reading).messages.map(({ payload }) => payload.length), [2_000_000, 1]);
  assert(source.stats().bytesRead < 100 * 300_000);
});

test("a writer and a follower of one file: every message is yielded, also after a torn end is cut off", async () => {
  const disk = new MemoryDisk();
  const first = await create(disk, { beaconInterval: 1024 });
  await using source = await open(disk, follow);
  const got: FileMessage[] = [];
  const reading = (async () => {
    for await (const message of source) got.push(message);
  })();
  for (let i = 0; i < 50; i++) {
    first.write(record({ sequence: BigInt(i), payload: `first ${i}`.repeat(10) }));
    if (i % 7 === 0) await first.flush();
  }
  await first.close();
  // A crash: half of a message, seen by the follower, that is then replaced.
  const whole = disk.bytes(PATH);
  const torn = await fileOf([record({ payload: "y".repeat(300) })]);
  await grow(disk, new Uint8Array([...whole, ...torn.slice(128, 330)]), whole.length + 202, source);
  const second = await append(disk, { onTorn: "truncate", endOfStream: true });
  assertEquals(second.torn?.offset, whole.length);
  for (let i = 0; i < 50; i++) {
    await second.write(record({ sequence: BigInt(50 + i), payload: `second ${i}`.repeat(10) }));
  }
  await second.close();
  await reading;
  assertEquals(got.map(({ sequence }) => sequence), Array.from({ length: 100 }, (_, i) => BigInt(i)));
});

async function next(source: MessageSource): Promise<FileMessage> {
  const { value } = await source[Symbol.asyncIterator]().next();
  return value;
}

test("from the end only appended messages are yielded; a move during a wait takes effect at once", async () => {
  const records = Array.from({ length: 20 }, (_, i) => record({ sequence: BigInt(i), timestamp: T + BigInt(i) }));
  const disk = diskOf(await fileOf(records));
  await using source = await open(disk, { ...follow, pollInterval: 60_000 });
  await source.rewind("end");
  const waiting = next(source);
  while (disk.reads < 4) await Promise.resolve();
  await source.rewind(9n);
  assertEquals((await waiting).sequence, 10n);
  await source.seek(T + 15n);
  assertEquals((await next(source)).sequence, 16n);
  await using other = await open(disk, follow);
  await other.rewind("end");
  const added = next(other);
  const sink = await append(disk);
  sink.write(record({ sequence: 20n }));
  await sink.close();
  assertEquals((await added).sequence, 20n);
});

test("closing ends waiting loops quietly, and a signal with its reason", async () => {
  const disk = diskOf(await fileOf([record()]));
  const source = await open(disk, { ...follow, pollInterval: 60_000 });
  const reading = drain(source);
  await new Promise((resolve) => setTimeout(resolve, 5));
  await source.close();
  assertEquals((await reading).messages.length, 1);
  assertEquals(disk.closed, disk.opened);
  await source.close();
  assertEquals((await drain(source)).messages, []);
  for (const call of [() => source.seek(T), () => source.rewind("end")]) {
    assertEquals((await assertRejects(call, StreamerError)).code, "CONSUMER_ENDED");
  }

  const controller = new AbortController();
  await using aborted = await open(disk, { ...follow, pollInterval: 60_000, signal: controller.signal });
  const waiting = drain(aborted);
  waiting.catch(() => {}); // judged below
  await new Promise((resolve) => setTimeout(resolve, 5));
  const reason = new Error("enough");
  controller.abort(reason);
  assertEquals(await waiting.catch((error: unknown) => error), reason);
  assertEquals(await next(aborted).catch((error: unknown) => error), reason);
});

test("a file that becomes shorter than the bytes read of it is an error", async () => {
  const file = await fileOf([record(), record()]);
  const disk = diskOf(file);
  await using source = await open(disk, follow);
  const iterator = source[Symbol.asyncIterator]();
  await iterator.next();
  await iterator.next();
  const waiting = iterator.next();
  disk.files.set(PATH, file.slice(0, framesOf(file, 1 << 20)[1].offset));
  const error = await assertRejects(() => waiting, FileError);
  assertEquals([error.kind, error.code], ["torn", "PROTOCOL"]);
});

test("without follow, the next loop reads on in a file that has grown", async () => {
  const disk = new MemoryDisk();
  const sink = await create(disk);
  await using source = await open(disk);
  for (let i = 0; i < 3; i++) {
    sink.write(record({ sequence: BigInt(i) }));
    await sink.flush();
    assertEquals((await drain(source)).messages.map(({ sequence }) => sequence), [BigInt(i)]);
  }
  await sink.close();
});

test("a read failure of the system is thrown, and reading can continue", async () => {
  const disk = diskOf(await fileOf([record(), record()]));
  await using source = await open(disk);
  disk.broken.read = new Error("EIO");
  const error = await assertRejects(() => next(source), FileError);
  assertEquals([error.kind, error.code], ["system", "DISCONNECTED"]);
  assertEquals((await drain(source)).messages.length, 2);
});

/** A file whose last message is torn after a beacon that interrupts it, and the number of complete messages. */
async function tornBehindBeacon(): Promise<{ readonly bytes: Uint8Array; readonly whole: number }> {
  const records = Array.from(
    { length: 30 },
    (_, i) => record({ sequence: BigInt(i + 1), timestamp: T + BigInt(i), payload: "p".repeat(100) }),
  );
  const file = await fileOf(records, { beaconInterval: 1024 });
  const frames = framesOf(file, 1024);
  // The last message that crosses a beacon, cut a few bytes after that beacon.
  for (let i = frames.length - 1; i >= 0; i--) {
    const boundary = Math.ceil(frames[i].offset / 1024) * 1024;
    if (boundary > frames[i].offset && frames[i].end > boundary + 36 + 20) {
      return { bytes: file.slice(0, boundary + 36 + 5), whole: i };
    }
  }
  throw new Error("none");
}

test("a torn end is thrown after a seek past everything, as after rewinding to the end", async () => {
  const { bytes } = await tornBehindBeacon();
  for (const how of ["rewind", "seek"] as const) {
    await using source = await open(diskOf(bytes));
    if (how === "rewind") await source.rewind("end");
    else await source.seek(T + 1000n, { streamKey: "a", shardId: 0 });
    const { messages, errors } = await drain(source);
    assertEquals([how, messages.length, errors.map(({ kind }) => kind)], [how, 0, ["torn"]]);
  }
});

for (const how of ["rewind", "seek"] as const) {
  test(`after a ${how} to the end of a torn file that is followed, all messages appended after the cut are yielded`, async () => {
    const { bytes } = await tornBehindBeacon();
    const disk = diskOf(bytes);
    await using source = await open(disk, { follow: true, pollInterval: 1, signal: AbortSignal.timeout(3_000) });
    if (how === "rewind") await source.rewind("end");
    else await source.seek(T + 1000n, { streamKey: "a", shardId: 0 });
    const sink = await append(disk, { onTorn: "truncate", endOfStream: true });
    const expected = Array.from({ length: 40 }, (_, i) => BigInt(1000 + i));
    for (const sequence of expected) {
      sink.write(record({ sequence, timestamp: T + 1000n + sequence, payload: "q".repeat(60) }));
    }
    await sink.close();
    const found: FileMessage[] = [];
    const errors: string[] = [];
    for (let tries = 0; tries < 5; tries++) {
      try {
        for await (const message of source) found.push(message);
        break;
      } catch (error) {
        errors.push(error instanceof FileError ? error.message : String(error));
      }
    }
    assertEquals([found.map(({ sequence }) => sequence), errors], [expected, []]);
  });
}
