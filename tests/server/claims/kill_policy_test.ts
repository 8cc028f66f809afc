// Tests the promises of each way of acknowledging for a consumer that is killed, or suspended for too long: which of
// its messages are redelivered to another consumer, and which are not.

import { assertEquals } from "@std/assert";
import { Child } from "../../support/consumer/children.ts";
import { inOrder, nothingPending, pendingOf } from "../../support/consumer/group_faults.ts";
import { addMany } from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";
const times = { autoClaimIdle: 300, autoClaimInterval: 100 };
const TAKEN = 5;

interface Case {
  readonly name: string;
  readonly options: object;
  /** Whether the consumer acknowledges its messages. */
  readonly acks: boolean;
  /** Whether its messages are redelivered. */
  readonly again: boolean;
}

const cases: readonly Case[] = [
  {
    name: "delayed, before its time",
    options: { autoCommit: "delayed", autoCommitDelay: 3_600_000 },
    acks: false,
    again: true,
  },
  {
    name: "delayed, after its time",
    options: { autoCommit: "delayed", autoCommitDelay: 0, autoCommitInterval: 0 },
    acks: false,
    again: false,
  },
  { name: "rolling, not acked", options: { autoCommit: "rolling", autoCommitInterval: 0 }, acks: false, again: true },
  {
    name: "rolling, acked and not sent",
    options: { autoCommit: "rolling", autoCommitInterval: 3_600_000 },
    acks: true,
    again: true,
  },
  {
    name: "rolling, acked and sent",
    options: { autoCommit: "rolling", autoCommitInterval: 0 },
    acks: true,
    again: false,
  },
  { name: "immediate", options: { autoCommit: "immediate" }, acks: false, again: false },
];

/** A consumer that has taken some of twenty messages, and acknowledged them if its policy does. */
async function begin(
  { options, acks, again }: Case,
): Promise<{ key: string; all: string[]; victim: Child; taken: string[] }> {
  const key = uniqueKey();
  await server.command("XGROUP", "CREATE", key, group, "0", "MKSTREAM");
  const all = await addMany(server, key, 20);
  const victim = await Child.start(server, key, "victim", { autoClaimInterval: null, autoClaimIdle: 300, ...options });
  await victim.ask(`take ${TAKEN}`, "took");
  if (acks) await victim.ask("ack", "acked");
  const taken = [...victim.ids];
  const pendingTaken = async () =>
    (await pendingOf(server, key, group, "victim")).filter(({ id }) => taken.includes(id)).length;
  await until(async () => await pendingTaken() === (again ? TAKEN : 0), { what: "its acks are where they belong" });
  return { key, all, victim, taken };
}

for (const one of cases) {
  test(`of a killed consumer, messages in flight are redelivered ${one.again ? "to another" : "to no other"} consumer: ${one.name}`, async () => {
    const { key, all, victim, taken } = await begin(one);
    await using _victim = victim;
    await victim.kill();
    const left = (await pendingOf(server, key, group, "victim")).map(({ id }) => id);
    await using survivor = await Child.start(server, key, "survivor", times);
    survivor.do("drain");
    const [mark] = await addMany(server, key, 1);
    await survivor.until(() => survivor.ids.includes(mark), "the mark");
    await nothingPending(server, key, group);
    const seen = [...survivor.ids].sort(inOrder);
    assertEquals(new Set(seen).size, seen.length, "nothing comes twice to one");
    assertEquals(taken.filter((id) => seen.includes(id)), one.again ? taken : []);
    assertEquals(survivor.of("claimed").flatMap(({ ids = [] }) => ids).sort(inOrder), left);
    if (one.name === "immediate") return; // its prefetched messages are lost with it: at most once
    assertEquals(seen, [...all.filter((id) => one.again || !taken.includes(id)), mark]);
  });
}

for (const one of cases.filter(({ again, options }) => again && Object(options).autoCommit !== "immediate")) {
  test(`a consumer that is suspended for too long delivers no message of another one: ${one.name}`, async () => {
    const { key, all, victim, taken } = await begin(one);
    await using _victim = victim;
    victim.signal("SIGSTOP");
    await using survivor = await Child.start(server, key, "survivor", times);
    survivor.do("drain");
    await survivor.until(() => survivor.ids.length === all.length, "all messages");
    victim.signal("SIGCONT");
    victim.do("take 1");
    await until(async () => {
      await addMany(server, key, 1);
      return victim.ids.length > TAKEN;
    }, { what: "the consumer continues" });
    assertEquals(victim.ids.slice(TAKEN).filter((id) => all.includes(id)), []);
    assertEquals([...survivor.ids].filter((id) => all.includes(id)).sort(inOrder), all);
    const told = victim.of("lost").flatMap(({ ids = [] }) => ids);
    if (!one.acks) assertEquals(told.sort(inOrder), taken);
  });
}
