// Runs features on Deno with the permissions that docs/connection.md lists, and without prompts.

import { assertEquals, assertStringIncludes } from "@std/assert";
import { execFile } from "node:child_process";
import { access, constants, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execPath } from "node:process";
import { promisify } from "node:util";
import { certificates } from "../../support/network/tls.ts";
import { runtime, test } from "../../support/runner.ts";
import { canStartServers, type OwnServer, startServer } from "../../support/servers/server.ts";

const ignore = runtime !== "deno" || !(await canStartServers());
const library = new URL("../../../mod.ts", import.meta.url).href;
const { ca, server: identity, client } = await certificates();

/** What a program prints that has only these permissions, or why it fails. */
async function run(permissions: readonly string[], body: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "sea-"));
  const file = join(folder, "program.ts");
  const source = `import { connect } from ${JSON.stringify(library)};
    try { ${body} } catch (error) { console.log(error.code, error.message); }`;
  try {
    await writeFile(file, source);
    const args = ["run", "--no-check", "--no-prompt", ...permissions, file];
    return (await promisify(execFile)(execPath, args, { timeout: 25_000 })).stdout.trim();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A program that connects, and sends and receives a message. */
function program(url: string, options: object, consumer: object = { mode: "real-time" }): string {
  return `
    await using streamer = await connect(${JSON.stringify(url)}, ${JSON.stringify(options)});
    const consumer = await streamer.createConsumer("orders", ${JSON.stringify(consumer)});
    await (await streamer.createProducer("orders")).send("paid");
    console.log((await consumer.next()).text(), consumer.consumerId ?? "");`;
}

const net = ({ host, port }: OwnServer) => `--allow-net=${host}:${port}`;

test("TCP needs access to the network only, and a group with a name needs nothing else", async () => {
  await using server = await startServer();
  assertEquals(await run([net(server)], program(server.url, {})), "paid");
  for (const mode of ["resumable", "load-balanced"]) {
    const output = await run([net(server)], program(server.url, {}, { mode, group: mode }));
    assertStringIncludes(output, "paid");
  }
  assertStringIncludes(await run(["--deny-net"], program(server.url, {})), "CONNECT Cannot connect to");
}, { ignore });

test("TLS needs access to the network only", async () => {
  await using server = await startServer({ tls: { ca, ...identity, clientAuth: true } });
  assertEquals(await run([net(server)], program(server.url, { tls: { caCerts: [ca], ...client } })), "paid");
}, { ignore });

test("a unix socket needs access to the network, and to read and write its path", async () => {
  await using server = await startServer();
  const { unixSocket: path } = server;
  if (path === undefined) return; // there are none on this system
  const permissions = [`--allow-net=unix:${path}`, `--allow-read=${path}`, `--allow-write=${path}`];
  assertEquals(await run(permissions, program(`redis+unix://${path}`, {})), "paid");
}, { ignore });

test(
  "a group without a name needs HOST_ID or the machine's id, and its absence is reported without a prompt",
  async () => {
    await using server = await startServer();
    const body = program(server.url, {}, { mode: "load-balanced" });
    assertStringIncludes(
      await run([net(server)], body),
      "INVALID_OPTION Cannot create the consumer: 'group' must be given",
    );
    const hasId = await access("/etc/machine-id", constants.R_OK).then(() => true, () => false);
    if (hasId) assertStringIncludes(await run([net(server), "--allow-read=/etc/machine-id"], body), "paid");
  },
  { ignore },
);
