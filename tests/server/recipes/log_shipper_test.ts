// Tests the recipe of a log shipper: every line in its order, and back-pressure over a stalled network.

import { assert, assertEquals } from "@std/assert";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "@sea/streamer-redis";
import { Proxy } from "../../support/network/proxy.ts";
import { ignore, Recipe } from "../../support/recipes/recipe.ts";
import { test } from "../../support/runner.ts";
import { startServer } from "../../support/servers/server.ts";

test(
  "recipe log_shipper: every line is stored in its order, and a stalled network stops the program before the pipe",
  async () => {
    await using server = await startServer();
    await using proxy = await Proxy.start(server);
    await using recipe = new Recipe("log_shipper.ts", { url: proxy.url });
    const { stdin } = recipe;

    const line = (i: number) => `${i} ${"x".repeat(200)}`;
    const count = 30_000; // 6 MB
    let written = 0;
    const write = async (end: number) => {
      for (; written < end; written++) if (!stdin.write(`${line(written)}\n`)) await once(stdin, "drain");
    };
    await write(1_000);
    await using streamer = await connect(server.url);
    await using consumer = await streamer.createConsumer("logs", { mode: "real-time", autoStreamReset: "earliest" });
    for (let i = 0; i < 1_000; i++) assertEquals((await consumer.next()).text(), line(i));

    proxy.toServer.hold();
    const writing = write(count);
    await sleep(800);
    const before = written;
    await sleep(300);
    assertEquals(written, before, "the pipe is full");
    assert(written < count / 2, `${written} lines are somewhere between the program and Redis`);
    proxy.toServer.release();
    await writing;
    stdin.end();
    for (let i = 1_000; i < count; i++) {
      const text = (await consumer.next()).text();
      if (text !== line(i)) assertEquals(text, line(i));
    }
    assertEquals([await recipe.ended, recipe.stderr], [0, `${count} lines are stored\n`]);
  },
  { ignore },
);
