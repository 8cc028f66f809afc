// Tests that lines become messages and messages become lines, byte for byte, and that exactly the written messages are
// acknowledged, however the command ends.

import { assertEquals, assertGreater, assertMatch, assertStringIncludes } from "@std/assert";
import { readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { kill } from "node:process";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import type { Reply } from "../../support/servers/server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";
import { run, Running, runShell, shellCommand } from "../../support/cli/running.ts";

const server = await sharedServer();
const env = { REDIS_URL: server.url };

/** Ids and fields as text. */
async function entriesOf(key: string): Promise<[string, string[]][]> {
  // A checked border: XRANGE gives ids and fields.
  return await server.command("XRANGE", key, "-", "+") as [string, string[]][];
}

async function fill(key: string, count: number, size = 100): Promise<void> {
  for (let at = 0; at < count; at += 1_000) {
    const some = Array.from({ length: Math.min(1_000, count - at) }, (_, i) => [
      "XADD",
      key,
      `${at + i + 1}-0`,
      "msg",
      `${at + i + 1}`.padEnd(size, "."),
    ]);
    await server.commands(some);
  }
}

/** What XINFO GROUPS says of the one group. */
async function groupOf(key: string): Promise<Record<string, Reply>> {
  const reply = await server.command("XINFO", "GROUPS", key);
  const [group] = Array.isArray(reply) ? reply : [];
  const flat = Array.isArray(group) ? group : [];
  const pairs: [string, Reply][] = [];
  for (let i = 0; i < flat.length; i += 2) pairs.push([String(flat[i]), flat[i + 1]]);
  return Object.fromEntries(pairs);
}

function countOf(stderr: string, verb: string): number {
  return Number(new RegExp(`${verb} ([\\d,]+) `).exec(stderr)?.[1].replaceAll(",", "") ?? NaN);
}

test("lines are sent as they are, whatever bytes they have, and come out as they went in", async () => {
  const key = uniqueKey();
  const lines = [[], [0xff, 0xfe, 0], [0x0d], [...new TextEncoder().encode("grüße \u{1f600}")], [9, 0x22, 0x5c], []];
  const input = new Uint8Array([...lines.flatMap((line) => [...line, 10]), 0x65, 0x6e, 0x64]); // the last one has no newline
  const produced = await run(["produce", key], { input, env });
  assertEquals(produced.code, 0, produced.stderr);
  assertMatch(produced.stderr, /^Produced 7 messages, \d+ B in .*\n$/);
  const consumed = await run(["consume", key, "--from", "beginning", "--count", "7"], { env });
  assertEquals(consumed.code, 0, consumed.stderr);
  assertEquals(consumed.bytes, new Uint8Array([...input, 10]));
});

test("JSON output can be read again: headers, their order, invalid UTF-8, times", async () => {
  const [from, to] = [uniqueKey(), uniqueKey()];
  await server.command(
    "XADD",
    from,
    "5-1",
    "msg",
    new Uint8Array([0, 255]),
    "a",
    "1",
    "b",
    new Uint8Array([254]),
    "a",
    '"',
  );
  await server.command("XADD", from, "6-70000", "other", "x");
  await server.command("XADD", from, "7-0", "msg", "plain");
  const out = await run(["consume", from, "--from", "beginning", "--count", "3", "--json"], { env });
  assertEquals(out.stdout.trimEnd().split("\n").map((line) => JSON.parse(line)), [
    {
      stream: from,
      shard: 0,
      id: "5-1",
      sequence: String((5n << 16n) + 1n),
      timestamp: "1970-01-01T00:00:00.005Z",
      headers: { a: ["1", '"'], b: { base64: "/g==" } },
      payload: { base64: "AP8=" },
    },
    {
      stream: from,
      shard: 0,
      id: "6-70000",
      timestamp: "1970-01-01T00:00:00.006Z",
      headers: { other: "x" },
      payload: "",
    },
    {
      stream: from,
      shard: 0,
      id: "7-0",
      sequence: String(7n << 16n),
      timestamp: "1970-01-01T00:00:00.007Z",
      headers: {},
      payload: "plain",
    },
  ]);
  const input = out.stdout.trimEnd().split("\n").map((line) => {
    const { payload, headers, timestamp } = JSON.parse(line);
    return `${JSON.stringify({ payload, headers, timestamp })}\n`;
  }).join("");
  const back = await run(["produce", to, "--json"], { input, env });
  assertEquals(back.code, 0, back.stderr);
  const twice = await run(["consume", to, "--from", "beginning", "--count", "3", "--json"], { env });
  const bare = (text: string) =>
    text.trimEnd().split("\n").map((line) => {
      const { payload, headers, timestamp } = JSON.parse(line);
      return { payload, headers, timestamp };
    });
  assertEquals(bare(twice.stdout), bare(out.stdout));
});

test("headers, trimming and shards of produce; consume finds the shards", async () => {
  const key = uniqueKey();
  const input = Array.from({ length: 300 }, (_, i) => `${i}\n`).join("");
  const words = ["produce", key, "--header", "a=1=2", "--header", "b=", "--shards", "3", "--max-length", "1000"];
  const produced = await run(words, { input, env });
  assertEquals(produced.code, 0, produced.stderr);
  for (const shard of [0, 1, 2]) assertEquals(await server.command("XLEN", `${key}:${shard}`), 100);
  assertEquals((await entriesOf(`${key}:1`))[0][1], ["msg", "1", "a", "1=2", "b", ""]);
  const consumed = await run(["consume", key, "--from", "beginning", "--count", "300"], { env });
  assertEquals(
    consumed.stdout.trimEnd().split("\n").map(Number).sort((a, b) => a - b),
    Array.from({ length: 300 }, (_, i) => i),
  );
});

test("refused messages are counted, reported once, and make produce exit with 1", async () => {
  const key = uniqueKey();
  await server.command("SET", key, "no stream");
  const { code, stderr } = await run(["produce", key], { input: "a\nb\nc\n", env });
  assertEquals(code, 1);
  assertStringIncludes(stderr, "3 messages FAILED");
  assertMatch(stderr, /sea-streamer: Sending 3 messages failed: WRONGTYPE [^\n]*\n$/);
});

test("a line that cannot be sent ends produce with its number, after all lines before it were sent", async () => {
  const key = uniqueKey();
  const long = await run(["produce", key, "--max-line", "10"], { input: `short\n${"x".repeat(11)}\n`, env });
  assertEquals(long.code, 1);
  assertStringIncludes(long.stderr, "Line 2 is longer than 10 bytes");
  const json = await run(["produce", key, "--json"], { input: `{"payload":"a"}\n{"payload":1}\n`, env });
  assertEquals(json.code, 1);
  assertStringIncludes(json.stderr, "Invalid line 2: the payload must be a string");
  assertEquals((await entriesOf(key)).map(([, fields]) => fields[1]), ["short", "a"]);
});

test("stopped by Ctrl-C, produce sends the lines it has read, reports their number, and exits with 130", async () => {
  const key = uniqueKey();
  await using producing = new Running(["produce", key], { env });
  producing.write("one\ntwo\n");
  await until(async () => await server.command("XLEN", key) === 2);
  producing.signal("SIGINT");
  const { code, stderr } = await producing.ended;
  assertEquals(code, 130, stderr);
  assertMatch(stderr, /^Produced 2 messages, /);
});

test("--since and --until include their bounds, as ids and as times, and with --until it does not wait", async () => {
  const key = uniqueKey();
  await fill(key, 50, 1);
  const ids = async (...words: string[]) => {
    const { code, stdout, stderr } = await run(["consume", key, "--json", ...words], { env });
    assertEquals(code, 0, stderr);
    return stdout.trimEnd().split("\n").filter(Boolean).map((line) => JSON.parse(line).id);
  };
  const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => `${from + i}-0`);
  assertEquals(await ids("--since", "10-0", "--until", "12-0"), range(10, 12));
  assertEquals(await ids("--since", "10", "--until", "12"), range(10, 12));
  assertEquals(await ids("--since", "1970-01-01T00:00:00.049Z", "--until", "1m"), range(49, 50));
  assertEquals(await ids("--until", "3-0"), range(1, 3));
  assertEquals(await ids("--since", "48-1", "--count", "2"), range(49, 50));
  assertEquals(await ids("--since", "60-0", "--until", "70-0"), []);
}, { timeout: 60_000 });

