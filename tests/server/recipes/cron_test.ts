// Tests the recipe of a script for cron: what each run reports, also after a run that failed.

import { assertEquals } from "@std/assert";
import { connect } from "@sea/streamer-redis";
import { ignore, Recipe } from "../../support/recipes/recipe.ts";
import { test } from "../../support/runner.ts";
import { startServer } from "../../support/servers/server.ts";

test("recipe cron: each run reports what is new, and a run that failed is made good by the next one", async () => {
  await using server = await startServer();
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer("orders");
  const order = async (...amounts: string[]) => {
    for (const amount of amounts) producer.send(amount);
    await producer.flush();
  };
  const run = async () => {
    await using recipe = new Recipe("cron.ts", { url: server.url });
    return { code: await recipe.ended, stdout: recipe.stdout };
  };

  await order("12.50", "7.50", "1");
  assertEquals(await run(), { code: 0, stdout: "3 orders, 21 in total\n" });

  await order("5");
  await server.command("RENAME", "reports", "reports-kept");
  await server.command("SET", "reports", "is not a stream"); // the report cannot be stored
  assertEquals((await run()).code, 1);
  await server.command("RENAME", "reports-kept", "reports");

  await order("6");
  assertEquals(await run(), { code: 0, stdout: "2 orders, 11 in total\n" });
  const manager = await streamer.createManager();
  assertEquals((await manager.range("reports", "-", "+")).map((report) => report.json()), [
    { count: 3, total: 21 },
    { count: 2, total: 11 },
  ]);
  const { groups } = await manager.info("orders");
  assertEquals(groups.map(({ name, pending }) => [name, pending]), [["daily-report", 0]]);
}, { ignore });
