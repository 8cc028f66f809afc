// Tests that no message, name or error can control a terminal, and that pipes get the bytes unchanged. The terminal is a real
// one.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ByteBuilder } from "../../../streamer/cli/byte_builder.ts";
import { Progress } from "../../../streamer/cli/screen/progress.ts";
import { escapedJson, escapedText, escapedWriter, writeLine } from "../../../streamer/cli/screen/terminal.ts";
import { MessageSink } from "../../../streamer/file/mod.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { afterAll, test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";
import { noTerminal } from "../../support/cli/pty.ts";
import { type Ended, run, runShell, shellCommand } from "../../support/cli/running.ts";

const server = await sharedServer();
const env = { REDIS_URL: server.url };
const folder = await mkdtemp(join(tmpdir(), "sea-cli-"));
afterAll(() => rm(folder, { recursive: true }));

const ignore = noTerminal;
const utf8 = new TextEncoder();

/** Sets the title, clears the screen, hides later text: as C0, as C1, and as a byte that is not UTF-8. */
const HOSTILE = "a\x1b]0;owned\x07\x1b[2J\b\r\n\t\x7f\u009b31m\u0085\u202eb";
const SHOWN = String.raw`a\x1b]0;owned\x07\x1b[2J\x08\x0d\x0a\x09\x7f\x9b31m\x85\u202eb`;
const BROKEN = new Uint8Array([...utf8.encode("ü"), 0x9b, 0x33, 0x31, 0x6d, 0xc3, 0xe2, 0x82, 0x1b, 0xff]);
const BROKEN_SHOWN = "ü" + String.raw`\x9b31m\xc3\xe2\x82\x1b\xff`;

/** Runs it in a terminal. Both of its outputs are the terminal's, unless the command line redirects one. */
async function onTerminal(words: readonly string[], redirection = ""): Promise<Ended> {
  const line = `stty cols 200 2>/dev/null; exec ${shellCommand(words)} ${redirection}`;
  return await runShell(`script -qec "$LINE" /dev/null`, { ...env, LINE: line, NO_COLOR: "1", SHELL: "/bin/sh" });
}

/** The lines that a terminal received. It must have received nothing else. */
function plainLines({ stdout }: Pick<Ended, "stdout">): string[] {
  const lines = stdout.replaceAll("\r\n", "\n").split("\n");
  // deno-lint-ignore no-control-regex -- control characters are what is looked for
  for (const line of lines) assert(!/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\ufffd]/.test(line), JSON.stringify(line));
  assertEquals(lines.pop(), "");
  return lines;
}

async function hostileStream(): Promise<string> {
  const key = uniqueKey();
  await server.command("XADD", key, "1-0", "msg", HOSTILE, "h\x1b\u009b", "v\x07");
  await server.command("XADD", key, "2-0", "msg", BROKEN);
  await server.command("XADD", key, "3-0", "msg", "plain grün \u{1f600}");
  return key;
}

test("consume shows control characters of payloads as escapes on a terminal, one line a message", async () => {
  const key = await hostileStream();
  const words = ["consume", key, "--from", "beginning", "--count", "3"];
  const shown = await onTerminal(words, "2>/dev/null");
  assertEquals(plainLines(shown), [SHOWN, BROKEN_SHOWN, "plain grün \u{1f600}"]);
  const piped = await run(words, { env });
  assertEquals(
    piped.bytes,
    new Uint8Array([...utf8.encode(`${HOSTILE}\n`), ...BROKEN, ...utf8.encode("\nplain grün \u{1f600}\n")]),
  );
}, { ignore });

test("lines of JSON stay the same JSON on a terminal, without control characters: consume and dump", async () => {
  const key = await hostileStream();
  for (const words of [["consume", key, "--from", "beginning", "--count", "3", "--json"], ["dump", key]]) {
    const shown = plainLines(await onTerminal(words, "2>/dev/null"));
    const piped = await run(words, { env });
    assertStringIncludes(piped.stdout, "\u009b"); // JSON does not require an escape for it
    assertEquals(
      shown.map((line) => JSON.parse(line)),
      piped.stdout.trimEnd().split("\n").map((line) => JSON.parse(line)),
    );
  }
}, { ignore });

test("decode shows control characters of payloads as escapes on a terminal, as log and as JSON", async () => {
  const path = join(folder, `${uniqueKey()}.ss`);
  {
    await using sink = await MessageSink.create(path);
    sink.write({ streamKey: "orders", shardId: 0, sequence: 1n, timestamp: 1n, payload: utf8.encode(HOSTILE) });
    sink.write({ streamKey: "orders", shardId: 0, sequence: 2n, timestamp: 2n, payload: BROKEN });
    sink.write({
      streamKey: "orders",
      shardId: 0,
      sequence: 3n,
      timestamp: 3n,
      payload: utf8.encode('{"a":\t"\x7f"}'),
    });
  }
  const log = plainLines(await onTerminal(["decode", path], "2>/dev/null"));
  assertEquals(log.filter((line) => line.startsWith("[")), [
    `[1970-01-01T00:00:00.001Z | orders | 1 | 0] ${SHOWN}`,
    "[1970-01-01T00:00:00.002Z | orders | 2 | 0] <BINARY BLOB>",
    String.raw`[1970-01-01T00:00:00.003Z | orders | 3 | 0] {"a":\x09"\x7f"}`,
  ]);
  const piped = await run(["decode", path]);
  assertStringIncludes(piped.stdout, HOSTILE);
  const words = ["decode", path, "--format", "ndjson"];
  const shown = (await onTerminal(words, "2>/dev/null")).stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assertEquals(shown, (await run(words)).stdout.trimEnd().split("\n").map((line) => JSON.parse(line)));
}, { ignore });

