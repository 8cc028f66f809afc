// Tests what `info` and `decode` show, once and live, and `trim`.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { runCommandLine } from "../../../streamer/cli/main.ts";
import { Progress, progressText } from "../../../streamer/cli/screen/progress.ts";
import { Rates } from "../../../streamer/cli/screen/rates.ts";
import type { OnKey, System } from "../../../streamer/cli/system.ts";
import { infoTable } from "../../../streamer/cli/screen/table.ts";
import { uniqueKey } from "../../support/keys.ts";
import { OWN } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { canStartServers, sharedServer, startServer } from "../../support/servers/server.ts";
import { run, Running } from "../../support/cli/running.ts";

const server = await sharedServer();
const env = { REDIS_URL: server.url };
const golden = (name: string) => fileURLToPath(new URL(`../../fixtures/golden/${name}`, import.meta.url));

async function fill(key: string, count: number): Promise<void> {
  await server.commands(Array.from({ length: count }, (_, i) => ["XADD", key, `${i + 1}-0`, "msg", "x"]));
}

test("info shows streams, groups and consumers as JSON and as a table", async () => {
  const key = uniqueKey("shown");
  await fill(key, 10);
  await server.command("XGROUP", "CREATE", key, "billing", "0");
  await server.command("XREADGROUP", "GROUP", "billing", "worker-1", "COUNT", "4", "STREAMS", key, ">");
  const { code, stdout } = await run(["info", key, "--json"], { env });
  assertEquals(code, 0);
  const { streams: [stream] } = JSON.parse(stdout);
  assertEquals([stream.stream, stream.length, stream.firstId, stream.lastId], [key, 10, "1-0", "10-0"]);
  const [group] = stream.groups;
  assertEquals([group.name, group.pending, group.consumers[0].name, group.consumers[0].pending], [
    "billing",
    4,
    "worker-1",
    4,
  ]);
  const all = await run(["info", "--match", `${key}*`], { env });
  assertMatch(all.stdout, new RegExp(`^stream +entries +lag +pending +oldest +idle`));
  assertMatch(all.stdout, new RegExp(`^${key} +10$`, "m"));
  assertMatch(all.stdout, /^└ billing +(6|\?) +4 /m);
  assertMatch(all.stdout, /^ {2}└ worker-1 +4 /m);
  assert(!all.stdout.includes("\x1b"), "no colours where it is no terminal");
  const missing = await run(["info", uniqueKey()], { env });
  assertEquals(missing.code, 1);
  assertStringIncludes(missing.stderr, "does not exist");
});

test("trim removes the requested entries of every shard, and reports their number", async () => {
  const [plain, sharded] = [uniqueKey(), uniqueKey()];
  await fill(plain, 100);
  for (const shard of [0, 1]) await fill(`${sharded}:${shard}`, 50);
  const cut = await run(["trim", `${plain},${sharded}`, "--max-length", "10", "--exact"], { env });
  assertEquals(
    [cut.code, cut.stdout],
    [0, `${plain}: 90 entries removed\n${sharded}: 80 entries removed\n`],
    cut.stderr,
  );
  const timed = await run(["trim", plain, "--min-time", "96", "--exact", "--json"], { env });
  assertEquals(JSON.parse(timed.stdout), { stream: plain, removed: 5 });
  await server.command("XGROUP", "CREATE", plain, "g", "98-0");
  const acked = await run(["trim", plain, "--acknowledged", "--exact"], { env });
  assertEquals(acked.stdout, `${plain}: 3 entries removed\n`);
});

/** A process that is not there, with a terminal. */
class FakeTerminal {
  shown = "";
  columns = 80;
  readonly interrupting = new AbortController();
  #onKey: OnKey = () => {};
  #wake = Promise.withResolvers<void>();

  press(key: string): void {
    this.#onKey(key);
  }

  async until(condition: (shown: string) => boolean): Promise<void> {
    while (!condition(this.shown)) await this.#wake.promise;
  }

