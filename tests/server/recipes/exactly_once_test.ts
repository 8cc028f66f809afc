// Tests the recipe of orders and invoices: workers are killed, and each order has one invoice.

import { assertEquals } from "@std/assert";
import { connect } from "@sea/streamer-redis";
import { stored, untilHandled } from "../../support/consumer/exactly_once.ts";
import { until } from "../../support/events.ts";
import { ignore, Recipe } from "../../support/recipes/recipe.ts";
import { test } from "../../support/runner.ts";
import { startServer } from "../../support/servers/server.ts";

const ORDERS = 600;

async function startWorker(url: string): Promise<Recipe> {
  const worker = new Recipe("exactly_once.ts", { url });
  await worker.says(/Ready for orders/);
  return worker;
}

test("recipe exactly_once: each order has one invoice, also of workers that are killed", async () => {
  await using server = await startServer();
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer("{shop}:orders");
  const texts = Array.from({ length: ORDERS }, (_, i) => `order ${i}`);
  await Promise.all(texts.map((text) => producer.send(text)));
  await using doomed = await startWorker(server.url);
  await using other = await startWorker(server.url);
  await until(async () => (await stored(server, "{shop}:invoices")).length > 50);
  doomed.signal("SIGKILL");
  await untilHandled(server, "{shop}:orders", { timeout: 30_000 });
  assertEquals((await stored(server, "{shop}:invoices")).toSorted(), texts.map((text) => `invoice for ${text}`).sort());
  assertEquals(await other.stop(), 0, other.output);
  await other.says(/Stopped: \d+ invoices, \d+ had been stored before, 0 failures/);
}, { ignore, timeout: 60_000 });
