// Tests a sink: back-pressure, limits, flushing, a disk that fails, and its end.

import { assert, assertEquals, assertInstanceOf, assertLessOrEqual, assertRejects, assertThrows } from "@std/assert";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import {
  type CreateSinkOptions,
  FileError,
  type FileRecord,
  MessageSink,
  StreamerError,
} from "../../../streamer/file/mod.ts";
import { freshSeed, Random } from "../../support/resp/drive.ts";
import { test } from "../../support/runner.ts";
import { MemoryDisk, systemError } from "../../support/file/disk.ts";
import {
  append,
  create,
  drain,
  framesOf,
  open,
  PATH,
  plain,
  randomRecords,
  record,
  T,
} from "../../support/file/filing.ts";

const seed = freshSeed();

test("accepted messages reach the file without a flush, and later ones after them", async () => {
  const disk = new MemoryDisk();
  await using sink = await create(disk);
  for (let round = 1; round <= 3; round++) {
    const before = disk.writes;
    sink.write(record());
    while (disk.writes === before) await new Promise((resolve) => setTimeout(resolve, 1));
    await sink.flush();
    assertEquals(disk.bytes(PATH).length, 128 + 34 * round);
  }
});

test("after an idle time, and after an earlier flush, writing and flushing continue", async () => {
  const disk = new MemoryDisk();
  await using sink = await create(disk);
  for (let round = 0; round < 5; round++) {
    sink.write(record());
    await sink.flush(); // before the timer that would have written it
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assertEquals(disk.bytes(PATH).length, 128 + 34 * 5);
});

test("write returns a promise from the high-water mark on, which resolves when space is free", async () => {
  const disk = new MemoryDisk();
  await using sink = await create(disk, { highWaterMark: 10_000, maxBuffered: 20_000 });
  const gate = Promise.withResolvers<void>();
  disk.gate = gate.promise;
  const payload = new Uint8Array(1000);
  let full: void | Promise<void> = undefined;
  let accepted = 0;
  while (full === undefined) {
    full = sink.write(record({ payload }));
    accepted++;
  }
  assertEquals(accepted, 10);
  let isThere = false;
  full.then(() => isThere = true);
  const error = assertThrows(() => {
    for (let i = 0; i < 100; i++) sink.write(record({ payload }));
  }, StreamerError);
  assertEquals([error.code, error.outcome, isThere], ["BUFFER_FULL", "not-written", false]);
  assertLessOrEqual(sink.stats().buffered, 20_000);
  const { messages } = sink.stats();
  gate.resolve();
  await full;
  await sink.flush();
  assertEquals(sink.stats().buffered, 0);
  await using source = await open(disk);
  assertEquals((await drain(source)).messages.length, messages);
});

test("a message larger than maxBuffered is accepted when nothing else is buffered", async () => {
  const disk = new MemoryDisk();
  await using sink = await create(disk, { maxBuffered: 1000 });
  await sink.write(record({ payload: new Uint8Array(1_000_000) }));
  await sink.write(record({ payload: new Uint8Array(1_000_000) }));
  await sink.flush();
  await using source = await open(disk);
  assertEquals((await drain(source)).messages.length, 2);
});

test("an aborted wait ends only the wait", async () => {
  const disk = new MemoryDisk();
  await using sink = await create(disk, { highWaterMark: 100 });
  const gate = Promise.withResolvers<void>();
  disk.gate = gate.promise;
  const reason = new Error("enough");
  const controller = new AbortController();
  const { signal } = controller;
  const waits = [sink.write(record({ payload: "x".repeat(200) }), { signal }), sink.flush({ signal })];
  controller.abort(reason);
  for (const wait of waits) assertEquals(await Promise.resolve(wait).catch((error: unknown) => error), reason);
  assertEquals(await sink.flush({ signal }).catch((error: unknown) => error), reason);
  gate.resolve();
  await sink.flush();
  await using source = await open(disk);
  assertEquals((await drain(source)).messages.length, 1);
});

test(`a limit is never exceeded and never tears a message (seed ${seed})`, async () => {
  const random = new Random(seed);
  for (let round = 0; round < 100; round++) {
    const interval = random.of([128, 300, 1024, 2048]);
    const maxBytes = 200 + random.below(6000);
    const endOfStream = random.below(2) === 0;
    const disk = new MemoryDisk();
    const sink = await create(disk, { interval, maxBytes, endOfStream });
    const accepted: FileRecord[] = [];
    for (const one of randomRecords(random, 60, 4)) {
      const before = sink.stats();
      try {
        sink.write(one);
        accepted.push(one);
      } catch (error) {
        assertInstanceOf(error, FileError);
        assertEquals([error.kind, error.code, error.outcome], ["limit", "BUFFER_FULL", "not-written"]);
        assertEquals({ ...sink.stats(), buffered: 0 }, { ...before, buffered: 0 });
      }
    }
    await sink.close();
    assertLessOrEqual(disk.bytes(PATH).length, maxBytes);
    await using source = await open(disk);
    const { messages, errors } = await drain(source);
    assertEquals([messages.map(plain), errors, source.ended], [accepted.map(plain), [], endOfStream]);
  }
});

test("a message that fits exactly is accepted, one byte more is not", async () => {
  for (const interval of [128, 300, 1024]) {
    const one = record({ payload: "x".repeat(500) });
    const measured = new MemoryDisk();
    const first = await create(measured, { interval });
    first.write(one);
    await first.close();
    const { length } = measured.bytes(PATH);
    const exact = await create(new MemoryDisk(), { interval, maxBytes: length });
    exact.write(one);
    await exact.close();
    const short = await create(new MemoryDisk(), { interval, maxBytes: length - 1 });
    assertThrows(() => short.write(one), FileError, "longer than");
    await short.close();
  }
});

test("an appended file without space for an end of stream is an error, and the file stays complete", async () => {
  const disk = new MemoryDisk();
  await (await create(disk)).close();
  const full = await append(disk, { endOfStream: true, maxBytes: 161 });
  const error = await assertRejects(() => full.close(), FileError);
  assertEquals([error.kind, error.code, disk.opened], ["limit", "BUFFER_FULL", disk.closed]);
  assertEquals(disk.bytes(PATH).length, 128);
});

for (const full of [0, 100, 128, 129, 200, 5000, 300_000, 700_000]) {
  test(`a disk that is full at byte ${full} is reported by every call, and complete messages can be read and continued`, async () => {
    const disk = new MemoryDisk();
    disk.full = full;
    disk.writePiece = 70_001;
    const records = Array.from({ length: 1000 }, (_, i) => record({ sequence: BigInt(i), payload: "x".repeat(1000) }));
    const run = async () => {
      await using sink = await create(disk, { interval: 1024 });
      for (const one of records) await sink.write(one);
      await sink.flush();
    };
    const error = await assertRejects(run, FileError);
    assertEquals([error.kind, error.code, error.path], ["system", "SEND_FAILED", PATH]);
    assertInstanceOf(error.cause, Error);
    assertEquals(disk.opened, disk.closed);
    if (full < 128) assertEquals(disk.files.has(PATH), false); // not even the header
    else assertLessOrEqual(disk.bytes(PATH).length, full);
    disk.full = Infinity;
    const sink = await append(disk, { onTorn: "truncate", interval: 1024 });
    sink.write(record({ payload: "behind" }));
    await sink.close();
    await using source = await open(disk);
    const { messages, errors } = await drain(source);
    assertEquals(errors, []);
    const whole = messages.length - 1;
    assertEquals(messages.slice(0, whole).map(plain), records.slice(0, whole).map(plain));
    assertEquals(messages[whole].text(), "behind");
    if (full > 2000) assert(whole > 0);
  });
}

test("a failure is thrown once by waiting calls, again by every call, and by the end unless it was thrown before", async () => {
  const disk = new MemoryDisk();
  const sink = await create(disk);
  disk.broken.write = systemError("EIO");
  sink.write(record());
  const first = await assertRejects(() => sink.flush(), FileError);
  assertEquals(await assertRejects(() => sink.flush()), first);
  assertEquals(assertThrows(() => sink.write(record())), first);
  await sink[Symbol.asyncDispose]();
  await sink.close();
  assertEquals(disk.closed, 1);

  const untold = await create(disk, { overwrite: true });
  disk.broken.write = systemError("EIO");
  untold.write(record());
  await assertRejects(() => untold[Symbol.asyncDispose](), FileError);
  assertEquals(disk.closed, 2);
});

for (const what of ["sync", "close"] as const) {
  test(`a failure of ${what} is thrown by the end`, async () => {
    const disk = new MemoryDisk();
    const sink = await create(disk);
    sink.write(record());
    disk.broken[what] = systemError("EIO");
    const error = await assertRejects(() => sink.close(), FileError);
    assertEquals([error.code, disk.closed], ["SEND_FAILED", 1]);
    await sink.close();
  });
}

test("a failed opening has the system's reason, and leaves nothing open", async () => {
  const disk = new MemoryDisk();
  await (await create(disk)).close();
  const there = await assertRejects(() => create(disk), FileError);
  assertEquals([there.code, there.kind], ["CONNECT", "system"]);
  for (const what of ["open", "size", "read", "truncate"] as const) {
    disk.broken[what] = systemError("EACCES");
    const error = await assertRejects(() => append(disk), FileError);
    assertEquals(error.kind, "system");
    assertEquals(disk.opened, disk.closed);
  }
  for (const what of ["open", "read"] as const) {
    disk.broken[what] = systemError("EACCES");
    const error = await assertRejects(() => open(disk), FileError);
    assertEquals([error.kind, error.code], ["system", what === "open" ? "CONNECT" : "DISCONNECTED"]);
    assertEquals(disk.opened, disk.closed);
  }
  const reason = new Error("enough");
  const signal = AbortSignal.abort(reason);
  for (const call of [() => create(disk, { signal }), () => append(disk, { signal }), () => open(disk, { signal })]) {
    assertEquals(await assertRejects(call), reason);
  }
  assertEquals(disk.opened, disk.closed);
});

test("a closed sink accepts nothing, and closing writes everything to the disk", async () => {
  const disk = new MemoryDisk();
  const sink = await create(disk);
  for (let i = 0; i < 100; i++) sink.write(record());
  await Promise.all([sink.close(), sink.close()]);
  assertEquals([disk.syncs, disk.closed, framesOf(disk.bytes(PATH), 1 << 20).length], [1, 1, 100]);
  assertEquals(assertThrows(() => sink.write(record()), StreamerError).code, "PRODUCER_ENDED");
  assertEquals((await assertRejects(() => sink.flush(), StreamerError)).code, "PRODUCER_ENDED");
  const unsynced = await create(disk, { overwrite: true });
  await unsynced.flush({ sync: true });
  assertEquals(disk.syncs, 2);
  await unsynced.close({ sync: false });
  assertEquals(disk.syncs, 2);
});

test("invalid messages are refused, and change nothing", async () => {
  const disk = new MemoryDisk();
  await using sink = await create(disk);
  const keys = ["", "a:b", "a/b", "{a}", "é", "a".repeat(250), "SEA_STREAMER_INTERNAL", "SEA_STREAMER_WILDCARD"];
  for (const streamKey of keys) {
    assertEquals(assertThrows(() => sink.write(record({ streamKey })), StreamerError).code, "INVALID_STREAM_KEY");
  }
  const bad: Partial<FileRecord>[] = [
    { shardId: -1 },
    { shardId: 1.5 },
    { shardId: 2 ** 53 },
    { shardId: 2n ** 64n },
    { sequence: -1n },
    { sequence: 2n ** 64n },
    { sequence: 1 as unknown as bigint }, // as: a value that the types forbid
    { timestamp: -1n },
    { timestamp: new Date(-1) },
    { timestamp: new Date(NaN) },
    { timestampMs: 2n ** 64n },
    { payload: 5 as unknown as string }, // as: a value that the types forbid
  ];
  for (const fields of bad) {
    assertEquals(assertThrows(() => sink.write(record(fields)), StreamerError).code, "INVALID_OPTION");
  }
  assertEquals(sink.stats(), { messages: 0, bytes: 128, buffered: 0, shards: 0 });
  sink.write(record({ streamKey: "a".repeat(249) }));
  await sink.flush();
  await using source = await open(disk);
  assertEquals((await drain(source)).messages.map(({ streamKey }) => streamKey.length), [249]);
});

test("invalid options are refused, before a file is opened", async () => {
  const bad: CreateSinkOptions[] = [
    { beaconInterval: 0 },
    { beaconInterval: 128 },
    { beaconInterval: 1025 },
    { beaconInterval: 2 ** 32 },
    { fileName: "é" },
    { fileName: "x".repeat(112) },
    { fileName: "a\nb" },
    { createdAt: -1n },
    { maxBytes: 100 },
    { highWaterMark: 0 },
    { highWaterMark: 10, maxBuffered: 5 },
    { onTorn: "fail" } as CreateSinkOptions, // as: a value that the types forbid
  ];
  for (const options of bad) {
    const error = await assertRejects(() => MessageSink.create("/does/not/exist/a.ss", options), StreamerError);
    assertEquals(error.code, "INVALID_OPTION", JSON.stringify(options, (_, value) => `${value}`));
  }
  const missing = await assertRejects(() => MessageSink.create("/does/not/exist/a.ss"), FileError);
  assertEquals([missing.code, missing.path], ["CONNECT", "/does/not/exist/a.ss"]);
});

test("a new file's header has the given name, or the path's last part", async () => {
  const disk = new MemoryDisk();
  await using named = await create(disk, { fileName: "x".repeat(111), createdAt: new Date(5) });
  await using source = await open(disk);
  for (const { fileName, createdAt, path } of [named, source]) {
    assertEquals([fileName, createdAt.getTime(), path], ["x".repeat(111), 5, PATH]);
  }
  await using plainly = await create(new MemoryDisk());
  assertEquals([plainly.fileName, plainly.createdAt.getTime(), plainly.beaconInterval], [PATH, Number(T), 1 << 20]);
});

test("the memory of shards grows with shards, not with messages", async () => {
  await using sink = await create(new MemoryDisk());
  for (let i = 0; i < 10_000; i++) await sink.write(record({ streamKey: `s${i % 50}`, sequence: BigInt(i) }));
  assertEquals([sink.stats().shards, sink.stats().messages], [50, 10_000]);
});

for (const how of ["fails", "is aborted"]) {
  test(`an ignored promise of write raises no unhandled rejection when it ${how}, with a signal too`, async () => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => void unhandled.push(reason);
    process.on("unhandledRejection", note);
    try {
      const disk = new MemoryDisk();
      const sink = await create(disk, { highWaterMark: 1 });
      const stop = new AbortController();
      const gate = Promise.withResolvers<void>();
      disk.gate = gate.promise;
      if (how === "fails") disk.broken.write = systemError("ENOSPC");
      const waiting = sink.write(record({ payload: "x".repeat(1000) }), { signal: stop.signal });
      assert(waiting instanceof Promise);
      if (how === "is aborted") stop.abort();
      gate.resolve();
      await sink.close().catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 20));
      assertEquals(unhandled, []);
    } finally {
      process.off("unhandledRejection", note);
    }
  });
}

