// Tests that the page of events lists every event with the fields of its detail.

import { readFile } from "node:fs/promises";
import { assertEquals } from "@std/assert";
import { root } from "../../support/prose/paths.ts";
import { publishedTrees } from "../../support/prose/project.ts";
import { DeclaredTypes } from "../../support/structure/members.ts";
import { codeIn, tablesOf } from "../../support/structure/tables.ts";
import { test } from "../../support/runner.ts";

test("the page lists every event with the fields of its detail", async () => {
  const types = new DeclaredTypes((await publishedTrees()).values());
  const declared = types.membersOf("StreamerEventDetails").map(({ name }): [string, string[]] => {
    const own = types.membersWithin("StreamerEventDetails", name);
    return [name, own.length > 0 ? own : types.membersOf("StreamerGroupEntries").map((member) => member.name)];
  });
  const rows = tablesOf(await readFile(`${root}docs/events.md`, "utf8")).flatMap(({ rows }) => rows);
  const listed = rows.map((row): [string, string[]] => [
    codeIn(row.get("Event") ?? "")[0],
    codeIn(row.get("Detail") ?? ""),
  ]);
  const sorted = (events: readonly [string, string[]][]) =>
    Object.fromEntries([...events].sort().map(([name, fields]) => [name, [...fields].sort()]));
  assertEquals(sorted(listed), sorted(declared));
});
