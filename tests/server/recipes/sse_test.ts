// Tests the recipe of server-sent events, with browsers that lose their connections and a deployment.

import { assertEquals, assertRejects } from "@std/assert";
import { EventStream } from "../../support/recipes/event_source.ts";
import { ignore, Recipe } from "../../support/recipes/recipe.ts";
import { test } from "../../support/runner.ts";
import { startServer } from "../../support/servers/server.ts";

async function publish(origin: string, ...texts: string[]): Promise<void> {
  for (const body of texts) {
    const response = await fetch(origin, { method: "POST", body });
    assertEquals([response.status, /^\d+-\d+\n$/.test(await response.text())], [201, true]);
  }
}

test("recipe sse: a browser that reconnects with its last event id misses nothing and repeats nothing", async () => {
  await using server = await startServer();
  await using recipe = new Recipe("sse.ts", { url: server.url });
  const origin = await recipe.origin();
  await publish(origin, "before");

  // A browser that never loses its connection sees all of it.
  await using witness = await EventStream.open(origin);
  let lastId: string;
  {
    await using browser = await EventStream.open(origin);
    await publish(origin, "one", "two\nlines");
    assertEquals((await browser.take(2)).map(({ data }) => data), ["one", "two\nlines"]);
    lastId = browser.lastId;
  }
  await publish(origin, "three", "four");
  {
    await using browser = await EventStream.open(origin, lastId);
    await publish(origin, "five");
    assertEquals((await browser.take(3)).map(({ data }) => data), ["three", "four", "five"]);
    assertEquals((await witness.take(5)).map(({ data }) => data), ["one", "two\nlines", "three", "four", "five"]);
    assertEquals(browser.lastId, witness.lastId);

    // A deployment stops the recipe while browsers are connected. They reconnect to the next one.
    lastId = browser.lastId;
    assertEquals(await recipe.stop(), 0, recipe.output);
  }
  await using next = new Recipe("sse.ts", { url: server.url });
  await publish(await next.origin(), "six");
  await using browser = await EventStream.open(await next.origin(), lastId);
  assertEquals((await browser.take(1)).map(({ data }) => data), ["six"]);
}, { ignore });

test("recipe sse: a browser that is cut before its first event misses nothing either", async () => {
  await using server = await startServer();
  await using recipe = new Recipe("sse.ts", { url: server.url });
  const origin = await recipe.origin();
  const lastIds: string[] = [];
  for (let i = 0; i < 2; i++) {
    await using browser = await EventStream.open(origin); // on an empty stream, then on one that has an entry
    lastIds.push(browser.lastId);
    await publish(origin, `message ${i}`);
  }
  for (const [i, lastId] of lastIds.entries()) {
    await using browser = await EventStream.open(origin, lastId);
    assertEquals((await browser.take(2 - i)).map(({ data }) => data), ["message 0", "message 1"].slice(i));
  }
}, { ignore });

test("recipe sse: a last event id that is none is refused, and other browsers are served", async () => {
  await using server = await startServer();
  await using recipe = new Recipe("sse.ts", { url: server.url });
  const origin = await recipe.origin();
  await assertRejects(() => EventStream.open(origin, "nonsense"), Error, "400");
  await using browser = await EventStream.open(origin);
  await publish(origin, "still there");
  assertEquals((await browser.take(1)).map(({ data }) => data), ["still there"]);
}, { ignore });
