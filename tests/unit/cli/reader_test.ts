// Tests that consume acknowledges only messages that its reader can have received: it counts the bytes that the reader
// took, not those that consume wrote.

import { assertEquals, assertGreaterOrEqual, assertLessOrEqual } from "@std/assert";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { platform, tmpdir } from "node:os";
import { join } from "node:path";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";
import { run, runShell, shellCommand } from "../../support/cli/running.ts";

const server = await sharedServer();
const env = { REDIS_URL: server.url };

/** Bytes of a line, with its newline: a page of them is several times the size of a pipe. */
const LINE = 250;
const COUNT = 5_000;
/** The size of a pipe on Linux. Elsewhere it is smaller. */
const PIPE = 64 * 1024;

async function fill(key: string): Promise<void> {
  const command = (i: number) => ["XADD", key, `${i + 1}-0`, "msg", `${i + 1}`.padEnd(LINE - 1, ".")];
  for (let at = 0; at < COUNT; at += 1_000) {
    await server.commands(Array.from({ length: 1_000 }, (_, i) => command(at + i)));
  }
}

/** The number of acknowledged messages from the first one on. No later message may be acknowledged. */
async function ackedOf(key: string): Promise<number> {
  const [group] = await server.command("XINFO", "GROUPS", key) as [(string | number)[]]; // a checked border
  const field = (name: string) => group[group.indexOf(name) + 1];
  const delivered = Number(String(field("last-delivered-id")).split("-")[0]);
  const pending = Number(field("pending"));
  const rows = await server.command("XPENDING", key, "g", "-", "+", COUNT) as [string][]; // a checked border
  const ids = rows.map(([id]) => Number(id.split("-")[0])).sort((one, other) => one - other);
  assertEquals(
    ids,
    Array.from({ length: pending }, (_, i) => delivered - pending + 1 + i),
    "the last entries are pending",
  );
  return delivered - pending;
}

const READS: Readonly<Record<string, string>> = {
  "a byte": "bs=1 count=1",
  "a few lines": "bs=1000 count=1",
  "about the size of a pipe": "bs=1000 count=66",
  "several times the size of a pipe": "bs=4000 count=75",
};

for (const mode of ["resumable", "load-balanced"]) {
  for (const [name, read] of Object.entries(READS)) {
    test(
      `${mode}: when its reader exits after ${name}, at most a pipe of the acknowledged messages is unread`,
      async () => {
        const key = uniqueKey();
        await fill(key);
        const folder = await mkdtemp(join(tmpdir(), "sea-cli-"));
        try {
          const words = ["consume", key, "--mode", mode, "--group", "g", "--from", "beginning", "--batch-size", "1000"];
          const file = join(folder, "got");
          // dd writes exactly the bytes it has read, and reads no more than requested.
          const { code, stderr } = await runShell(`${shellCommand(words)} | dd ${read} of="$F" 2>/dev/null`, {
            ...env,
            F: file,
          });
          assertEquals(code, 0, stderr);
          const got = await readFile(file, "utf8");
          const lines = Math.floor(got.length / LINE);
          for (let i = 0; i < lines; i++) {
            assertEquals(got.slice(i * LINE, (i + 1) * LINE), `${`${i + 1}`.padEnd(LINE - 1, ".")}\n`);
          }
          const acked = await ackedOf(key);
          assertLessOrEqual(acked * LINE, got.length + PIPE);
          // Not all runtimes report how much of a failed write was taken.
          assertGreaterOrEqual(
            acked * LINE + PIPE,
            lines * LINE,
            "what the reader got is acknowledged, but for one write",
          );
          if (mode !== "resumable") return; // unread messages are claimed by others later
          const next = await run([...words, "--count", "1"], { env });
          assertEquals(
            Number(next.stdout.replaceAll(".", "")),
            acked + 1,
            "unacknowledged messages are redelivered",
          );
        } finally {
          await rm(folder, { recursive: true });
        }
      },
      { ignore: platform() === "win32", timeout: 60_000 },
    );
  }
}
