// Tests commands that a user watches or types at, in a real terminal: `info --watch` with a server that comes and goes, and
// `produce` from the keyboard.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { shellCommand } from "../../support/cli/running.ts";
import { linesShown, noTerminal, Pty } from "../../support/cli/pty.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { OWN } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { canStartServers, sharedServer, startServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const ignore = noTerminal;
const owned = ignore || !await canStartServers();

const ENTER = "\x1b[?1049h";
const LEAVE = "\x1b[?1049l";

/** Asserts that the command ended with the terminal as it was before. */
function assertRestored({ shown }: Pty): void {
  assert(shown.includes(ENTER), shown);
  assert(shown.trimEnd().endsWith(`\x1b[?25h${LEAVE}`), JSON.stringify(shown.slice(-200)));
}

for (const [name, key] of [["q", "q"], ["Ctrl-C", "\u0003"]] as const) {
  test(`info --watch shows that its server is away, recovers, and quits on ${name} in both states`, async () => {
    for (const away of [false, true]) {
      await using own = await startServer();
      await own.command("XADD", "watched", "*", "msg", "x");
      await using terminal = new Pty(shellCommand(["info", own.url, "--watch=0.1"]));
      await terminal.until((shown) => /watched\S* +1\b/.test(linesShown(shown).join("\n")));
      await own.kill("SIGKILL");
      await terminal.until((shown) => /The server is away for [\d.]+ m?s, trying again: /.test(shown));
      // The figures stay, and the time without the server is counted.
      await terminal.until((shown) => /The server is away for [1-9][\d.]* s,/.test(shown));
      if (!away) {
        await own.restart();
        await own.command("XADD", "back", "*", "msg", "x");
        await terminal.until((shown) => {
          const screens = shown.split("\x1b[H");
          return screens.some((screen) => screen.includes("back") && !screen.includes("is away"));
        });
      }
      const before = Date.now();
      terminal.type(key);
      assertEquals(await terminal.ended, 0, terminal.shown);
      assertRestored(terminal);
      for (const line of linesShown(terminal.shown)) assert(line.length <= 80, line);
      assert(Date.now() - before < 5_000, "it quits without waiting for the server");
    }
  }, { oneServer: OWN, ignore: owned, timeout: 90_000 });
}

test("info --watch shows that a server does not answer, and quits", async () => {
  await using own = await startServer();
  await own.command("XADD", "watched", "*", "msg", "x");
  await using terminal = new Pty(shellCommand(["info", own.url, "--watch=0.1"]));
  await terminal.until((shown) => shown.includes("watched"));
  await own.kill("SIGSTOP");
  await terminal.until((shown) => /No answer for [\d.]+ s/.test(shown));
  terminal.type("q");
  assertEquals(await terminal.ended, 0, terminal.shown);
  assertRestored(terminal);
  await own.kill("SIGCONT");
}, { oneServer: OWN, ignore: owned, timeout: 60_000 });

test("info --watch restores the terminal after a fatal error", async () => {
  await using own = await startServer();
  await own.command("ACL", "SETUSER", "reader", "on", ">p", "~*", "+@all");
  await own.command("XADD", "watched", "*", "msg", "x");
  const url = own.url.replace("redis://", "redis://reader:p@");
  await using terminal = new Pty(shellCommand(["info", `${url}/watched`, "--watch=0.1"]));
  await terminal.until((shown) => shown.includes("watched"));
  await own.command("ACL", "SETUSER", "reader", "-xinfo");
  assertEquals(await terminal.ended, 1, terminal.shown);
  const after = terminal.shown.split(LEAVE)[1];
  assertMatch(after, /^sea-streamer: [^\n]*NOPERM/);
}, { oneServer: OWN, ignore: owned, timeout: 60_000 });

test("typed input of produce is not overwritten by progress, and Ctrl-D ends the input", async () => {
  const key = uniqueKey();
  await using terminal = new Pty(shellCommand(["produce", key]), { env: { REDIS_URL: server.url } });
  await terminal.until((shown) => shown.includes("Ctrl-D"));
  terminal.type("first line\n");
  await until(async () => await server.command("XLEN", key) === 1);
  terminal.type("half a li");
  await terminal.until((shown) => shown.includes("half a li"));
  await new Promise((resolve) => setTimeout(resolve, 700)); // several redraws of progress
  terminal.type("ne\n\u0004");
  assertEquals(await terminal.ended, 0, terminal.shown);
  const [hint, ...lines] = linesShown(terminal.shown).filter((line) => line !== "");
  assertEquals(hint, "Type one message per line. Ctrl-D ends the input");
  assertEquals(lines.slice(0, 2), ["first line", "half a line"]);
  assertMatch(lines[2], /^Produced 2 messages, 21 B in /);
  assert(!terminal.shown.includes("\x1b[K"), JSON.stringify(terminal.shown));
  assertEquals(await server.command("XLEN", key), 2);
}, { ignore, timeout: 60_000 });

test("produce draws progress on a terminal while its input comes from a pipe", async () => {
  const key = uniqueKey();
  const folder = await mkdtemp(join(tmpdir(), "sea-cli-"));
  try {
    const go = join(folder, "go");
    // The input stays open until the file exists.
    const line = `sh -c '(echo one; until [ -e ${go} ]; do sleep 0.1; done; echo two) | "$@"' sh ` +
      shellCommand(["produce", key]);
    await using terminal = new Pty(line, { env: { REDIS_URL: server.url } });
    await terminal.until((shown) => shown.includes("\x1b[K"));
    await writeFile(go, "");
    assertEquals(await terminal.ended, 0, terminal.shown);
    assert(!terminal.shown.includes("Ctrl-D"), terminal.shown);
    assertMatch(terminal.shown, /Produced 2 messages, /);
  } finally {
    await rm(folder, { recursive: true });
  }
}, { ignore, timeout: 60_000 });
