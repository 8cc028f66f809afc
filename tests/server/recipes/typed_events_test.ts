// Tests the recipe of typed events, with payloads that the schema refuses.

import { assertEquals } from "@std/assert";
import { connect } from "@sea/streamer-redis";
import { ignore, Recipe } from "../../support/recipes/recipe.ts";
import { test } from "../../support/runner.ts";
import { startServer } from "../../support/servers/server.ts";

test(
  "recipe typed_events: valid orders become invoices, and what the schema refuses becomes a dead letter",
  async () => {
    await using server = await startServer();
    const refused = [`{"id":"3","customer":"Cleo","cents":1}`, "no JSON", `{"id":4,"customer":"Dan","cents":0.5}`];
    for (const payload of refused) await server.command("XADD", "orders-typed", "*", "msg", payload);
    await using recipe = new Recipe("typed_events.ts", { url: server.url });
    await using streamer = await connect(server.url);
    const take = async (stream: string, count: number) => {
      await using consumer = await streamer.createConsumer(stream, { mode: "real-time", autoStreamReset: "earliest" });
      const texts: string[] = [];
      while (texts.length < count) texts.push((await consumer.next()).text());
      return texts;
    };
    assertEquals(await take("orders-refused", 3), refused);
    assertEquals(await take("invoices", 1), [`{"order":1,"text":"Ann owes 12.5"}`]);
    await recipe.says(/Order 1 of Ann/);
    assertEquals(await recipe.stop(), 0, recipe.output);
    assertEquals(await server.command("XLEN", "orders-typed"), 4); // the order of nothing was not sent
    assertEquals(recipe.stderr.match(/^Refused /gm)?.length, 3, recipe.stderr);
    assertEquals(/cents/.test(recipe.stderr), true, recipe.stderr);
  },
  { ignore },
);
