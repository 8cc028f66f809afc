// connect() without a URL: REDIS_URL, or a server on this machine. A missing permission never prompts.

import { assertEquals, assertStringIncludes } from "@std/assert";
import { execFile } from "node:child_process";
import { env, execPath } from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { closedPort } from "../../support/network/sockets.ts";
import { runtime, test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const program = fileURLToPath(new URL("../../support/programs/default_url_child.ts", import.meta.url));
const LOCAL = "redis://localhost:6379";

/** What the program prints with this value of REDIS_URL. */
async function connected(
  url: string | undefined,
  denoFlags: readonly string[] = ["-A"],
  words: readonly string[] = [],
): Promise<string> {
  const { REDIS_URL: _, ...rest } = env;
  const flags = { deno: ["run", "--no-check", ...denoFlags], bun: ["run"], node: [] }[runtime];
  const { stdout } = await promisify(execFile)(execPath, [...flags, program, ...words], {
    env: { ...rest, ...(url === undefined ? {} : { REDIS_URL: url }) },
    timeout: 25_000,
  });
  return stdout.trim();
}

/** Whether the outcome is that of the server on this machine, which may run here or not. */
function assertLocal(output: string, reason: string): void {
  if (output.startsWith(LOCAL) || /^(?:AUTH|UNSUPPORTED)\b/.test(output)) return;
  assertStringIncludes(output, "Cannot connect to localhost:6379: ");
  assertStringIncludes(output, reason);
}

test("without a URL the server of REDIS_URL is used", async () => {
  const { host, port } = server;
  assertStringIncludes(await connected(server.url), `${host}:${port}`);
});

test("without a URL and without REDIS_URL the server on this machine is used", async () => {
  for (const url of [undefined, ""]) {
    assertLocal(await connected(url), "No URL was given, and REDIS_URL is not set");
  }
});

test("an invalid REDIS_URL rejects at once, by name and without the password", async () => {
  assertEquals(
    await connected("redis://:Canary@localhost:99999"),
    'INVALID_URL Invalid URL "redis://:***@localhost:99999" in REDIS_URL: the port must be from 1 to 65535',
  );
  assertEquals(
    await connected("localhost:6379"),
    'INVALID_URL Invalid URL "localhost:6379" in REDIS_URL: the URL must start with redis://, rediss://, redis+unix:// or redis+sentinel://',
  );
});

test("if the server of REDIS_URL cannot be reached, the error names the variable", async () => {
  const port = await closedPort();
  const output = await connected(`redis://:Canary@127.0.0.1:${port}`);
  assertEquals(
    output,
    `CONNECT Cannot connect to 127.0.0.1:${port}: the connection was refused. Check that a server listens there. ` +
      "The address comes from REDIS_URL",
  );
});

test("if the attempts of wait run out, the error has the last reason and names the variable", async () => {
  const port = await closedPort();
  assertEquals(
    await connected(`redis://127.0.0.1:${port}`, ["-A"], ["wait"]),
    `DISCONNECTED The server could not be reached in 2 attempts. Cannot connect to 127.0.0.1:${port}: ` +
      "the connection was refused. Check that a server listens there. The address comes from REDIS_URL",
  );
});

test("without the permission to read REDIS_URL the server on this machine is used, without a prompt", async () => {
  for (const denied of [[], ["--deny-env=REDIS_URL"], ["--allow-env=OTHER"]]) {
    const output = await connected(server.url, ["--allow-net", ...denied]);
    assertLocal(output, "No URL was given, and reading REDIS_URL is not permitted (--allow-env=REDIS_URL)");
  }
  const { host, port } = server;
  assertStringIncludes(
    await connected(server.url, ["--allow-net", "--allow-env=REDIS_URL"]),
    `${host}:${port}`,
  );
}, { ignore: runtime !== "deno" });