test("in a group, a reader that closes its end leaves exactly the unwritten messages pending", async () => {
  const key = uniqueKey();
  await fill(key, 20_000);
  const words = ["consume", key, "--mode", "resumable", "--group", "g", "--from", "beginning"];
  const { stdout, stderr } = await runShell(`( ${shellCommand(words)}; echo "code $?" >&2 ) | head -n 1`, env);
  assertMatch(stdout, /^1\.+\n$/);
  assertMatch(stderr, /code 0\n$/);
  const written = countOf(stderr, "Consumed");
  const group = await groupOf(key);
  assertGreater(written, 0);
  const pending = Number(group["pending"]);
  assertGreater(pending, 0);
  // The stream is in order: pending entries begin where the written ones end.
  const [first] = await server.command("XPENDING", key, "g", "-", "+", 1) as [[string]];
  assertEquals(first[0], `${written + 1}-0`);
  assertEquals(`${written + pending}-0`, group["last-delivered-id"]);
  // The next run resumes right after them.
  const next = await run([...words, "--count", "1"], { env });
  assertEquals(Number(next.stdout.trimEnd().replaceAll(".", "")), written + 1);
});

for (const [signal, expected] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
  test(`stopped by ${signal} in a group, consume acknowledges the written messages and exits with ${expected}`, async () => {
    const key = uniqueKey();
    await fill(key, 3_000);
    await using consuming = new Running([
      "consume",
      key,
      "--mode",
      "load-balanced",
      "--group",
      "g",
      "--from",
      "beginning",
    ], { env });
    await consuming.until(({ stdout }) => stdout.includes("\n3000."));
    consuming.signal(signal);
    const { code, stdout, stderr } = await consuming.ended;
    assertEquals(code, expected, stderr);
    assertEquals(stdout.trimEnd().split("\n").length, 3_000);
    assertEquals(countOf(stderr, "Consumed"), 3_000);
    assertEquals((await groupOf(key))["pending"], 0);
  });
}

