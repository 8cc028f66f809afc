// Tests that corrupt places of a file are reported with their offset, between the intact messages, and that no bytes
// make a source hang, or take memory beyond the file.

import { assert, assertEquals, assertGreater, assertLessOrEqual, assertRejects } from "@std/assert";
import { FileError, StreamerError } from "../../../streamer/file/mod.ts";
import { freshSeed, Random } from "../../support/resp/drive.ts";
import { test } from "../../support/runner.ts";
import {
  diskOf,
  drain,
  fileOf,
  framesOf,
  golden,
  open,
  PATH,
  plain,
  randomRecords,
  record,
} from "../../support/file/filing.ts";

const seed = freshSeed();

async function offsetsOf(file: Uint8Array): Promise<number[]> {
  await using source = await open(diskOf(file));
  return (await drain(source)).messages.map(({ offset }) => offset);
}

for (const interval of [128, 300, 1024]) {
  test(`a file that is cut at any byte yields its complete messages, and then its torn end (interval ${interval})`, async () => {
    const records = randomRecords(new Random(7), 25, 2).map((one) => ({ ...one, payload: one.payload.slice(0, 200) }));
    const file = await fileOf(records, { interval });
    const frames = framesOf(file, interval);
    assertEquals(frames.length, records.length);
    for (let cut = 0; cut < file.length; cut++) {
      const disk = diskOf(file.slice(0, cut));
      if (cut < 128) {
        const error = await assertRejects(() => open(disk), FileError);
        assertEquals([error.code, error.kind, error.offset], ["PROTOCOL", cut === 0 ? "corrupt" : "torn", 0]);
        assertEquals(disk.closed, disk.opened);
        continue;
      }
      await using source = await open(disk);
      const { messages, errors } = await drain(source);
      const whole = frames.filter(({ end }) => end <= cut).length;
      assertEquals(messages.map(plain), records.slice(0, whole).map(plain), `cut at ${cut}`);
      const end = whole === 0 ? 128 : frames[whole - 1].end;
      const next = whole === frames.length ? file.length : frames[whole].offset; // after a beacon, if the file has one
      const torn = cut === end || cut === next
        ? []
        : [{ kind: "torn", code: "PROTOCOL", offset: cut > next ? next : end }];
      assertEquals(
        errors.map(({ kind, code, offset }) => ({ kind: `${kind}`, code, offset: Number(offset) })),
        torn,
        `cut at ${cut}`,
      );
      assertEquals(source.stats().corrupt, torn.length);
    }
  });
}

for (const name of ["g1024.ss", "min128.ss", "exact.ss", "empty-payload.ss", "g1024-eos.ss"]) {
  test(`any changed byte of ${name} is reported, or changes only the message it belongs to`, async () => {
    const file = await golden(name);
    await using whole = await open(diskOf(file));
    const { messages: expected } = await drain(whole);
    for (let at = 0; at < file.length; at++) {
      for (const flip of [0x01, 0x80, 0xff]) {
        const broken = file.slice();
        broken[at] ^= flip;
        const disk = diskOf(broken);
        const source = await open(disk).catch((error) => error);
        if (source instanceof FileError) {
          assert(at < 128 && source.kind === "corrupt", `byte ${at}`);
          continue;
        }
        const { messages, errors } = await drain(source);
        await source.close();
        // The end of the stream may have become a message.
        const ends = name === "g1024-eos.ss" && at >= 2360 ? 1 : 0;
        assertLessOrEqual(messages.length, expected.length + ends, `byte ${at}`);
        assertLessOrEqual(disk.largestRead, 300_000);
        for (const error of errors) {
          assertEquals(error.code, "PROTOCOL");
          assertLessOrEqual(error.offset ?? Infinity, file.length);
        }
        // Payloads have checksums: no message has a payload that none of the file's has.
        const payloads = new Set([...expected.map((message) => message.text()), ...(ends > 0 ? ["EOS"] : [])]);
        for (const message of messages) assert(payloads.has(message.text()), `byte ${at}`);
        if (at < 128 || errors.length > 0) continue;
        // Bytes without a checksum: at most one message's header has another value.
        const there = new Set(messages.map(plain));
        assertLessOrEqual(expected.filter((message) => !there.has(plain(message))).length, 1, `byte ${at}`);
      }
    }
  }, { timeout: 120_000 });
}

