// Tests the example of a price feed: it shows what it claims, and would report lost messages.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { env } from "node:process";
import { fileURLToPath } from "node:url";
import { Candles } from "../../../examples/price_feed/candles.ts";
import { SYMBOLS } from "../../../examples/price_feed/feed.ts";
import { formatTable } from "../../../examples/price_feed/table.ts";
import { uniqueKey } from "../../support/keys.ts";
import { Program } from "../../support/programs/program.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();

/** A program of the example. */
class FeedProgram extends Program {
  constructor(file: string, ...args: string[]) {
    const path = fileURLToPath(new URL(`../../../examples/price_feed/${file}`, import.meta.url));
    super(path, { args, env: { REDIS_URL: server.url } });
  }
}

test("a price feed loses nothing when one of its processors is killed, and cleans up", async () => {
  await using feed = new FeedProgram("main.ts", "--ticks", "60", "--rate", "400");
  const code = await feed.exited;
  assertEquals(code, 0, feed.stderr + feed.stdout);
  for (const symbol of SYMBOLS) {
    const { reflected, missing, ticks, prices } = rowOf(feed.stdout, symbol);
    assertEquals({ ticks, reflected, missing }, { ticks: 60, reflected: 60, missing: 0 }, feed.stdout);
    const [open, high, low, close] = prices;
    assert(low <= open && open <= high && low <= close && close <= high, feed.stdout);
  }
  assertEquals(rowOf(feed.stdout, "all").reflected, 60 * SYMBOLS.length);
  assertStringIncludes(feed.stdout, "✓ Nothing is missing: each of 480 ticks has become a quote");
  assertStringIncludes(feed.stderr, "kills processor-2");
  // Only claimed messages may have been processed twice.
  const claimed = [...feed.stderr.matchAll(/(\d+) claimed/g)].map(([, count]) => Number(count));
  assertEquals(claimed.length, 2, feed.stderr);
  assert(rowOf(feed.stdout, "all").repeated <= claimed[0] + claimed[1], feed.stderr + feed.stdout);
  if (env.REDIS_URL) return; // feeds of others may exist
  assertEquals(await server.command("KEYS", "ticks-*"), []);
  assertEquals(await server.command("KEYS", "quotes-*"), []);
});

test("a collector that is stopped before all bells have rung reports it, and exits with 1", async () => {
  const feed = uniqueKey();
  await using collector = new FeedProgram("collector.ts", "--feed", feed);
  await collector.until(({ stderr }) => stderr.includes("is ready"));
  collector.signal("SIGTERM");
  assertEquals(await collector.exited, 1, collector.stderr);
  assertStringIncludes(collector.stdout, "✗ Not every bell has arrived");
  await server.command("DEL", `quotes-${feed}`);
});

test("a usage error of the price feed is reported in one sentence, with exit code 2", async () => {
  await using feed = new FeedProgram("main.ts", "--ticks", "none");
  assertEquals(await feed.exited, 2);
  assertEquals(feed.stderr, "--ticks must be a whole number above 0, got none\n");
});

test("candles count each tick once, in any order and for any number of repeats of its quote, and report missing ones", () => {
  const candles = new Candles();
  for (const symbol of SYMBOLS) {
    for (const number of [3, 2, 3]) candles.add(symbol, { number, euros: 10 * number, by: "a" });
    candles.ring(symbol, 3);
  }
  assertEquals(candles.complete, false);
  const { ticks, reflected, repeated, missing, prices } = rowOf(formatTable(candles), SYMBOLS[0]);
  assertEquals({ ticks, reflected, repeated, missing }, { ticks: 3, reflected: 2, repeated: 1, missing: 1 });
  assertEquals(prices, [20, 30, 20, 30]);
  assertStringIncludes(formatTable(candles), `✗ ${SYMBOLS.length} ticks are MISSING`);
  for (const symbol of SYMBOLS) candles.add(symbol, { number: 1, euros: 40, by: "b" });
  assertEquals(candles.complete, true);
  assertEquals(rowOf(formatTable(candles), SYMBOLS[0]).prices, [40, 40, 20, 30]);
});

function rowOf(table: string, name: string) {
  const cells = table.split("\n").map((line) => line.trim().split(/\s+/)).find(([first]) => first === name) ?? [];
  const [ticks, reflected, repeated, missing, ...prices] = cells.slice(1).map((cell) => Number(cell.replace(",", "")));
  return { ticks, reflected, repeated, missing, prices };
}