test(
  "info shows control characters of groups and consumers as escapes on a terminal, in the table and as JSON",
  async () => {
    const key = uniqueKey("shown");
    const [group, consumer] = ["g\x1b[2J\u009b", "c\x1b]0;owned\x07"];
    await server.command("XADD", key, "1-0", "msg", "x");
    await server.command("XGROUP", "CREATE", key, group, "0");
    await server.command("XREADGROUP", "GROUP", group, consumer, "COUNT", "1", "STREAMS", key, ">");
    const table = plainLines(await onTerminal(["info", key])).join("\n");
    assertStringIncludes(table, String.raw`g\x1b[2J\x9b`);
    assertStringIncludes(table, String.raw`c\x1b]0;owned\x07`);
    const names = (line: string) => {
      const { streams: [{ groups: [{ name, consumers }] }] } = JSON.parse(line);
      return [name, consumers[0].name];
    };
    const [line] = plainLines(await onTerminal(["info", key, "--json"]));
    assertEquals(names(line), [group, consumer]);
    const piped = await run(["info", key, "--json"], { env });
    assertEquals(names(piped.stdout), [group, consumer]);
  },
  { ignore },
);

test("stderr is escaped on a terminal, and only there", async () => {
  const missing = join(folder, "none\x1b]0;owned\x07\u009b");
  const shown = plainLines(await onTerminal(["restore", missing], ">/dev/null"));
  assertMatch(shown[0], /^sea-streamer: Cannot read .*none\\x1b\]0;owned\\x07\\x9b: /);
  const verbose = plainLines(await onTerminal(["restore", missing, "--verbose"], ">/dev/null"));
  assertMatch(verbose[1], /^ {2}caused by: .*none\\x1b/);
  const piped = await run(["restore", missing], { env });
  assertStringIncludes(piped.stderr, missing);
}, { ignore });

test("notes about groups with hostile names are escaped on a terminal", async () => {
  const key = uniqueKey();
  const group = "g\x1b[2J\u009b";
  await server.command("XADD", key, "1-0", "msg", "first");
  const out = join(folder, uniqueKey("out"));
  const words = ["consume", key, "--mode", "resumable", "--group", group, "--from", "beginning", "--count", "2"];
  const ended = onTerminal(words, `>'${out}'`);
  await until(async () => (await readFile(out, "utf8").catch(() => "")).includes("first"));
  await server.command("XGROUP", "DESTROY", key, group);
  await server.command("XADD", key, "2-0", "msg", "second");
  const { stdout, code } = await ended;
  assertEquals(code, 0, stdout);
  // Progress is drawn there, too: by a carriage return and a sequence that clears the rest of the line.
  // deno-lint-ignore no-control-regex -- it is what is looked for
  const notes = plainLines({ stdout: stdout.replace(/\r(?!\n)[^\r]*?\x1b\[K/g, "") });
  assert(notes.some((line) => line.includes(String.raw`Group g\x1b[2J\x9b of ${key} was missing`)), stdout);
}, { ignore });

test("bytes for a terminal: a table of the escapes", () => {
  const table: readonly (readonly [Uint8Array, string, string | undefined])[] = [
    [utf8.encode("plain ~"), "plain ~", "plain ~"],
    [utf8.encode("grün \u{1f600}"), "grün \u{1f600}", "grün \u{1f600}"],
    [utf8.encode("\x00\x1f\x7f"), String.raw`\x00\x1f\x7f`, String.raw`\u0000\u001f\u007f`],
    [utf8.encode("\u0080\u009f\u00a0"), `${String.raw`\x80\x9f`}\u00a0`, `${String.raw`\u0080\u009f`}\u00a0`],
    [utf8.encode("\u2028\u202e\u2066"), String.raw`\u2028\u202e\u2066`, String.raw`\u2028\u202e\u2066`],
    [utf8.encode("\t\n"), String.raw`\x09\x0a`, "\t\n"],
    [utf8.encode("\ufeff"), "\ufeff", "\ufeff"],
    [BROKEN, BROKEN_SHOWN, undefined],
    [new Uint8Array([0xf0, 0x9f, 0x98]), String.raw`\xf0\x9f\x98`, undefined],
    [new Uint8Array([0xc0, 0x9b, 0xed, 0xa0, 0x80]), String.raw`\xc0\x9b\xed\xa0\x80`, undefined],
    [new Uint8Array([0xf8, 0x41, 0x80]), String.raw`\xf8A\x80`, undefined],
  ];
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  for (const [bytes, text, json] of table) {
    assertEquals(decoder.decode(escapedText(bytes)), text);
    if (json !== undefined) assertEquals(decoder.decode(escapedJson(bytes)), json);
  }
  const out = new ByteBuilder();
  escapedWriter((line: ByteBuilder, text: string) => line.text(text), escapedText)(out, "a\n\n");
  assertEquals(decoder.decode(out.content), `a${String.raw`\x0a`}\n`);
});

test("notes, the end of progress and lines are escaped on a terminal, and unchanged elsewhere", () => {
  for (const isTerminal of [true, false]) {
    let written = "";
    const screen = { isTerminal, columns: 80, rows: 24, write: (more: string) => void (written += more) };
    const progress = new Progress({ screen, shown: false, quiet: false, noun: "message", now: () => 1_000 });
    progress.note("from c\x1b\n");
    progress.end("Sent", ["\u009b"]);
    writeLine(screen, "\x07");
    const [esc, newline, csi, bell] = isTerminal
      ? ["\\x1b", "\\x0a", "\\x9b", "\\x07"]
      : ["\x1b", "\n", "\u009b", "\x07"];
    assertEquals(written, `from c${esc}${newline}\nSent 0 messages, 0 B in 1 ms; ${csi}\n${bell}\n`);
  }
});