test(
  "a reader that does not read blocks consume, and a signal still ends it, with the unwritten messages pending",
  async () => {
    const key = uniqueKey();
    await fill(key, 20_000);
    const words = ["consume", key, "--mode", "resumable", "--group", "g", "--from", "beginning"];
    const file = join(tmpdir(), uniqueKey("sea-cli"));
    const script = `mkfifo "$F.go"; sh -c 'echo $$ >"$F.pid"; exec "$@"' sh ${shellCommand(words)} 2>"$F" | ` +
      `{ read -r first; read -r go <"$F.go"; cat >/dev/null; }`;
    const shell = runShell(script, { ...env, F: file });
    await until(async () => Number((await groupOf(key).catch(() => ({ pending: 0 })))["pending"]) >= 1_000);
    kill(Number(await readFile(`${file}.pid`, "utf8")), "SIGTERM");
    const told = await until(async () => {
      const text = await readFile(file, "utf8");
      return text.includes("Consumed") && text;
    });
    await writeFile(`${file}.go`, "go\n");
    await shell;
    for (const name of [file, `${file}.pid`, `${file}.go`]) await rm(name);
    const [first] = await server.command("XPENDING", key, "g", "-", "+", 1) as [[string]];
    assertEquals(first[0], `${countOf(told, "Consumed") + 1}-0`, told);
  },
  { timeout: 60_000 },
);

test("--count takes no more than so many in a group", async () => {
  const key = uniqueKey();
  await fill(key, 100, 1);
  const words = ["consume", key, "--mode", "resumable", "--group", "g", "--from", "beginning", "--count", "7"];
  const { code, stdout } = await run(words, { env });
  assertEquals([code, stdout.trimEnd().split("\n").length], [0, 7]);
  assertEquals((await groupOf(key))["last-delivered-id"], "7-0");
  assertEquals((await groupOf(key))["pending"], 0);
});

