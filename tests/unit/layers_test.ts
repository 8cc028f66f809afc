// Tests that published files keep the import rules of ARCHITECTURE.md, and that a breach of a rule is found.

import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertLessOrEqual, assertStringIncludes } from "@std/assert";
import { judge } from "../support/structure/layers.ts";
import { countCrossImports } from "../support/structure/modules.ts";
import { test } from "../support/runner.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

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

/** A small project without violations, with some files changed. */
function project(changes: Record<string, string> = {}): Map<string, string> {
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
    "streamer/consumer/options.ts": `export interface Options {}`,
    "streamer/consumer/server/server.ts": `import type { Options } from "../options.ts";`,
    "streamer/consumer/shards/shard.ts": `import {} from "../server/server.ts";`,
    "streamer/consumer/reading/reader.ts": `import {} from "../shards/shard.ts";`,
    "streamer/consumer/pending/pending.ts": `import {} from "../shards/shard.ts";`,
    "streamer/consumer/group/session.ts": `import {} from "../pending/pending.ts";`,
    "streamer/consumer/group_consumer.ts": `import {} from "./group/session.ts";`,
    "streamer/file/error.ts": `export class FileError extends Error {}`,
    "streamer/file/format/header.ts": `import {} from "../error.ts";`,
    "streamer/file/disk/disk.ts": `import {} from "../format/header.ts";`,
    "streamer/cli/args/arguments.ts": `export const args = 1;`,
    "streamer/cli/screen/screen.ts": `export const screen = 1;`,
    "streamer/cli/formats/format.ts": `import {} from "../screen/screen.ts";`,
    "streamer/cli/verbs/verb.ts": `import {} from "../args/arguments.ts";`,
    "streamer/cli/main.ts": `import {} from "./verbs/verb.ts";`,
    "streamer/process/process.ts": `import {} from "../producer/producer.ts";`,
    "streamer/streamer.ts": `import {} from "./producer/producer.ts"; import {} from "./consumer/consumer.ts";`,
    ...changes,
  }));
}

test("published files keep the rules of layers and modules", async () => {
  const sources = await published();
  for (const path of ["mod.ts", "resp/mod.ts", "streamer/streamer.ts"]) assert(sources.has(path), path);
  assertEquals(judge(sources), []);
}, { timeout: 120_000 });

test("a correct project has no violations", () => {
  assertEquals(judge(project()), []);
});

