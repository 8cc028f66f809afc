// Tests how the command line is called: help, usage errors, exit codes, and that passwords are never printed.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { main } from "../../../cli.ts";
import { run } from "../../support/cli/running.ts";
import { uniqueKey } from "../../support/keys.ts";
import { OWN } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { startServer } from "../../support/servers/server.ts";
import { certificates } from "../../support/network/tls.ts";

const COMMANDS = ["produce", "consume", "relay", "dump", "restore", "trim", "info", "decode"];

test("the help names every command, and each command has a help of its own with the exit codes", async () => {
  const all = await run(["--help"]);
  assertEquals([all.code, all.stderr], [0, ""]);
  for (const command of COMMANDS) {
    assertMatch(all.stdout, new RegExp(`^  ${command} `, "m"));
    const { code, stdout, stderr } = await run([command, "--help"]);
    assertEquals([code, stderr], [0, ""]);
    assertStringIncludes(stdout, `sea-streamer ${command}`);
    assertStringIncludes(stdout, "Exit codes");
    const [text] = stdout.split("\nExamples\n");
    assert(text.split("\n").every((line) => line.length <= 80), stdout);
  }
}, { timeout: 60_000 });

test("--version prints the version", async () => {
  const { code, stdout } = await run(["--version"]);
  assertEquals(code, 0);
  assertMatch(stdout, /^sea-streamer \d+\.\d+\.\d+\n$/);
});

const mistakes: Record<string, { readonly words: readonly string[]; readonly says: string }> = {
  "no command": { words: [], says: "Missing command: produce, consume" },
  "a misspelt command": { words: ["produse"], says: `Unknown command "produse". Did you mean produce?` },
  "a misspelt command after help": { words: ["help", "trin"], says: `Unknown command "trin". Did you mean trim?` },
  "an unknown command": { words: ["subscribe"], says: `Unknown command "subscribe" (see --help)` },
  "a misspelt option": {
    words: ["consume", "a", "--gruop", "x"],
    says: "Unknown option --gruop. Did you mean --group?",
  },
  "an unknown option": { words: ["consume", "a", "--frobnicate"], says: "Unknown option --frobnicate (see --help)" },
  "an option without its value": {
    words: ["consume", "a", "--count"],
    says: "--count requires a value: --count N",
  },
  "an option in place of a value": {
    words: ["consume", "a", "--group", "--json"],
    says: "--group requires a value: --group NAME",
  },
  "a flag with a value": { words: ["consume", "a", "--json=yes"], says: "--json takes no value" },
  "a password on the command line": {
    words: ["info", "--password", "canary-17"],
    says: "Use REDIS_URL or --password-file",
  },
  "no argument": { words: ["dump"], says: "Missing argument: dump STREAM" },
  "no stream": { words: ["dump", "redis://localhost"], says: "No stream given" },
  "too many streams": { words: ["produce", "a,b"], says: "Only one stream can be given, got a,b" },
  "too many arguments": { words: ["consume", "a", "b"], says: "Too many arguments: consume STREAM" },
  "an invalid number": {
    words: ["consume", "a", "--count", "few"],
    says: `--count must be a whole number of at least 1, got "few"`,
  },
  "an invalid choice": {
    words: ["consume", "a", "--mode", "slow"],
    says: `--mode must be real-time, resumable or load-balanced, got "slow" (see --help)`,
  },
  "a misspelt choice": {
    words: ["consume", "a", "--from", "begining"],
    says: `--from must be beginning or end, got "begining". Did you mean beginning?`,
  },
  "an invalid time": { words: ["dump", "a", "--since", "yesterday"], says: "--since must be a date" },
  "an id in place of a time": { words: ["trim", "a", "--min-time", "5-1"], says: `--min-time must be a date` },
  "an unknown protocol": { words: ["consume", "http://h/a"], says: "the URL must start with redis://" },
  "an invalid stream name": { words: ["consume", "a b"], says: 'Invalid stream key "a b"' },
  "two servers": { words: ["consume", "redis://h/a", "--url", "redis://i"], says: "--url cannot be combined" },
  "a group without its mode": { words: ["consume", "a", "--group", "g"], says: "--group requires --mode" },
  "a relay to itself": { words: ["relay", "a,b", "b"], says: "b cannot be relayed to itself" },
  "trim without a target": { words: ["trim", "a"], says: "one of --max-length, --min-time and --acknowledged" },
  "trim with two targets": {
    words: ["trim", "a", "--max-length", "5", "--min-time", "7d"],
    says: "--max-length and --min-time cannot be combined",
  },
  "trim with three targets": {
    words: ["trim", "a", "--max-length", "5", "--min-time", "7d", "--acknowledged"],
    says: "--max-length and --min-time and --acknowledged cannot be combined",
  },
  "ss to stdout": { words: ["dump", "a", "--format", "ss"], says: "name a file with --output" },
};

for (const [name, { words, says }] of Object.entries(mistakes)) {
  test(`a usage error is reported in one line, with exit code 2: ${name}`, async () => {
    const { code, stdout, stderr } = await run(words);
    assertEquals([code, stdout], [2, ""], stderr);
    assertMatch(stderr, /^sea-streamer: [^\n]+\n$/);
    assertStringIncludes(stderr, says);
    assert(!stderr.includes("canary"), stderr);
  });
}

