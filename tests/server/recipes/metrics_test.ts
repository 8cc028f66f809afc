// Tests the recipe of metrics: the page and its numbers.

import { assertEquals, assertMatch } from "@std/assert";
import { connect } from "@sea/streamer-redis";
import { until } from "../../support/events.ts";
import { ignore, Recipe } from "../../support/recipes/recipe.ts";
import { test } from "../../support/runner.ts";
import { startServer } from "../../support/servers/server.ts";

test("recipe metrics: a page of Prometheus shows the numbers of producer, consumer, group and events", async () => {
  await using server = await startServer();
  await using recipe = new Recipe("metrics.ts", { url: server.url });
  const origin = await recipe.origin();
  const scrape = async () => {
    const response = await fetch(`${origin}/metrics`);
    assertEquals(response.status, 200);
    const text = await response.text();
    for (const line of text.trimEnd().split("\n")) assertMatch(line, /^[a-z_]+\{([a-z]+="[^"]*",?)+\} -?\d+(\.\d+)?$/);
    return new Map(text.trimEnd().split("\n").map((line) => line.split(" ") as [string, string]));
  };
  assertEquals((await scrape()).get(`streamer_stream_length{stream="names"}`), "0");

  await using streamer = await connect(server.url);
  await using producer = await streamer.createProducer("names");
  for (let i = 0; i < 5; i++) producer.send(`name ${i}`);
  await producer.flush();
  const metrics = await until(async () => {
    const metrics = await scrape();
    return metrics.get(`streamer_consumer_acked{stream="names",group="greeters"}`) === "5" && metrics;
  });
  assertEquals(metrics.get(`streamer_stream_length{stream="names"}`), "5");
  assertEquals(metrics.get(`streamer_producer_acked{stream="greetings"}`), "5");
  assertEquals(metrics.get(`streamer_group_pending{stream="names",group="greeters"}`) !== undefined, true);
  assertEquals(metrics.get(`streamer_events_disconnects{stream="names"}`), "0");
  assertEquals(await recipe.stop(), 0, recipe.output);
  assertEquals(await server.command("XLEN", "greetings"), 5);
}, { ignore });