const breaches: Record<string, { readonly changes: Record<string, string>; readonly says: string }> = {
  "an import from above": {
    changes: { "resp/decoder.ts": `import {} from "../streamer/model/id.ts";` },
    says: "resp/decoder.ts:1 imports ../streamer/model/id.ts: layer 4 lies above layer 1",
  },
  "a type-only import from above": {
    changes: { "streamer/model/id.ts": `\nimport type { A } from "../commands/xadd.ts";` },
    says: "streamer/model/id.ts:2 imports ../commands/xadd.ts: layer 5 lies above layer 4",
  },
  "a type by import() from above": {
    changes: { "streamer/model/id.ts": `type A = import("../streamer.ts").A;` },
    says: "streamer/model/id.ts:1 imports ../streamer.ts: layer 8 lies above layer 4",
  },
  "a dynamic import from above": {
    changes: { "streamer/model/id.ts": `const a = await import("../streamer.ts");` },
    says: "layer 8 lies above layer 4",
  },
  "a re-export from above": {
    changes: { "resp/errors.ts": `export * from "./connection/pipeline.ts";` },
    says: "layer 3 lies above layer 1",
  },
  "a computed import": {
    changes: { "streamer/model/id.ts": `const a = await import(name);` },
    says: "its target is unknown",
  },
  "siblings that import one another": {
    changes: { "streamer/producer/producer.ts": `import {} from "../consumer/consumer.ts";` },
    says: "siblings on layer 7",
  },
  "a transport that imports RESP": {
    changes: { "resp/transport/node.ts": `import {} from "../decoder.ts";` },
    says: "a transport knows no RESP",
  },
  "a command that imports connections": {
    changes: { "streamer/commands/xadd.ts": `import { pipeline } from "../../resp/connection/pipeline.ts";` },
    says: "a command knows what a command is",
  },
  "a producer that imports sockets": {
    changes: { "streamer/producer/producer.ts": `import type { A } from "../../resp/transport/node.ts";` },
    says: "only resp/connection/ lets bytes meet sockets",
  },
  "a package": {
    changes: { "streamer/model/id.ts": `import { assert } from "@std/assert";` },
    says: "published files import no package",
  },
  "a package by its registry": {
    changes: { "streamer/model/id.ts": `import {} from "npm:redis@6";` },
    says: "published files import no package",
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
    changes: { "streamer/model/id.ts": `import {} from "../support/keys.ts";` },
    says: "that is no published file",
  },
  "an import of nothing": {
    changes: { "streamer/model/id.ts": `import {} from "./key";` },
    says: "that is no published file",
  },
  "a consumer's module that imports to its right": {
    changes: { "streamer/consumer/shards/shard.ts": `import {} from "../group/session.ts";` },
    says: "module shards must not import group",
  },
  "a type from a module to the right": {
    changes: { "streamer/consumer/server/server.ts": `import type { A } from "../pending/pending.ts";` },
    says: "module server must not import pending",
  },
  "reading that imports pending entries": {
    changes: { "streamer/consumer/reading/reader.ts": `import {} from "../pending/pending.ts";` },
    says: "module reading must not import pending",
  },
  "pending entries that import reading": {
    changes: { "streamer/consumer/pending/pending.ts": `import {} from "../reading/reader.ts";` },
    says: "module pending must not import reading",
  },
  "a module that imports a kind of consumer": {
    changes: { "streamer/consumer/group/session.ts": `import {} from "../group_consumer.ts";` },
    says: "module group must not import group_consumer.ts",
  },
  "options that import a module": {
    changes: { "streamer/consumer/options.ts": `import type { A } from "./server/server.ts";` },
    says: "module options.ts must not import server",
  },
  "a file of the consumer outside of its modules": {
    changes: { "streamer/consumer/stray.ts": `import {} from "./options.ts";` },
    says: "streamer/consumer/stray.ts belongs to no module",
  },
  "a new module without a place in the order": {
    changes: {
      "streamer/consumer/extra/one.ts": ``,
      "streamer/consumer/group/session.ts": `import {} from "../extra/one.ts";`,
    },
    says: "streamer/consumer/extra/one.ts belongs to no module",
  },
  "a file's format that imports disks": {
    changes: { "streamer/file/format/header.ts": `import {} from "../disk/disk.ts";` },
    says: "module format must not import disk",
  },
  "arguments that import verbs": {
    changes: { "streamer/cli/args/arguments.ts": `import {} from "../verbs/verb.ts";` },
    says: "module args must not import verbs",
  },
  "a screen that imports formats": {
    changes: { "streamer/cli/screen/screen.ts": `import {} from "../formats/format.ts";` },
    says: "module screen must not import formats",
  },
  "a consumer that imports processing": {
    changes: { "streamer/consumer/consumer.ts": `import {} from "../process/process.ts";` },
    says: "layer 8 lies above layer 7",
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

test("the modules of the consumer import each other at most 130 times", async () => {
  assertLessOrEqual(countCrossImports(await published(), "streamer/consumer/"), 130);
}, { timeout: 120_000 });

test("imports between modules are counted, others are not", () => {
  const one = { "streamer/consumer/shards/two.ts": `import {} from "./shard.ts"; import {} from "../options.ts";` };
  const before = countCrossImports(project(), "streamer/consumer/");
  assertEquals(countCrossImports(project(one), "streamer/consumer/"), before);
  const two = {
    "streamer/consumer/shards/two.ts": `import {} from "../server/server.ts"; import {} from "../x/y.ts";`,
  };
  assertEquals(countCrossImports(project(two), "streamer/consumer/"), before + 2);
});

for (const [name, { changes, says }] of Object.entries(breaches)) {
  test(`a breach is seen: ${name}`, () => {
    assertStringIncludes(judge(project(changes)).join("\n"), says);
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
  assertEquals(judge(project({ "streamer/model/id.ts": source })), []);
});
