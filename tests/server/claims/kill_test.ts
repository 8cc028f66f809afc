// Tests killed consumers: a process is killed at every stage of a message. Another consumer of the group takes over its
// messages, once each, and no others.

import { assertEquals } from "@std/assert";
import { Child } from "../../support/consumer/children.ts";
import { inOrder, nothingPending, pendingOf } from "../../support/consumer/group_faults.ts";
import { addMany, idsInRange } from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";
const times = { autoClaimIdle: 300, autoClaimInterval: 100 };

interface Stage {
  readonly name: string;
  /** The number of its messages that others get. */
  readonly left: number;
  /** Brings the consumer to that stage. */
  readonly reach: (victim: Child, key: string) => Promise<unknown>;
}

const stages: readonly Stage[] = [
  { name: "before it has read", left: 0, reach: () => Promise.resolve() },
  {
    name: "with messages read ahead and none delivered but one",
    left: 5,
    reach: (victim) => victim.ask("take 1", "took"),
  },
  { name: "with messages delivered", left: 5, reach: (victim) => victim.ask("take 5", "took") },
  {
    name: "with messages acknowledged and not committed",
    left: 5,
    reach: (victim) => victim.ask("take 5", "took").then(() => victim.ask("ack", "acked")),
  },
  {
    name: "with messages that wait to be delivered again",
    left: 5,
    reach: (victim) => victim.ask("take 5", "took").then(() => victim.ask("nack 60000", "nacked")),
  },
  {
    name: "after its commit",
    left: 0,
    async reach(victim) {
      await victim.ask("take 5", "took");
      await victim.ask("ack", "acked");
      await victim.ask("commit", "committed");
    },
  },
];

for (const { name, left, reach } of stages) {
  test(`messages of a consumer that was killed ${name} are delivered by another one, once`, async () => {
    const key = uniqueKey();
    await server.command("XGROUP", "CREATE", key, group, "0", "MKSTREAM");
    const all = await addMany(server, key, 30);
    await using victim = await Child.start(server, key, "victim", { autoClaimInterval: null, autoClaimIdle: 300 });
    await reach(victim, key);
    await victim.kill();
    const mine = await pendingOf(server, key, group, "victim");
    assertEquals(mine.length, left);
    const done = victim.of("committed").length > 0 ? victim.ids : [];

    await using survivor = await Child.start(server, key, "survivor", times);
    survivor.do("drain");
    await survivor.until(() => survivor.ids.length >= 30 - done.length, "all messages");
    await nothingPending(server, key, group);
    const [mark] = await addMany(server, key, 1);
    await survivor.until(() => survivor.ids.includes(mark), "the mark");
    const expected = [...all.filter((id) => !done.includes(id)), mark];
    assertEquals([...survivor.ids].sort(inOrder), expected);
    const dead = mine.map(({ id }) => id);
    const fresh = survivor.ids.filter((id) => !dead.includes(id));
    assertEquals(fresh, [...fresh].sort(inOrder));
    for (const { id, deliveries } of survivor.of("message")) {
      assertEquals(deliveries, dead.includes(`${id}`) ? 2 : 1);
    }
    assertEquals(survivor.of("claimed").flatMap(({ ids = [] }) => ids), dead);
    assertEquals(survivor.of("claimed").every(({ from }) => from === "victim"), true);
    assertEquals(survivor.of("lost"), []);
  });
}

test("messages for a consumer that is killed in a blocked read go to another one", async () => {
  const key = uniqueKey();
  await server.command("XGROUP", "CREATE", key, group, "0", "MKSTREAM");
  await using victim = await Child.start(server, key, "victim", { autoClaimInterval: null });
  victim.do("take 5");
  await until(async () => /flags=\S*b/.test(String(await server.command("CLIENT", "LIST"))), {
    what: "a blocked read",
  });
  victim.signal("SIGSTOP"); // so that the page reaches a process that never sees it
  const ids = await addMany(server, key, 5);
  const mine = (await pendingOf(server, key, group, "victim")).map(({ id }) => id);
  assertEquals(mine.length > 0, true);
  await victim.kill();
  await using survivor = await Child.start(server, key, "survivor", times);
  survivor.do("drain");
  await survivor.until(() => survivor.ids.length >= 5, "all messages");
  await nothingPending(server, key, group);
  assertEquals([...survivor.ids].sort(inOrder), ids);
});

test("of three consumers under load, one that is killed loses nothing, and only its messages are repeated", async () => {
  const key = uniqueKey();
  await server.command("XGROUP", "CREATE", key, group, "0", "MKSTREAM");
  // The test takes a consumer for crashed if the system suspends it for longer than this.
  const patient = { ...times, autoClaimIdle: 2_000 };
  const children = await Promise.all(["a", "b", "c"].map((name) => Child.start(server, key, name, patient)));
  try {
    for (const child of children) child.do("drain");
    const [victim, ...others] = children;
    for (let i = 0; i < 20; i++) await addMany(server, key, 50);
    await victim.until(() => victim.ids.length >= 20, "some messages");
    await victim.kill();
    const had = (await pendingOf(server, key, group, victim.name)).map(({ id }) => id);
    for (let i = 0; i < 10; i++) await addMany(server, key, 50);
    const all = await idsInRange(server, key);
    await until(() => new Set(children.flatMap(({ ids }) => ids)).size === all.length, { what: "all have come" });
    await nothingPending(server, key, group);
    assertEquals(others.flatMap((child) => child.of("claimed")).flatMap(({ ids = [] }) => ids).sort(inOrder), had);
    const seen = others.flatMap(({ ids }) => ids);
    assertEquals(new Set(seen).size, seen.length);
    const twice = victim.ids.filter((id) => seen.includes(id));
    assertEquals(twice.filter((id) => !had.includes(id)), []);
  } finally {
    for (const child of children) await child.kill();
  }
});