test("relay forwards messages with their headers, in order, and resumes where it ended", async () => {
  const [from, to] = [uniqueKey(), uniqueKey()];
  await fill(from, 2_000, 1);
  await server.command("XADD", from, "3000-0", "msg", "last", "h", "1", "h", "2");
  const first = await run(["relay", from, to, "--count", "500"], { env });
  assertEquals(first.code, 0, first.stderr);
  assertEquals(countOf(first.stderr, "Relayed"), 500);
  assertEquals((await groupOf(from))["name"], `relay:${to}`);
  await using second = new Running(["relay", from, to], { env });
  await until(async () => await server.command("XLEN", to) === 2_001);
  second.signal("SIGTERM");
  const { code, stderr } = await second.ended;
  assertEquals(code, 143, stderr);
  assertEquals(countOf(stderr, "Relayed"), 1_501);
  const stored = await entriesOf(to);
  assertEquals(
    stored.map(([, [, payload]]) => payload).slice(0, 2_000),
    Array.from({ length: 2_000 }, (_, i) => `${i + 1}`),
  );
  assertEquals(stored[2_000][1], ["msg", "last", "h", "1", "h", "2"]);
  assertEquals((await groupOf(from))["pending"], 0);
}, { timeout: 60_000 });

test("a message that the target refuses ends relay with exit code 1, and nothing is lost", async () => {
  const [from, to] = [uniqueKey(), uniqueKey()];
  await fill(from, 10, 1);
  await server.command("SET", to, "no stream");
  const { code, stderr } = await run(["relay", from, to], { env });
  assertEquals(code, 1);
  assertStringIncludes(stderr, "sea-streamer: WRONGTYPE");
  await server.command("DEL", to);
  const again = await run(["relay", from, to, "--count", "10"], { env });
  assertEquals(again.code, 0, again.stderr);
  assertEquals((await entriesOf(to)).length, 10);
});

test("relay in real time forwards new messages, with the old times on request", async () => {
  const [from, to] = [uniqueKey(), uniqueKey()];
  await fill(from, 3, 1);
  const words = ["relay", from, to, "--mode", "real-time", "--from", "beginning", "--keep-timestamps", "--count", "3"];
  const { code, stderr } = await run(words, { env });
  assertEquals(code, 0, stderr);
  assertEquals((await entriesOf(to)).map(([id]) => id), ["1-0", "2-0", "3-0"]);
});

test("a missing stream is an error in a group, and is created with --mkstream only", async () => {
  for (const mode of ["resumable", "load-balanced"]) {
    const key = uniqueKey();
    const words = ["consume", key, "--mode", mode, "--group", "g"];
    const { code, stderr } = await run(words, { env });
    assertEquals(code, 1);
    assertMatch(stderr, new RegExp(`sea-streamer: Stream ${key} does not exist: [^\n]+ --mkstream\n$`));
    assertEquals(await server.command("EXISTS", key), 0);
    await using consuming = new Running([...words, "--mkstream"], { env });
    await until(async () => await server.command("EXISTS", key) === 1);
    await server.command("XADD", key, "*", "msg", "first");
    await consuming.until(({ stdout }) => stdout === "first\n");
    consuming.signal("SIGINT");
    assertEquals((await consuming.ended).code, 130);
  }
  const relay = await run(["relay", uniqueKey(), uniqueKey()], { env });
  assertEquals(relay.code, 1);
  assertMatch(relay.stderr, /sea-streamer: Stream [^\n]+ does not exist: [^\n]+ --mkstream\n$/);
}, { timeout: 60_000 });

test("in real time, a missing stream is noted, awaited, and not created", async () => {
  const key = uniqueKey();
  await using consuming = new Running(["consume", key, "--count", "1"], { env });
  await consuming.until(({ stderr }) => stderr.includes("\n"));
  assertEquals(consuming.stderr, `Stream ${key} does not exist yet: waiting for its first message\n`);
  assertEquals(await server.command("EXISTS", key), 0);
  await server.command("XADD", key, "*", "msg", "first");
  const { code, stdout } = await consuming.ended;
  assertEquals([code, stdout], [0, "first\n"]);
  await using another = new Running(["consume", key], { env });
  await another.until(({ stdout }) => stdout === "").catch(() => {});
  await until(async () => await server.command("XADD", key, "*", "msg", "x") !== null && another.stdout.length > 0);
  assertEquals(another.stderr, "", "an existing stream is not noted");
});
