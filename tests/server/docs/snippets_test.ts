// Tests that the programs of the documentation run on each runtime, against an empty server, and end by themselves.

import { assertEquals, assertMatch } from "@std/assert";
import { afterAll, runtime, test } from "../../support/runner.ts";
import { PROGRAM_LIMIT, ProgramRunner } from "../../support/docs/programs.ts";
import { docSnippets, pageSnippets, type Snippet } from "../../support/docs/snippets.ts";
import { canStartServers } from "../../support/servers/server.ts";

const ignore = !await canStartServers();
const runner = ignore ? undefined : await ProgramRunner.start();
afterAll(async () => await runner?.[Symbol.asyncDispose]());

/** One test for each file; a name selects it: `--filter=docs/consuming.md`. */
function testByFile(snippets: readonly Snippet[]): void {
  for (const [path, programs] of Map.groupBy(snippets.filter(({ runs }) => runs), ({ path }) => path)) {
    test(`programs of ${path} end by themselves with code 0`, async () => {
      const failures = await runner?.run(programs) ?? [];
      assertEquals(failures.length, 0, `\n${failures.join("\n")}`);
    }, { ignore, timeout: 30_000 + programs.length * PROGRAM_LIMIT });
  }
}

testByFile(await pageSnippets());
// Examples of symbols are small: one runtime is enough for them.
if (runtime === "deno") testByFile(await docSnippets());

const planted: Readonly<Record<string, readonly [code: string, says: RegExp]>> = {
  "one that throws": [`console.log("before"); throw new Error("planted");`, /^a\.md:1 ended with code 1\n[^]*planted/],
  "one that exits with a code": [`globalThis.process.exit(3);`, /ended with code 3/],
  "one that does not end": [`setInterval(() => {}, 1_000);`, /did not end within 3000 ms/],
  "one that leaves a rejection": [`Promise.reject(new Error("planted"));`, /ended with code 1/],
  "one that imports what is not exported": [
    `import { missing } from "@sea/streamer-redis";\nconsole.log(missing);`,
    /ended with code 1/,
  ],
  "one that leaves its connection open": [
    `import { connect } from "@sea/streamer-redis";\nawait connect(globalThis.process.env.REDIS_URL ?? "");`,
    /did not end within 3000 ms/,
  ],
};

for (const [name, [code, says]] of Object.entries(planted)) {
  test(`a program that fails is reported: ${name}`, async () => {
    const program = { path: "a.md", line: 1, code, info: "ts", runs: true };
    const [failure = ""] = await runner?.run([program], 3_000) ?? [];
    assertMatch(failure, says);
  }, { ignore });
}

const untilStopped = `
  import process from "node:process";
  console.log("running");
  const timer = setInterval(() => {}, 1_000);
`;

test("a program that runs until SIGTERM gets the signal, and must then end with code 0", async () => {
  const run = async (end: string) => {
    const program = { path: "a.md", line: 1, code: untilStopped + end, info: "ts run SIGTERM", runs: true };
    return (await runner?.run([program], 4_000))?.[0];
  };
  assertEquals(await run(`process.once("SIGTERM", () => clearInterval(timer));`), undefined);
  assertMatch(await run("") ?? "", /^a\.md:1 ended with (?:SIGTERM|code 143)/);
  assertMatch(await run(`process.on("SIGTERM", () => {});`) ?? "", /^a\.md:1 did not end within 4000 ms/);
  assertMatch(await run(`process.once("SIGTERM", () => process.exit(2));`) ?? "", /^a\.md:1 ended with code 2/);
}, { ignore, timeout: 60_000 });

test("a program has an empty database, and the package by its own name", async () => {
  const code = `
    import { connect, type RedisStreamer } from "@sea/streamer-redis";
    import { RespDecoder } from "@sea/streamer-redis/resp";
    import { MessageSink } from "@sea/streamer-redis/file";
    import { main } from "@sea/streamer-redis/cli";
    const streamer: RedisStreamer = await connect(globalThis.process.env.REDIS_URL ?? "");
    const manager = await streamer.createManager();
    for await (const key of manager.streams()) throw new Error(key);
    const producer = await streamer.createProducer("orders");
    await producer.send("paid");
    await streamer.disconnect();
    console.log(RespDecoder, MessageSink, main);
  `;
  const program = { path: "a.md", line: 1, code, info: "ts", runs: true };
  assertEquals(await runner?.run([program, program, program, program]), []);
}, { ignore, timeout: 60_000 });