test("a payload with a wrong checksum is reported, between the messages before and after it", async () => {
  const records = Array.from({ length: 5 }, (_, i) => record({ sequence: BigInt(i), payload: "payload" }));
  const file = await fileOf(records);
  const offsets = await offsetsOf(file);
  file[offsets[2] + 35] ^= 1;
  await using source = await open(diskOf(file));
  const { messages, errors } = await drain(source);
  assertEquals(messages.map(({ sequence }) => sequence), [0n, 1n, 3n, 4n]);
  assertEquals(errors.map(({ kind, offset, path }) => ({ kind, offset, path })), [
    { kind: "corrupt", offset: offsets[2], path: PATH },
  ]);
  assertEquals(source.stats().corrupt, 1);

  const told: FileError[] = [];
  await using lenient = await open(diskOf(file), { onCorrupt: (error) => void told.push(error) });
  assertEquals((await drain(lenient)).messages.length, 4);
  assertEquals(told.map(({ offset }) => offset), [offsets[2]]);
  await using quiet = await open(diskOf(file), { onCorrupt: "skip" });
  assertEquals([(await drain(quiet)).messages.length, quiet.stats().corrupt], [4, 1]);
});

test("a message with a wrong end mark is refused, whether the first, a middle or the last one", async () => {
  const records = Array.from({ length: 200 }, (_, i) => record({ sequence: BigInt(i), payload: "payload".repeat(3) }));
  const file = await fileOf(records, { interval: 1024 });
  const offsets = await offsetsOf(file);
  const middle = offsets.findIndex((offset) => offset > 1024);
  const ends = [...offsets.slice(1), file.length];
  for (const broken of [0, middle, records.length - 1]) {
    for (const mark of [0x00, 0x0a, 0x0c, 0xff]) {
      const damaged = file.slice();
      damaged[ends[broken] - 1] = mark;
      await using source = await open(diskOf(damaged));
      const { messages, errors } = await drain(source);
      assertEquals(errors.map(({ kind, offset }) => ({ kind, offset })), [{
        kind: "corrupt",
        offset: offsets[broken],
      }]);
      const next = offsets.findIndex((offset) => Math.floor(offset / 1024) > Math.floor(offsets[broken] / 1024));
      const after = next < 0 ? [] : records.slice(next);
      assertEquals(messages.map(plain), [...records.slice(0, broken), ...after].map(plain));
    }
  }
});

test("after invalid bytes, reading resumes at the next beacon", async () => {
  const records = Array.from({ length: 200 }, (_, i) => record({ sequence: BigInt(i), payload: "payload".repeat(3) }));
  const file = await fileOf(records, { interval: 1024 });
  const offsets = await offsetsOf(file);
  const broken = offsets.findIndex((offset) => offset > 1024);
  file[offsets[broken]] = 0; // the length of its key
  const next = offsets.findIndex((offset) => offset > 2048);
  await using source = await open(diskOf(file));
  const { messages, errors } = await drain(source);
  assertEquals(errors.map(({ offset }) => offset), [offsets[broken]]);
  assertEquals(messages.map(plain), [...records.slice(0, broken), ...records.slice(next)].map(plain));
});