  system(args: readonly string[], variables: Readonly<Record<string, string>>): System {
    const write = (text: string) => {
      this.shown += text;
      this.#wake.resolve();
      this.#wake = Promise.withResolvers();
    };
    const columns = this.columns;
    const screen = { isTerminal: true, columns, rows: 24, write };
    const refuse = () => Promise.reject(new Error("not here"));
    return {
      args,
      signal: this.interrupting.signal,
      stdin: { isTerminal: false, size: undefined, read: () => Promise.resolve(0), close: () => Promise.resolve() },
      stdout: {
        isTerminal: true,
        write: (bytes) => {
          write(new TextDecoder().decode(bytes));
          return Promise.resolve(bytes.length);
        },
      },
      stderr: screen,
      screen,
      env: (name) => variables[name],
      parse: (words, options) => parseArgs({ args: [...words], options, allowPositionals: true }),
      readText: refuse,
      openFile: refuse,
      newFile: refuse,
      writeFile: refuse,
      listenToKeys: (onKey) => {
        this.#onKey = onKey;
        return () => this.#onKey = () => {};
      },
      now: () => Date.now(),
    };
  }
}

for (const key of ["q", "\u0003"]) {
  test(`info --watch draws a live table on a terminal, with new entries, and restores the screen at ${JSON.stringify(key)}`, async () => {
    const stream = uniqueKey("watched");
    await fill(stream, 10);
    const terminal = new FakeTerminal();
    const ended = runCommandLine(terminal.system(["info", stream, "--watch=0.05"], env));
    await terminal.until((shown) => shown.includes(stream));
    await server.command("XADD", stream, "*", "msg", "x");
    await terminal.until((shown) => shown.split("\x1b[32m").some((text) => /^[1-9]/.test(text))); // a rate, in green
    terminal.press(key);
    assertEquals(await ended, 0, terminal.shown);
    assert(terminal.shown.startsWith("\x1b[?1049h\x1b[?25l"), "the other screen");
    assert(terminal.shown.endsWith("\x1b[?25h\x1b[?1049l"), "the terminal as it was");
    assertStringIncludes(terminal.shown, `\x1b[1m${stream}\x1b[0m`);
  });
}

test("info --watch ends on a signal with its code, restores the terminal, and has no colors with NO_COLOR", async () => {
  const stream = uniqueKey("watched");
  await fill(stream, 10);
  const terminal = new FakeTerminal();
  const ended = runCommandLine(terminal.system(["info", stream, "--watch", "0.05"], { ...env, NO_COLOR: "1" }));
  await terminal.until((shown) => shown.includes(stream));
  const { Interrupted } = await import("../../../streamer/cli/system.ts");
  terminal.interrupting.abort(new Interrupted("SIGTERM"));
  assertEquals(await ended, 143, terminal.shown);
  assert(terminal.shown.endsWith("\x1b[?25h\x1b[?1049l"), "the terminal as it was");
  assert(!terminal.shown.includes("\x1b[1m"), "no colours");
});

test("info --watch in a pipe survives an outage of its server, and reports it on stderr", async () => {
  await using own = await startServer();
  await own.command("XADD", "watched", "*", "msg", "x");
  await using watching = new Running(["info", own.url, "--watch=0.05", "--json"]);
  const lengths = () => watching.stdout.split("\n").slice(0, -1).map((line) => JSON.parse(line).streams[0]?.length);
  await watching.until(() => lengths().includes(1));
  await own.kill("SIGKILL");
  await watching.until(({ stderr }) => stderr.includes("lost, reconnecting: "));
  await own.restart();
  await own.commands([["XADD", "watched", "*", "msg", "x"], ["XADD", "watched", "*", "msg", "x"]]);
  await watching.until(() => lengths().includes(2));
  assertMatch(watching.stderr, /Connection to [^\n]+ restored\n/);
  watching.signal("SIGTERM");
  assertEquals((await watching.ended).code, 143);
}, { oneServer: OWN, ignore: !await canStartServers(), timeout: 60_000 });

test("the table fits the width: columns are dropped, names are shortened, control characters are escaped", () => {
  const info = {
    length: 1_234_567,
    firstId: "1-0",
    lastId: "2-0",
    groups: [{
      name: "a-group-with-a-name-that-is-rather-long",
      lag: null,
      pending: 3,
      lastDeliveredId: "1-0",
      oldestPendingAge: 700_000,
      consumers: [{ name: "consumer\x1b[2J", pending: 3, idle: 1_500, inactive: null }],
    }],
  };
  const rates = new Rates();
  rates.add([{ name: "orders", info, added: 100 }], 0);
  rates.add([{ name: "orders", info, added: 350 }], 1_000);
  assertEquals(rates.of("orders"), 250);
  for (const columns of [30, 50, 80, 200]) {
    const lines = infoTable([{ name: "orders", info }], { columns, color: false, rates });
    assert(lines.every((line) => line.length <= columns), `${columns}: ${lines.join("\n")}`);
    assert(!lines.join("").includes("\x1b"), "no escapes");
  }
  const wide = infoTable([{ name: "orders", info }], { columns: 200, color: false, rates }).join("\n");
  assertMatch(wide, /^orders +1,234,567 +250 +█$/m);
  assertMatch(wide, /a-group-with-a-name-that-is-rather-long +\? +3 +12 min/);
  assertStringIncludes(infoTable([{ name: "orders", info }], { columns: 50, color: false }).join("\n"), "…");
  assertEquals(infoTable([], { columns: 80, color: true }), ["No streams"]);
});

