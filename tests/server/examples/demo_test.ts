// Tests the demo as a program: its result, its terminal output, and its error messages.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { env, execPath } from "node:process";
import { fileURLToPath } from "node:url";
import { barLine } from "../../../examples/demo/progress.ts";
import { wrap } from "../../../examples/demo/screen.ts";
import { linesShown, noTerminal, Pty } from "../../support/cli/pty.ts";
import { runShell } from "../../support/cli/running.ts";
import { PROGRAM_FLAGS } from "../../support/run/invocation.ts";
import { afterAll, runtime, test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const folder = await mkdtemp(join(tmpdir(), "sea-demo-"));
afterAll(() => rm(folder, { recursive: true }));
const text = join(folder, "text.txt");
await writeFile(text, Array.from({ length: 300 }, (_, i) => `line ${i}\n`).join(""));
const demo = fileURLToPath(new URL("../../../examples/demo.ts", import.meta.url));

/** The command that runs the demo, for a shell. */
function command(...args: string[]): string {
  return [execPath, ...PROGRAM_FLAGS[runtime], demo, ...args].map((word) => `'${word}'`).join(" ");
}

test("the demo streams a file, shows a table without colors in a pipe, and deletes its stream", async () => {
  const { code, stdout, stderr } = await runShell(command(text), { REDIS_URL: server.url });
  assertEquals(code, 0, stderr);
  assertMatch(stderr, /^The server at REDIS_URL; /);
  assertStringIncludes(stderr, `300 lines from 1 text file ${text}`);
  assertMatch(stdout, /^messages +300 +300$/m);
  assertStringIncludes(stdout, "✓ All messages arrived in order, byte for byte: 300 at full speed");
  assert(!(stdout + stderr).includes("\x1b"), "no escapes");
  if (!env.REDIS_URL) assertEquals(await server.command("KEYS", "demo-*"), []);
}, { timeout: 60_000 });

for (
  const [title, variables] of [["with colors", {}], ["without colors if NO_COLOR is set", { NO_COLOR: "1" }]] as const
) {
  test(`the demo fits a terminal of 80 columns, ${title}`, async () => {
    await using terminal = new Pty(command(text), { env: { REDIS_URL: server.url, ...variables } });
    assertEquals(await terminal.ended, 0, terminal.shown);
    for (const line of linesShown(terminal.shown)) assert(line.length <= 80, line);
    assertMatch(terminal.shown, /received {2}[^\n]*100 %/);
    // deno-lint-ignore no-control-regex -- styles are what is looked for
    const styles = terminal.shown.match(/\x1b\[\d+m/g) ?? [];
    assertEquals(styles.length > 0, !("NO_COLOR" in variables), terminal.shown);
    assert(
      terminal.shown.lastIndexOf("\x1b[?25h") > terminal.shown.lastIndexOf("\x1b[?25l"),
      "the cursor is shown again",
    );
  }, { ignore: noTerminal, timeout: 60_000 });
}

test("a wrong REDIS_URL is reported at once and by name, without its password", async () => {
  const urls: [string, number][] = [
    ["http://:canary@localhost:6379", 2],
    ["localhost:6379", 2],
    ["redis://:canary@127.0.0.1:1", 1],
  ];
  for (const [url, expected] of urls) {
    const { code, stdout, stderr } = await runShell(command(), { REDIS_URL: url });
    assertEquals([code, stdout], [expected, ""], stderr);
    assertMatch(stderr, /^Cannot use REDIS_URL: [^\n]+\n$/);
    assert(!stderr.includes("canary"), stderr);
  }
}, { timeout: 60_000 });

test("the demo's bars fit every width", () => {
  const paint = (text: string) => text;
  for (let columns = 1; columns <= 120; columns++) {
    for (const seen of [0, 1_234, 1_000_000]) {
      const line = barLine({ name: "received", seen, rate: 234_567 }, { total: 1_000_000, columns, paint });
      assert(line.length < columns || columns === 1, `${columns}: ${line}`);
      if (columns >= 80) assertMatch(line, /^received {2}[█░]{20,30} {2}/);
    }
  }
  assertEquals(wrap("one two three four", 9), ["one two", "  three", "  four"]);
  assertEquals(wrap("a-word-too-long for it", 5), ["a-word-too-long", "  for", "  it"]);
});
