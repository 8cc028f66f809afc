// Tests that the test run reports a missing server once, and stops. Runs on Deno only, as the test run does.

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { env, execPath } from "node:process";
import { fileURLToPath } from "node:url";
import { runtime, test } from "../runner.ts";

const program = fileURLToPath(new URL("./run.ts", import.meta.url));
const ignore = runtime !== "deno";

async function runTests(variables: Readonly<Record<string, string>>) {
  const { REDIS_URL: _, SEA_TEST_SERVER: __, ...rest } = env;
  const args = ["run", "-A", "--no-check", program, "deno", "tests/unit/version_test.ts"];
  const child = spawn(execPath, args, {
    env: { ...rest, ...variables, NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => output += chunk);
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, output };
}

/** A port on which nothing listens. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("There is no port");
  return address.port;
}

/** Asserts that the run printed one message and ran no test. */
function assertStopped({ code, output }: { readonly code: number | null; readonly output: string }): void {
  assertEquals(code, 1, output);
  assertMatch(output, /\n0 passed, 1 failed\n$/);
  assertEquals(output.split("Cannot ").length, 2, output);
  assertEquals(output.includes("=== deno"), false, "no test runs");
}

test("a server that is named and cannot be started is reported once, and no test runs", async () => {
  for (const name of ["/nowhere/redis-server", "/bin/false"]) {
    const ended = await runTests({ SEA_TEST_SERVER: name });
    assertStopped(ended);
    assertMatch(ended.output, /^Cannot start a Redis server:/);
    assertStringIncludes(ended.output, "SEA_TEST_SERVER");
  }
}, { ignore });

test(
  "a wrong REDIS_URL, and a server there that does not answer, is reported once, without its password, and no test runs",
  async () => {
    const dead = `redis://:canary-5@127.0.0.1:${await freePort()}`;
    for (const url of [dead, "redis://:canary-5@host:port", "http://:canary-5@localhost:6379", "localhost:6379"]) {
      const ended = await runTests({ REDIS_URL: url });
      assertStopped(ended);
      assertStringIncludes(ended.output, "REDIS_URL");
      assertEquals(ended.output.includes("canary"), false, ended.output);
    }
  },
  { ignore },
);

test("the programs of the tasks load before packages are installed", async () => {
  for (const name of ["ci.ts", "run.ts", "exec.ts"]) {
    const info = await outputOf(["info", "--json", fileURLToPath(new URL(name, import.meta.url))]);
    const { modules } = JSON.parse(info) as { modules: { readonly specifier: string }[] };
    const foreign = modules.map(({ specifier }) => specifier).filter((specifier) => !/^(?:file|node):/.test(specifier));
    assertEquals([modules.length > 2, foreign], [true, []], name);
  }
}, { ignore });

async function outputOf(args: readonly string[]): Promise<string> {
  const child = spawn(execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (chunk) => output += chunk);
  await new Promise((resolve) => child.once("close", resolve));
  return output;
}