test("an unreachable server is reported in one line, with exit code 1; --verbose adds the causes", async () => {
  const words = ["info", "redis://127.0.0.1:1"];
  const plain = await run(words);
  assertEquals([plain.code, plain.stdout], [1, ""]);
  assertMatch(plain.stderr, /^sea-streamer: [^\n]+\n$/);
  const verbose = await run([...words, "--verbose"]);
  assertEquals(verbose.code, 1);
  assertMatch(verbose.stderr, /^sea-streamer: [^\n]+\n {2}caused by: [^\n]+\n/);
  assert(!verbose.stderr.includes("    at "), verbose.stderr);
});

test("a wrong REDIS_URL, and the default server, are named in the error", async () => {
  const wrong = await run(["info"], { env: { REDIS_URL: "http://u:canary@localhost" } });
  assertEquals([wrong.code, wrong.stdout], [2, ""]);
  assertMatch(wrong.stderr, /^sea-streamer: Invalid REDIS_URL: [^\n]+\n$/);
  assert(!wrong.stderr.includes("canary"), wrong.stderr);
  const given = await run(["info", "--url", "nonsense"], { env: { REDIS_URL: "redis://localhost" } });
  assertEquals(given.code, 2);
  assertMatch(given.stderr, /^sea-streamer: Invalid --url: /);
  const away = await run(["info"], { env: { REDIS_URL: "redis://127.0.0.1:1" } });
  assertEquals(away.code, 1);
  assertMatch(away.stderr, /^sea-streamer: [^\n]*127\.0\.0\.1:1[^\n]*\. REDIS_URL names this server\n$/);
  const typed = await run(["info", "redis://127.0.0.1:1"], { env: { REDIS_URL: "redis://127.0.0.1:1" } });
  assert(!typed.stderr.includes("REDIS_URL"), typed.stderr);
});

test("passwords come from REDIS_URL, a url or a file, and are printed nowhere, whatever goes wrong", async () => {
  await using server = await startServer({ password: "canary-4711" });
  const folder = await mkdtemp(join(tmpdir(), "sea-cli-"));
  try {
    const key = uniqueKey();
    const [right, wrong, empty] = ["right", "wrong", "empty"].map((name) => join(folder, name));
    await writeFile(right, "canary-4711\nsomething else\n");
    await writeFile(wrong, "canary-0815\n");
    await writeFile(empty, "\n");
    const plain = `redis://127.0.0.1:${server.port}`;
    const secret = `redis://:canary-4711@127.0.0.1:${server.port}`;
    const runs: [number, Awaited<ReturnType<typeof run>>][] = [
      [0, await run(["produce", key, "-v"], { input: "a\n", env: { REDIS_URL: secret } })],
      [0, await run(["produce", `${secret}/${key}`, "-v"], { input: "b\n" })],
      [0, await run(["produce", `${plain}/${key}`, "--password-file", right, "-v"], { input: "c\n" })],
      [0, await run(["info", "--json"], { env: { REDIS_URL: secret } })],
      [1, await run(["info", plain, "-v", "--password-file", wrong])],
      [1, await run(["info", plain, "-v"])],
      [1, await run(["info", plain, "-v", "--password-file", empty])],
      [1, await run(["info", plain, "-v", "--password-file", join(folder, "none")])],
      [2, await run(["info", `:canary-4711@127.0.0.1:${server.port}`, "-v"])],
      [2, await run(["info", `redis://:canary-4711@127.0.0.1:99999/x`, "-v"])],
      [2, await run(["info", "-v"], { env: { REDIS_URL: "redis://u:canary-4711@h:port" } })],
      [2, await run(["info", "--passwordfile=canary-4711", "-v"])],
    ];
    for (const [expected, { code, stdout, stderr }] of runs) {
      assertEquals(code, expected, stderr);
      assert(!(stdout + stderr).includes("canary"), stdout + stderr);
    }
    assertEquals(await server.command("XLEN", key), 3);
  } finally {
    await rm(folder, { recursive: true });
  }
}, { oneServer: OWN, timeout: 90_000 });

test("TLS with an own authority and a client's certificate, and over a unix socket", async () => {
  const { ca, otherCa, server: identity, client } = await certificates();
  await using server = await startServer({ tls: { ca, ...identity, clientAuth: true } });
  const folder = await mkdtemp(join(tmpdir(), "sea-cli-"));
  try {
    const files = { ca, otherCa, cert: client.cert, key: client.key };
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
    const path = (name: string) => join(folder, name);
    const mine = ["--cert", path("cert"), "--key", path("key")];
    const trusted = await run(["info", server.url, "--json", "--ca", path("ca"), ...mine]);
    assertEquals(trusted.code, 0, trusted.stderr);
    const insecure = await run(["info", server.url, "--json", "--insecure", ...mine]);
    assertEquals(insecure.code, 0, insecure.stderr);
    const other = await run(["info", server.url, "--json", "--ca", path("otherCa"), ...mine]);
    assertEquals(other.code, 1, other.stderr);
    const plain = await run(["info", "redis://localhost", "--ca", path("ca")]);
    assertEquals(plain.code, 2, plain.stderr);
  } finally {
    await rm(folder, { recursive: true });
  }
  await using other = await startServer();
  if (other.unixSocket === undefined) return;
  const key = uniqueKey();
  const local = await run(["produce", key, "--url", `redis+unix://${other.unixSocket}`], { input: "a\n" });
  assertEquals(local.code, 0, local.stderr);
  assertEquals(await other.command("XLEN", key), 1);
}, { oneServer: OWN, timeout: 60_000 });

test("an import has no effect, and exports main", () => {
  assertEquals(typeof main, "function");
});
