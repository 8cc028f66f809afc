// Owns the proof of how the command line is called: help, mistakes, exit codes, and passwords that are never shown.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { main } from "../cli.ts";
import { run } from "./streamer/cli/running.ts";
import { uniqueKey } from "./support/keys.ts";
import { test } from "./support/runner.ts";
import { startServer } from "./support/server.ts";
import { certificates } from "./support/tls.ts";

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
    assert(stdout.split("\n").every((line) => line.length <= 140), stdout);
  }
}, { timeout: 60_000 });

test("the version is told", async () => {
  const { code, stdout } = await run(["--version"]);
  assertEquals(code, 0);
  assertMatch(stdout, /^sea-streamer \d+\.\d+\.\d+\n$/);
});

const mistakes: Record<string, { readonly words: readonly string[]; readonly says: string }> = {
  "no command": { words: [], says: "Something is missing: produce, consume" },
  "a command that is misspelt": { words: ["produse"], says: `There is no command "produse"; is it produce?` },
  "an option that is misspelt": { words: ["consume", "a", "--gruop", "x"], says: "no option --gruop; is it --group?" },
  "a password on the command line": {
    words: ["info", "--password", "canary-17"],
    says: "use REDIS_URL or --password-file",
  },
  "no stream": { words: ["dump"], says: "Something is missing: dump STREAM" },
  "too many words": { words: ["consume", "a", "b"], says: "there can be one word" },
  "a number that is none": {
    words: ["consume", "a", "--count", "few"],
    says: "Cannot use --count as it must be a whole number",
  },
  "a word that is none of its words": {
    words: ["consume", "a", "--mode", "slow"],
    says: "real-time or resumable or load-balanced",
  },
  "a time that is none": {
    words: ["dump", "a", "--since", "yesterday"],
    says: "Cannot use --since as it must be a date",
  },
  "a protocol that there is not": { words: ["consume", "http://h/a"], says: "its protocol must be redis" },
  "a stream's name that is none": { words: ["consume", "a b"], says: "Cannot use a stream key" },
  "two servers": { words: ["consume", "redis://h/a", "--url", "redis://i"], says: "Cannot use --url" },
  "a group without its mode": { words: ["consume", "a", "--group", "g"], says: "Cannot use --group without --mode" },
  "a relay to itself": { words: ["relay", "a,b", "b"], says: "Cannot relay b to itself" },
  "no target of trimming": { words: ["trim", "a"], says: "one of --max-length, --min-time and --acknowledged" },
  "ss to stdout": { words: ["dump", "a", "--format", "ss"], says: "name a file by --output" },
};

for (const [name, { words, says }] of Object.entries(mistakes)) {
  test(`a mistake in the call is told in one line, with exit code 2: ${name}`, async () => {
    const { code, stdout, stderr } = await run(words);
    assertEquals([code, stdout], [2, ""], stderr);
    assertMatch(stderr, /^sea-streamer: [^\n]+\n$/);
    assertStringIncludes(stderr, says);
    assert(!stderr.includes("canary"), stderr);
  });
}

test("a server that is not there is told in one line, with exit code 1; --verbose tells why", async () => {
  const words = ["info", "redis://127.0.0.1:1"];
  const plain = await run(words);
  assertEquals([plain.code, plain.stdout], [1, ""]);
  assertMatch(plain.stderr, /^sea-streamer: [^\n]+\n$/);
  const verbose = await run([...words, "--verbose"]);
  assertEquals(verbose.code, 1);
  assertMatch(verbose.stderr, /^sea-streamer: [^\n]+\n {2}because: [^\n]+\n/);
  assert(!verbose.stderr.includes("    at "), verbose.stderr);
});

test("passwords come from REDIS_URL, a url or a file, and are shown nowhere, whatever goes wrong", async () => {
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
}, { timeout: 90_000 });

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
}, { timeout: 60_000 });

test("importing it does nothing, and what it exports runs a command", () => {
  assertEquals(typeof main, "function");
});
