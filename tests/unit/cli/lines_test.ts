// Tests lines of JSON as editors save them: with a byte order mark, empty lines, CRLF, and without a newline at the
// end.

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lineOfJson } from "../../../streamer/cli/formats/lines.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer, startServer } from "../../support/servers/server.ts";
import { run } from "../../support/cli/running.ts";

const server = await sharedServer();
const env = { REDIS_URL: server.url };

/** Ways in which lines are saved. */
const WAYS: Readonly<Record<string, (lines: readonly string[]) => string>> = {
  "a byte order mark": (lines) => `\ufeff${lines.join("\n")}\n`,
  "a byte order mark before an empty line": (lines) => `\ufeff\n${lines.join("\n")}\n`,
  "a byte order mark in each of two files": ([first, ...rest]) => `\ufeff${first}\n\ufeff${rest.join("\n")}\n`,
  "empty lines": (lines) => `\n\n${lines.join("\n\n")}\n\n`,
  "lines of white space": (lines) => `  \n${lines.join("\n\t \n")}\n \n`,
  "CRLF": (lines) => `${lines.join("\r\n")}\r\n`,
  "CRLF and empty lines, as Windows saves them": (lines) => `\ufeff${lines.join("\r\n\r\n")}\r\n\r\n`,
  "no newline at the end": (lines) => lines.join("\n"),
  "no newline and a carriage return at the end": (lines) => `${lines.join("\r\n")}\r`,
};

for (const [name, saved] of Object.entries(WAYS)) {
  test(`produce --json and restore read all lines of a file with ${name}`, async () => {
    const [from, copy, sent] = [uniqueKey(), uniqueKey(), uniqueKey()];
    for (let i = 1; i <= 3; i++) await server.command("XADD", from, `${i}-0`, "msg", `${i}`, "h", "\ufeff\r");
    const dumped = await run(["dump", from], { env });
    const input = saved(dumped.stdout.trimEnd().split("\n"));
    const restored = await run(["restore", "-", copy], { env, input });
    assertEquals(restored.code, 0, restored.stderr);
    assertMatch(restored.stderr, /^Restored 3 entries, /);
    assertEquals(
      await server.commandBytes("XRANGE", copy, "-", "+"),
      await server.commandBytes("XRANGE", from, "-", "+"),
    );
    const lines = ["a", "b", "c"].map((payload) => JSON.stringify({ payload }));
    const produced = await run(["produce", sent, "--json"], { env, input: saved(lines) });
    assertEquals(produced.code, 0, produced.stderr);
    assertMatch(produced.stderr, /^Produced 3 messages, /);
    const entries = await server.command("XRANGE", sent, "-", "+") as [string, string[]][]; // a checked border
    assertEquals(entries.map(([, fields]) => fields), [["msg", "a"], ["msg", "b"], ["msg", "c"]]);
  });
}

test("skipped lines count: an error has the line number that an editor shows", async () => {
  const input = `\ufeff\r\n\r\n{"payload":"a"}\r\n\r\n{"payload":1}\r\n`;
  const { code, stderr } = await run(["produce", uniqueKey(), "--json"], { env, input });
  assertEquals(code, 1);
  assertStringIncludes(stderr, "Invalid line 5: the payload must be a string");
  const dump = `\n\ufeff\n{"stream":"a","shard":0,"key":"a","id":"1-0","fields":[["msg","b"]]}\n{\n`;
  const restored = await run(["restore", "-", uniqueKey()], { env, input: dump });
  assertEquals(restored.code, 1);
  assertStringIncludes(restored.stderr, "line 4: it must be JSON");
});

test("without --json lines are sent as they are, also empty ones and a byte order mark", async () => {
  const key = uniqueKey();
  const input = "\ufeffa\r\n\n";
  const { code, stderr } = await run(["produce", key], { env, input });
  assertEquals(code, 0, stderr);
  const consumed = await run(["consume", key, "--from", "beginning", "--count", "2"], { env });
  assertEquals(consumed.bytes, new TextEncoder().encode(input));
});

test("an input of a byte order mark and empty lines has no message, and is no error", async () => {
  for (const input of ["", "\ufeff", "\ufeff\r\n", "\n\n"]) {
    for (const words of [["produce", uniqueKey(), "--json"], ["restore", "-", uniqueKey()]]) {
      const { code, stderr } = await run(words, { env, input });
      assertEquals(code, 0, stderr);
      assertMatch(stderr, /^(Produced 0 messages|Restored 0 entries), /);
    }
  }
}, { timeout: 60_000 });

test("a password file may begin with a byte order mark and end with CRLF", async () => {
  await using own = await startServer({ password: "canary-99" });
  const folder = await mkdtemp(join(tmpdir(), "sea-cli-"));
  try {
    const path = join(folder, "password");
    await writeFile(path, "\ufeffcanary-99\r\n");
    const url = `redis://127.0.0.1:${own.port}`;
    const { code, stderr } = await run(["info", url, "--password-file", path], {});
    assertEquals(code, 0, stderr);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("a line of JSON is read without its mark, and only white space is empty", () => {
  const table: readonly (readonly [string, string | undefined])[] = [
    ["{}", "{}"],
    ["\ufeff{}", "{}"],
    ["\ufeff\ufeff{}", "\ufeff{}"],
    [" {}\r", " {}\r"],
    ["", undefined],
    ["\r", undefined],
    ["\ufeff", undefined],
    ["\ufeff \t\r", undefined],
    ["\u00a0", "\u00a0"],
    ["\v", "\v"],
  ];
  for (const [line, expected] of table) {
    const bare = lineOfJson(new TextEncoder().encode(line));
    assertEquals(bare === undefined ? undefined : new TextDecoder("utf-8", { ignoreBOM: true }).decode(bare), expected);
  }
});
