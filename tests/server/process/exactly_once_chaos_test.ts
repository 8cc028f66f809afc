// Tests that processors in processes of their own store each output once while they are killed, stall over their messages, and lose
// their connections.

import { assert, assertEquals } from "@std/assert";
import { setTimeout as sleep } from "node:timers/promises";
import { Child } from "../../support/consumer/children.ts";
import { stored, untilHandled } from "../../support/consumer/exactly_once.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { PROXIED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const INPUTS = 20_000;
const STEPS = 100;

/** Runs the processors. Those that were started are in `all`, the killed ones too. */
async function runAll(all: Child[]): Promise<void> {
  await using proxy = await startProxy(server);
  const [input, output] = [uniqueKey("in"), uniqueKey("out")];
  await server.command("XGROUP", "CREATE", input, "g", "0", "MKSTREAM");
  const options = {
    program: "exactly_once_child",
    output,
    slowEvery: 100,
    slow: 600,
    autoClaimIdle: 300,
    autoClaimInterval: 100,
    keepAlive: false, // others claim what a slow handler works on
  };
  let started = 0;
  const start = () => Child.start(proxy, input, `c${started++}`, options);
  const members = await Promise.all([start(), start(), start()]);
  all.push(...members);
  let over = false;
  const cutting = (async () => {
    for (; !over; await sleep(300)) await proxy.cut();
  })();
  const killing = (async () => {
    for (let turn = 0; !over; turn = (turn + 1) % 3) {
      await sleep(1_000);
      await members[turn].kill();
      members[turn] = await start();
      all.push(members[turn]);
    }
  })();
  try {
    for (let step = 0; step < STEPS; step++) {
      const first = step * (INPUTS / STEPS);
      const added = Array.from({ length: INPUTS / STEPS }, (_, i) => ["XADD", input, "*", "msg", `${first + i}`]);
      await server.commands(added);
      await sleep(100);
    }
    await untilHandled(server, input, { timeout: 60_000 });
  } finally {
    over = true;
    await cutting;
    await killing;
  }
  for (const child of members) child.do("stop");
  await Promise.all(members.map((child) => child.says("counts")));
  const expected = Array.from({ length: INPUTS }, (_, i) => [`${i} a`, `${i} b`]).flat().sort();
  const found = await stored(server, output);
  for (let i = 0; i < found.length; i += 2) assertEquals(found[i].replace(" a", " b"), found[i + 1]); // adjacent, in order
  assertEquals(found.toSorted(), expected);
  const repeated = all.reduce((sum, child) => sum + Number(child.of("counts")[0]?.repeated ?? 0), 0);
  assert(started > 6, `only ${started - 3} were killed`);
  console.log(`    ${started - 3} killed, ${repeated} repeated by the last three`);
  assertEquals(all.flatMap((child) => child.of("failed")), []);
  await Promise.all(all.map((child) => child.kill()));
}

test(
  "three processors, one of them killed each second and all of them cut off every 300 ms, store 20,000 outputs once",
  async () => {
    const all: Child[] = [];
    try {
      await runAll(all);
    } catch (error) {
      await Promise.allSettled(all.map((child) => child.kill())); // those that run would outlive the test
      throw error;
    }
  },
  { oneServer: PROXIED, timeout: 120_000 },
);