test("a file whose creation failed or was aborted is removed", async () => {
  for (const how of ["fails", "is aborted"]) {
    const disk = new MemoryDisk();
    const stop = new AbortController();
    const gate = Promise.withResolvers<void>();
    disk.gate = gate.promise;
    if (how === "fails") disk.broken.write = systemError("ENOSPC");
    const making = create(disk, { signal: stop.signal }).then(() => "made", (error: unknown) => error);
    while (disk.opened === 0) await Promise.resolve();
    if (how === "is aborted") stop.abort("stop");
    gate.resolve();
    const outcome = await making;
    if (how === "is aborted") assertEquals(outcome, "stop");
    else assertInstanceOf(outcome, FileError);
    assertEquals([disk.files.has(PATH), disk.closed], [false, 1]);
    await using sink = await create(disk); // its path is free
    assertEquals(sink.path, PATH);
  }
});

test("an existing file is not removed when it cannot be replaced or continued", async () => {
  for (const begin of [(disk: MemoryDisk) => create(disk, { overwrite: true }), append, create]) {
    const disk = new MemoryDisk();
    disk.files.set(PATH, new Uint8Array(0));
    disk.broken.write = systemError("ENOSPC");
    await assertRejects(() => begin(disk), FileError);
    assertEquals(disk.files.has(PATH), true);
  }
});

test("on the disk of the system a file whose creation was aborted is removed, too", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sea-file-"));
  try {
    const path = join(folder, "a.ss");
    const stop = new AbortController();
    const making = MessageSink.create(path, { signal: stop.signal });
    stop.abort("stop");
    assertEquals(await making.then(() => "made", (error: unknown) => error), "stop");
    assertEquals(await readdir(folder), []);
  } finally {
    await rm(folder, { recursive: true });
  }
});
