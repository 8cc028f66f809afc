// Tests that files of any size are written and read with the same memory.

import { assertEquals, assertLess } from "@std/assert";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MessageSink, MessageSource } from "../../../streamer/file/mod.ts";
import { MemoryWatch } from "../../support/memory.ts";
import { test } from "../../support/runner.ts";
import { diskOf, fileOf, open, record, T } from "../../support/file/filing.ts";

const MIB = 1024 * 1024;

test("200 MB are written and read without more memory", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sea-file-"));
  try {
    const path = join(folder, "large.ss");
    const payload = new Uint8Array(1024).fill(7);
    let buffered = 0;
    const pass = async (count: number, memory?: MemoryWatch) => {
      const sink = await MessageSink.create(path, { overwrite: true });
      for (let i = 0; i < count; i++) {
        const full = sink.write({ streamKey: "s", shardId: i % 4, sequence: BigInt(i), timestamp: T, payload });
        buffered = Math.max(buffered, sink.stats().buffered);
        if (full !== undefined) await full;
        if (i % 50_000 === 0) memory?.sample();
      }
      await sink.close({ sync: false });
      await using source = await MessageSource.open(path);
      let read = 0;
      for await (const message of source) {
        if (message.payload.length === 1024) read++;
        if (read % 50_000 === 0) memory?.sample();
      }
      assertEquals(read, count);
    };
    await pass(20_000); // memory that the runtime itself takes the first time
    const memory = new MemoryWatch();
    await pass(200_000, memory);
    assertLess(200_000 * 1024, (await stat(path)).size);
    assertLess(buffered, 5 * MIB);
    assertLess(memory.growth, 64 * MIB);
  } finally {
    await rm(folder, { recursive: true });
  }
}, { timeout: 60_000 });

test("after a large message, small ones are read in pages as small as before", async () => {
  const large = record({ payload: "L".repeat(8 * MIB) });
  const small = Array.from(
    { length: 5_000 },
    (_, i) => record({ sequence: BigInt(i + 2), payload: "s".repeat(1_000) }),
  );
  const disk = diskOf(await fileOf([large, ...small]));
  await using source = await open(disk);
  let count = 0;
  let pinned = 0;
  for await (const { payload } of source) {
    if (count++ === 0) disk.largestRead = 0;
    else pinned = Math.max(pinned, payload.buffer.byteLength);
  }
  assertEquals(count, 5_001);
  assertLess(disk.largestRead, MIB);
  assertLess(pinned, MIB);
});