test("progress shows count, bytes, rate and, if known, the time left; nothing if it is quiet", () => {
  const text = progressText({ count: 25_000, bytes: 5_000_000, total: 100_000 }, {
    noun: "entry",
    speed: 12_500,
    took: 2_000,
  });
  assertEquals(text, "25,000 entries  5.0 MB  12,500/s  █████░░░░░░░░░░░░░░░ 25 %  0:06 left");
  const open = progressText({ count: 1, bytes: 10 }, { noun: "message", speed: 0.5, took: 61_000 });
  assertEquals(open, "1 message  10 B  0.5/s  1:01");
  let written = "";
  const screen = { isTerminal: true, columns: 80, rows: 24, write: (more: string) => void (written += more) };
  const options = { screen, shown: false, noun: "message", now: () => 1_000 };
  new Progress({ ...options, quiet: true }).end("Sent");
  assertEquals(written, "");
  new Progress({ ...options, quiet: false }).end("Sent", ["one more"]);
  assertMatch(written, /^Sent 0 messages, 0 B in 1 ms; one more\n$/);
});

test("decode prints golden files, as text with header and beacons and as JSON", async () => {
  const log = await run(["decode", golden("g1024.ss")]);
  assertEquals(log.code, 0, log.stderr);
  const lines = log.stdout.trimEnd().split("\n");
  assertEquals(JSON.parse(lines[0].slice(2)), {
    file_name: "g.ss",
    created_at: "2023-11-14T22:13:20.000Z",
    beacon_interval: 1024,
  });
  assertEquals(lines[1], "[2023-11-14T22:13:20.000Z | k0 | 0 | 0] payload-00payload-00");
  const beacons = lines.slice(1).filter((line) => line.startsWith("#"));
  assertEquals(beacons.length, 2);
  assertStringIncludes(beacons[0], `{"stream_key":"k0","shard_id":0,"sequence":12,`);
  assertStringIncludes(beacons[0], `"running_checksum":40209}`);
  assertEquals(lines.length, 1 + 40 + 2);
  const json = await run(["decode", golden("g1024-eos.ss"), "--format", "ndjson"]);
  assertEquals(json.stdout.trimEnd().split("\n").map((line) => JSON.parse(line))[39], {
    header: { stream_key: "k1", shard_id: 0, sequence: 39, timestamp: "2023-11-14T22:13:20.039Z" },
    payload: "payload-39payload-39",
  });
  const header = await run(["decode", golden("tiny.ss"), "--header-only", "--format", "ndjson"]);
  assertEquals(JSON.parse(header.stdout).file_name, "demo.ss");
  const big = await run(["decode", golden("empty-payload.ss")]);
  assertStringIncludes(big.stdout, "| 18446744073709551615 | 18446744073709551615]");
});

test("decode prints all messages before a truncated or corrupt place, then its offset, with exit code 1", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sea-cli-"));
  try {
    const whole = await readFile(golden("g1024.ss"));
    const path = join(folder, "torn.ss");
    await writeFile(path, whole.subarray(0, whole.length - 5));
    const torn = await run(["decode", path, "--format", "ndjson"]);
    assertEquals([torn.code, torn.stdout.trimEnd().split("\n").length], [1, 39]);
    assertMatch(torn.stderr, /^sea-streamer: [^\n]*torn\.ss[^\n]* byte \d+[^\n]*\n$/);
    const changed = new Uint8Array(whole);
    changed[170] ^= 1; // in the first payload
    await writeFile(path, changed);
    const corrupt = await run(["decode", path]);
    assertEquals(corrupt.code, 1);
    assertMatch(corrupt.stderr, / byte 128/);
    await writeFile(path, "no such file");
    assertEquals((await run(["decode", path])).code, 1);
    assertEquals((await run(["decode", join(folder, "none.ss")])).code, 1);
  } finally {
    await rm(folder, { recursive: true });
  }
});
