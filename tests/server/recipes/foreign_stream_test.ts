// Tests the recipe of a stream that another client writes and reads.

import { assertEquals } from "@std/assert";
import { ignore, Recipe } from "../../support/recipes/recipe.ts";
import { test } from "../../support/runner.ts";
import { startServer } from "../../support/servers/server.ts";

test("recipe foreign_stream: node-redis and a typed consumer read each other's entries", async () => {
  await using server = await startServer();
  await using recipe = new Recipe("foreign_stream.ts", { url: server.url });
  assertEquals(await recipe.ended, 0, recipe.output);
  const [ann, ben, ...rest] = recipe.stdout.split("\n");
  const read = rest.join(" "); // Bun prints an object in several lines
  assertEquals(ann.replace(/^\S+ /, ""), "Ann chose free");
  assertEquals(ben.replace(/^\S+ /, ""), "Ben chose paid");
  assertEquals(/^node-redis reads .*Ben.*paid/.test(read), true, read);
  const entries = await server.command("XRANGE", "signups", "-", "+") as [string, string[]][];
  assertEquals(entries.map(([, fields]) => fields), [["user", "Ann", "plan", "free"], ["user", "Ben", "plan", "paid"]]);
}, { ignore });
