// Tests the recipes of HTTP frameworks: Hono and Express.

import { assert, assertEquals } from "@std/assert";
import { ignore, Recipe } from "../../support/recipes/recipe.ts";
import { test } from "../../support/runner.ts";
import { startServer } from "../../support/servers/server.ts";

test("recipe hono: appends, pages, and a client that follows the stream until the server stops", async () => {
  await using server = await startServer();
  await using recipe = new Recipe("hono.ts", { url: server.url });
  const origin = await recipe.origin();
  const post = async (body: string) => {
    const response = await fetch(`${origin}/orders`, { method: "POST", body });
    assertEquals(response.status, 201);
    return (await response.json()).id as string;
  };
  const first = await post("first");

  const left = new AbortController();
  const [live, cut] = await Promise.all([
    fetch(`${origin}/orders/live`),
    fetch(`${origin}/orders/live`, { signal: left.signal }),
  ]);
  // One that leaves takes its consumer with it, hence its connection.
  const connections = async () => `${await server.command("CLIENT", "LIST")}`.match(/cmd=xread /g)?.length ?? 0;
  while (await connections() < 2);
  left.abort();
  await cut.text().catch(() => {});
  while (await connections() > 1);

  const second = await post("second");
  const reader = (live.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("\n")) text += (await reader.read()).value ?? "";
  const { id, payload, streamKey } = JSON.parse(text);
  assertEquals({ id, payload, streamKey }, { id: second, payload: "second", streamKey: "orders-hono" });

  const page = await (await fetch(`${origin}/orders?from=${first}`)).json();
  assertEquals(page.map(({ payload }: { payload: string }) => payload), ["first", "second"]);
  const refused = await fetch(`${origin}/orders?from=nonsense`);
  assertEquals([refused.status, (await refused.json()).error.includes("nonsense")], [400, true]);

  assertEquals(await recipe.stop(), 0, recipe.output);
  await reader.closed.catch(() => {}); // ended, or cut
}, { ignore });

test("recipe express: a request answers once its order is stored, and says so if it is not", async () => {
  await using server = await startServer();
  await using recipe = new Recipe("express.ts", { url: server.url });
  const origin = await recipe.origin();
  const post = async (body: string) => {
    const headers = { "content-type": "application/json" };
    const response = await fetch(`${origin}/orders`, { method: "POST", headers, body });
    return { status: response.status, body: await response.json() };
  };
  const ids: string[] = [];
  for (let id = 1; id <= 3; id++) {
    const { status, body } = await post(JSON.stringify({ id }));
    assertEquals(status, 201);
    ids.push(body.id);
  }
  assertEquals(await (await fetch(`${origin}/orders?count=2`)).json(), [
    { id: ids[2], order: { id: 3 } },
    { id: ids[1], order: { id: 2 } },
  ]);
  const refused = await fetch(`${origin}/orders?count=none`);
  assertEquals([refused.status, (await refused.json()).error], [400, "INVALID_OPTION"]);

  await server.command("DEL", "orders-express");
  await server.command("SET", "orders-express", "is not a stream");
  assertEquals(await post("{}"), { status: 503, body: { error: "WRONGTYPE", outcome: "not-written" } });
  assert(!recipe.stderr.includes("Unhandled"), recipe.output);
  assertEquals(await recipe.stop(), 0, recipe.output);
}, { ignore });