test("a message that declares more than the file has hides only messages before the next beacon", async () => {
  const records = Array.from({ length: 200 }, (_, i) => record({ sequence: BigInt(i), payload: "payload".repeat(3) }));
  const file = await fileOf(records, { interval: 1024 });
  const offsets = await offsetsOf(file);
  const broken = offsets.findIndex((offset) => offset > 1024);
  const next = offsets.findIndex((offset) => offset > 2048);
  for (const claimed of [0x01, 0x1f]) {
    file[offsets[broken] + 26] = claimed; // the highest byte of its size
    for (const maxPayload of [undefined, 1000]) {
      const disk = diskOf(file);
      await using source = await open(disk, maxPayload === undefined ? {} : { maxPayload });
      const { messages, errors } = await drain(source);
      assertEquals(errors.map(({ kind, offset }) => ({ kind, offset })), [{
        kind: "corrupt",
        offset: offsets[broken],
      }]);
      assertEquals(messages.map(plain), [...records.slice(0, broken), ...records.slice(next)].map(plain));
      assertLessOrEqual(disk.largestRead, 300_000);
    }
  }
});

test("a corrupt beacon costs the message it interrupts, and no more", async () => {
  const records = Array.from({ length: 200 }, (_, i) => record({ sequence: BigInt(i), payload: "payload".repeat(3) }));
  for (const at of [2048, 2048 + 5, 2048 + 6]) { // its mark, its count, its marker's key
    const file = await fileOf(records, { interval: 1024 });
    const offsets = await offsetsOf(file);
    file[at] ^= 0xf0;
    await using source = await open(diskOf(file));
    const { messages, errors } = await drain(source);
    assertEquals(errors.map(({ offset }) => offset), [2048]);
    const before = offsets.findIndex((offset) => offset > 2048) - 1;
    const next = offsets.findIndex((offset) => offset > 3072);
    assertGreater(before, 0);
    assertEquals(messages.map(plain), [...records.slice(0, before), ...records.slice(next)].map(plain));
  }
});

test(`files of other formats are refused, and random bytes after a header end (seed ${seed})`, async () => {
  const random = new Random(seed);
  const noise = (length: number) => Uint8Array.from({ length }, () => random.of([13, 1, 65, 0, random.below(256)]));
  for (let round = 0; round < 300; round++) {
    const garbage = noise(random.below(5000));
    garbage[0] = 1;
    const error = await assertRejects(() => open(diskOf(garbage)), FileError);
    assertEquals(error.code, "PROTOCOL");
    const file = await fileOf(randomRecords(random, 10, 2), { interval: random.of([128, 500, 1024]) });
    const all = new Uint8Array(file.length + garbage.length);
    all.set(file);
    all.set(garbage, file.length);
    const disk = diskOf(all);
    await using source = await open(disk);
    const { messages } = await drain(source);
    assertLessOrEqual(10, messages.length);
    assertLessOrEqual(disk.largestRead, 300_000);
    for (const position of ["end", "beginning", 5n] as const) {
      await source.rewind(position).catch((error) => assertEquals(error.code, "PROTOCOL"));
    }
  }
}, { timeout: 120_000 });

test("another version, a small interval, a long name and a wrong mark are refused", async () => {
  const file = await golden("tiny.ss");
  const changed = (at: number, ...bytes: number[]) => {
    const copy = file.slice();
    copy.set(bytes, at);
    return diskOf(copy);
  };
  for (const disk of [changed(0, 1), changed(2, 2), changed(3, 112), changed(19, 0, 0, 0, 127), changed(127, 0)]) {
    const error = await assertRejects(() => open(disk), FileError);
    assertEquals([error.kind, error.code, error.offset, error.path, disk.closed], ["corrupt", "PROTOCOL", 0, PATH, 1]);
    assert(error instanceof StreamerError);
  }
});

