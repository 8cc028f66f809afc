// Tests that the page of errors lists every code of the client, and every server code that the library classifies.

import { readFile } from "node:fs/promises";
import { assertEquals } from "@std/assert";
import { root } from "../../support/prose/paths.ts";
import { publishedTrees } from "../../support/prose/project.ts";
import { DeclaredTypes } from "../../support/structure/members.ts";
import { codeIn, tablesOf } from "../../support/structure/tables.ts";
import { test } from "../../support/runner.ts";

async function codesUnder(heading: string, column = "Code"): Promise<string[]> {
  const tables = tablesOf(await readFile(`${root}docs/errors.md`, "utf8"));
  const rows = tables.filter((table) => table.heading === heading).flatMap(({ rows }) => rows);
  return rows.flatMap((row) => codeIn(row.get(column) ?? "")).sort();
}

async function declaredTypes(): Promise<DeclaredTypes> {
  return new DeclaredTypes((await publishedTrees()).values());
}

test("the page lists every code of the client once", async () => {
  const declared = (await declaredTypes()).wordsOf("ClientErrorCode").sort();
  assertEquals(await codesUnder("Client codes"), declared);
});

test("the page names every server code that the library classifies", async () => {
  const source = await readFile(`${root}resp/connection/server_errors.ts`, "utf8");
  const classified = [...source.matchAll(/\["([A-Z]+)", "[a-z-]+"\]/g)].map(([, code]) => code);
  const page = await readFile(`${root}docs/errors.md`, "utf8");
  const named = new Set(codeIn(page.slice(page.indexOf("## Server codes"))));
  assertEquals(classified.filter((code) => !named.has(code)), []);
});

test("the page lists every kind of a FileError", async () => {
  assertEquals(await codesUnder("Files", "`kind`"), (await declaredTypes()).wordsOf("FileErrorKind").sort());
});
