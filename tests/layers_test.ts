// Owns the proof that what is published keeps the order of ARCHITECTURE.md, and that a breach of it would be seen.

import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { judge } from "./support/layers.ts";
import { test } from "./support/runner.ts";

const root = fileURLToPath(new URL("../", import.meta.url));

async function published(): Promise<Map<string, string>> {
  const paths: string[] = [];
  for (const name of await readdir(root)) if (name === "mod.ts" || name === "cli.ts") paths.push(name);
  for (const folder of ["resp", "streamer"]) {
    for (const name of await readdir(root + folder, { recursive: true })) {
      if (name.endsWith(".ts")) paths.push(`${folder}/${name.replaceAll("\\", "/")}`);
    }
  }
  return new Map(await Promise.all(paths.map(async (path) => [path, await readFile(root + path, "utf8")] as const)));
}

/** A small house in order, with some files changed. */
function house(changes: Record<string, string> = {}): Map<string, string> {
  return new Map(Object.entries({
    "mod.ts": `export { connect } from "./streamer/streamer.ts";`,
    "resp/errors.ts": `export class StreamerError extends Error {}`,
    "resp/decoder.ts": `import { StreamerError } from "./errors.ts"; export { StreamerError };`,
    "resp/transport/node.ts": `import { connect } from "node:net"; import process from "node:process"; Deno.connect;`,
    "resp/connection/command.ts": `import type { x } from "../decoder.ts"; export interface Command {}`,
    "resp/connection/pipeline.ts": `import {} from "../transport/node.ts"; export const pipeline = 1;`,
    "streamer/model/id.ts": `import { StreamerError } from "../../resp/errors.ts";`,
    "streamer/commands/xadd.ts": `import type { Command } from "../../resp/connection/command.ts";`,
    "streamer/producer/producer.ts": `import {} from "../commands/xadd.ts";`,
    "streamer/consumer/consumer.ts": `import {} from "../model/id.ts";`,
    "streamer/streamer.ts": `import {} from "./producer/producer.ts"; import {} from "./consumer/consumer.ts";`,
    ...changes,
  }));
}

test("what is published keeps the order of the house", async () => {
  const sources = await published();
  for (const path of ["mod.ts", "resp/mod.ts", "streamer/streamer.ts"]) assert(sources.has(path), path);
  assertEquals(judge(sources), []);
});

test("a house in order has no violations", () => {
  assertEquals(judge(house()), []);
});

const breaches: Record<string, { readonly changes: Record<string, string>; readonly says: string }> = {
  "an import from above": {
    changes: { "resp/decoder.ts": `import {} from "../streamer/model/id.ts";` },
    says: "resp/decoder.ts:1 imports ../streamer/model/id.ts: storey 4 lies above storey 1",
  },
  "a type-only import from above": {
    changes: { "streamer/model/id.ts": `\nimport type { A } from "../commands/xadd.ts";` },
    says: "streamer/model/id.ts:2 imports ../commands/xadd.ts: storey 5 lies above storey 4",
  },
  "a type by import() from above": {
    changes: { "streamer/model/id.ts": `type A = import("../streamer.ts").A;` },
    says: "streamer/model/id.ts:1 imports ../streamer.ts: storey 8 lies above storey 4",
  },
  "a dynamic import from above": {
    changes: { "streamer/model/id.ts": `const a = await import("../streamer.ts");` },
    says: "storey 8 lies above storey 4",
  },
  "a re-export from above": {
    changes: { "resp/errors.ts": `export * from "./connection/pipeline.ts";` },
    says: "storey 3 lies above storey 1",
  },
  "a computed import": {
    changes: { "streamer/model/id.ts": `const a = await import(name);` },
    says: "nobody can tell what that is",
  },
  "siblings that know one another": {
    changes: { "streamer/producer/producer.ts": `import {} from "../consumer/consumer.ts";` },
    says: "siblings on storey 7",
  },
  "a transport that knows RESP": {
    changes: { "resp/transport/node.ts": `import {} from "../decoder.ts";` },
    says: "a transport knows no RESP",
  },
  "a command that knows connections": {
    changes: { "streamer/commands/xadd.ts": `import { pipeline } from "../../resp/connection/pipeline.ts";` },
    says: "a command knows what a command is",
  },
  "a producer that knows sockets": {
    changes: { "streamer/producer/producer.ts": `import type { A } from "../../resp/transport/node.ts";` },
    says: "only resp/connection/ lets bytes meet sockets",
  },
  "a package": {
    changes: { "streamer/model/id.ts": `import { assert } from "@std/assert";` },
    says: "what is published imports no package",
  },
  "a package by its registry": {
    changes: { "streamer/model/id.ts": `import {} from "npm:redis@6";` },
    says: "what is published imports no package",
  },
  "a built-in out of its place": {
    changes: { "streamer/model/id.ts": `import { Buffer } from "node:buffer";` },
    says: "imports node:buffer: a runtime's built-in",
  },
  "a runtime's global out of its place": {
    changes: { "streamer/model/id.ts": `const home = Deno.env.get("HOME");` },
    says: "streamer/model/id.ts:1 uses Deno",
  },
  "a runtime's global by way of globalThis": {
    changes: { "streamer/model/id.ts": `const there = "Bun" in globalThis || globalThis.process;` },
    says: "streamer/model/id.ts:1 uses Bun",
  },
  "a runtime's type out of its place": {
    changes: { "streamer/model/id.ts": `export type A = Deno.Conn;` },
    says: "streamer/model/id.ts:1 uses Deno",
  },
  "printing": {
    changes: { "streamer/model/id.ts": `console.log("x");` },
    says: "uses console: the library prints nothing",
  },
  "an import of the tests": {
    changes: { "streamer/model/id.ts": `import {} from "../../tests/support/keys.ts";` },
    says: "that is no published file",
  },
  "an import of nothing": {
    changes: { "streamer/model/id.ts": `import {} from "./key";` },
    says: "that is no published file",
  },
  "a cycle": {
    changes: {
      "streamer/model/id.ts": `import {} from "./key.ts";`,
      "streamer/model/key.ts": `import {} from "./name.ts";`,
      "streamer/model/name.ts": `import {} from "./id.ts";`,
    },
    says: "a cycle: streamer/model/id.ts → streamer/model/key.ts → streamer/model/name.ts → streamer/model/id.ts",
  },
  "a cycle of types": {
    changes: {
      "streamer/model/id.ts": `import type { Key } from "./key.ts";`,
      "streamer/model/key.ts": `export type Key = import("./id.ts").Id;`,
    },
    says: "a cycle: streamer/model/id.ts → streamer/model/key.ts → streamer/model/id.ts",
  },
};

for (const [name, { changes, says }] of Object.entries(breaches)) {
  test(`a breach is seen: ${name}`, () => {
    assertStringIncludes(judge(house(changes)).join("\n"), says);
  });
}

test("words in comments, texts and names of members are no breach", () => {
  const source = `
    // import {} from "npm:redis"; Deno.exit();
    const text = 'import {} from "npm:redis"; process.exit()' + \`\${"node:fs"} \\\`\`;
    const pattern = /import "x" from 'y'/;
    interface A { process(): void; console: string; Deno?: number }
    const a = { process() {}, Buffer: 1 };
    a.process();
    class B { process = 1; }
    await using c = undefined;
  `;
  assertEquals(judge(house({ "streamer/model/id.ts": source })), []);
});
