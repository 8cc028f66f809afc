// Tests the recipe of order per key, with workers that crash and start again.

import { assert, assertEquals } from "@std/assert";
import { until } from "../../support/events.ts";
import { ignore, Recipe } from "../../support/recipes/recipe.ts";
import { test } from "../../support/runner.ts";
import { startServer } from "../../support/servers/server.ts";

const ACCOUNTS = ["ann", "ben", "cleo", "dan"];

/** The changes of each account in the order in which a run of a worker has applied them. */
function changesOf({ stdout }: Recipe): Map<string, number[]> {
  const changes = new Map<string, number[]>(ACCOUNTS.map((account) => [account, []]));
  for (const [, account, change] of stdout.matchAll(/^([a-z]+) (\d+)$/gm)) changes.get(account)?.push(Number(change));
  return changes;
}

test(
  "recipe order_per_key: the changes of a key are applied in order, also if a worker crashes and others fail",
  async () => {
    await using server = await startServer();
    await using stack = new AsyncDisposableStack();
    const start = async (worker: number) => {
      const recipe = stack.use(new Recipe("order_per_key.ts", { url: server.url, args: ["work", `${worker}`, "2"] }));
      await recipe.says(/Ready/);
      return recipe;
    };
    const runs = [await start(0), await start(1)];
    const working = [...runs]; // the current run of each worker
    const count = 150;
    await using sender = new Recipe("order_per_key.ts", { url: server.url, args: ["send", `${count}`] });
    assertEquals(await sender.ended, 0, sender.output);

    await until(() => ACCOUNTS.every((account) => runs.some((run) => changesOf(run).get(account)?.length)));
    for (const worker of [0, 1]) { // whichever has work: crashed, and started again
      if (changesOf(runs[worker]).values().every((changes) => changes.length === 0)) continue;
      await runs[worker].says(/ 30\n/);
      runs[worker].signal("SIGKILL");
      await runs[worker].ended;
      runs.push(working[worker] = await start(worker));
    }
    const applied = (account: string) => runs.flatMap((run) => changesOf(run).get(account) ?? []);
    await until(() => ACCOUNTS.every((account) => applied(account).includes(count)), { timeout: 20_000 });
    for (const account of ACCOUNTS) {
      let last = 0;
      for (const run of runs) {
        const changes = changesOf(run).get(account) ?? [];
        if (changes.length === 0) continue;
        // A new run may repeat what the crashed one had not acknowledged; it leaves nothing out.
        assert(changes[0] <= last + 1, `${account} begins at ${changes[0]} after ${last}`);
        assertEquals(changes, changes.map((_, i) => changes[0] + i), account);
        last = Math.max(last, changes[changes.length - 1]);
      }
      assertEquals(last, count, account);
    }
    for (const run of working) run.signal("SIGTERM");
    for (const run of working) assertEquals(await run.ended, 0, run.output);
  },
  { ignore },
);