test("a message that is nearly all beacons is started a few times, and not once for each piece", async () => {
  const one = record({ payload: "x".repeat(100_000) });
  const [plainly] = framesOf(await fileOf([one]), 1 << 20);
  const message = (await fileOf([one])).slice(plainly.offset, plainly.end);
  // Beacons of 127 bytes at a distance of 128, as no writer makes them: a byte of the message after each.
  const key = new Uint8Array(94).fill(0x61);
  key[0] = 93;
  const file = new Uint8Array(128 * (message.length + 1));
  file.set((await fileOf([], { interval: 128 })).slice(0, 128));
  for (const [i, byte] of message.entries()) {
    const at = 128 * (i + 1);
    new DataView(file.buffer).setUint32(at + 1, i === 0 ? 0 : message.length - i);
    file[at] = file[at + 126] = 13;
    file[at + 5] = 1;
    file.set(key, at + 6);
    file[at + 127] = byte;
  }
  await using source = await open(diskOf(file));
  const { messages, errors } = await drain(source);
  assertEquals([messages.map(plain), errors], [[plain(one)], []]);
  assertLessOrEqual(source.stats().reads, 20);
});

/** A hostile file: after every beacon is a message that declares a length up to nearly the end of the file. */
function nested(size: number, interval: number): Uint8Array {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  bytes.set([0x53, 0x73, 1, 0]);
  view.setUint32(12, interval);
  bytes[127] = 0x0d;
  const message = (at: number) => {
    bytes.set([1, 0x61], at);
    const intervals = Math.floor((size - at) / interval);
    view.setUint32(at + 26, Math.max(0, size - at - 33 - 7 * (intervals + 2)));
  };
  message(128);
  for (let at = interval; at + 64 < size; at += interval) {
    bytes[at] = bytes[at + 6] = 0x0d;
    message(at + 7);
  }
  return bytes;
}

test("messages inside of messages are tried for a share of the file's size only, not its square", async () => {
  const size = 4 * 1024 * 1024;
  await using source = await open(diskOf(nested(size, 1024)));
  const { messages, errors } = await drain(source);
  assertEquals(messages, []);
  assertGreater(errors.length, 4000);
  // Each message that was not given up because of inner beacons was read to its end, nearly that of the file.
  const vain = errors.filter(({ message }) => !message.includes("a beacon contradicts"));
  const bytes = vain.reduce((sum, { offset = 0 }) => sum + size - offset, 0);
  assertLessOrEqual(bytes, 64 * 1024 * 1024 + 6 * size);
  assertLessOrEqual(source.stats().bytesRead, 64 * 1024 * 1024 + 8 * size);
});

test("one beacon that is wrong about the message it interrupts does not cost the message", async () => {
  const records = [1n, 2n, 3n].map((sequence) => record({ sequence, payload: "x".repeat(5000) }));
  const file = await fileOf(records, { interval: 1024 });
  for (const boundary of [1024, 2048, 4096, 7168]) {
    const wrong = file.slice();
    wrong[boundary + 4] ^= 1;
    await using source = await open(diskOf(wrong));
    const { messages, errors } = await drain(source);
    assertEquals([messages.map(plain), errors], [records.map(plain), []]);
  }
});

test("a message that declares more than the file has is given up at the first beacon that disagrees", async () => {
  const records = Array.from({ length: 200 }, (_, i) => record({ sequence: BigInt(i), payload: "payload".repeat(3) }));
  const file = await fileOf(records, { interval: 1024 });
  const offsets = await offsetsOf(file);
  const broken = offsets.findLastIndex((offset) => offset < 2048);
  const view = new DataView(file.buffer);
  const claimed = 0x1000_0000;
  view.setUint32(offsets[broken] + 26, claimed);
  view.setUint32(2048 + 1, claimed + 33 - (2048 - offsets[broken])); // the beacon at 2048 agrees, the one at 3072 does not
  const disk = diskOf(file);
  await using source = await open(disk);
  const { messages, errors } = await drain(source);
  const next = offsets.findIndex((offset) => offset > 3072);
  assertEquals(errors.map(({ offset }) => offset), [offsets[broken]]);
  assertEquals(messages.map(plain), [...records.slice(0, broken), ...records.slice(next)].map(plain));
  assertLessOrEqual(disk.largestRead, 300_000);
});
