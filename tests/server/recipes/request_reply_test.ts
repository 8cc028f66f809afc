// Tests the recipe of request and reply, with several clients and a server that stops.

import { assertEquals, assertMatch } from "@std/assert";
import { until } from "../../support/events.ts";
import { ignore, Recipe } from "../../support/recipes/recipe.ts";
import { test } from "../../support/runner.ts";
import { startServer } from "../../support/servers/server.ts";

test(
  "recipe request_reply: each client gets its replies, also while a server stops, and none waits for ever",
  async () => {
    await using server = await startServer();
    await using lonely = await startServer(); // where nobody serves
    const start = (...args: string[]) => new Recipe("request_reply.ts", { url: server.url, args });
    await using unheard = new Recipe("request_reply.ts", { url: lonely.url, args: ["ask", "anybody?"] });
    await using one = start("serve");
    await using two = start("serve");
    await Promise.all([one.says(/Ready/), two.says(/Ready/)]);

    const words = ["a", "b"].map((name) => Array.from({ length: 200 }, (_, i) => `${name}${i}`));
    await using ann = start("ask", ...words[0]);
    await using ben = start("ask", ...words[1]);
    await until(async () => await server.command("XLEN", "requests") !== 0, { what: "requests are in flight" });
    assertEquals(await one.stop(), 0, one.output);
    assertEquals([await ann.ended, await ben.ended], [0, 0], ann.output + ben.output);
    for (const [i, { stdout }] of [ann, ben].entries()) {
      assertEquals(stdout, `${words[i].map((word) => word.toUpperCase()).join("\n")}\n`);
    }
    assertEquals(await two.stop(), 0, two.output);

    assertEquals(await unheard.ended, 1);
    assertMatch(unheard.stderr, /No reply to anybody\?/);
    for (const asked of [server, lonely]) assertEquals(await asked.command("KEYS", "replies-*"), []);
  },
  { ignore },
);
