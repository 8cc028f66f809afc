// Tests the recipe of tumbling windows, with a crash in the middle of a window.

import { assertEquals } from "@std/assert";
import { ignore, Recipe } from "../../support/recipes/recipe.ts";
import { test } from "../../support/runner.ts";
import { startServer } from "../../support/servers/server.ts";

test(
  "recipe windows: each window is counted once and in full, although the program crashes in the middle of one",
  async () => {
    await using server = await startServer();
    let last = 0;
    const click = async (...clicks: [time: number, page: string][]) => {
      await server.commands(clicks.map(([time, page]) => ["XADD", "clicks", `${time}-${last++}`, "msg", page]));
    };
    const start = () => new Recipe("windows.ts", { url: server.url, args: ["1000"] });
    const results = async () => {
      const entries = await server.command("XRANGE", "clicks-per-window", "-", "+") as [string, string[]][];
      return entries.map(([, fields]) => JSON.parse(fields[fields.indexOf("msg") + 1]));
    };

    await click([10_000, "/home"], [10_500, "/about"], [10_999, "/home"], [11_000, "/home"], [11_200, "/home"]);
    {
      await using run = start();
      await run.says(/00:00:10/);
      run.signal("SIGKILL"); // it has counted a part of the second window
    }
    await click([11_999, "/about"], [14_000, "/"], [14_001, "/"]); // two windows without clicks
    await using run = start();
    await run.says(/00:00:11/);
    await click([20_000, "/"]);
    await run.says(/00:00:14/);
    assertEquals(await run.stop(), 0, run.output);
    assertEquals(await results(), [
      { start: "1970-01-01T00:00:10.000Z", counts: { "/home": 2, "/about": 1 } },
      { start: "1970-01-01T00:00:11.000Z", counts: { "/home": 2, "/about": 1 } },
      { start: "1970-01-01T00:00:14.000Z", counts: { "/": 2 } },
    ]);
  },
  { ignore },
);
