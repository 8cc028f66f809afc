// Tests a consumer that is suspended for too long and resumes: messages that others have claimed meanwhile are no
// longer its own. It delivers none of them, and reports those that are in flight as lost.

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
/** The suspended one claims nothing, so that nothing returns to it. */
const patient = { autoClaimIdle: 300, autoClaimInterval: null };
const times = { autoClaimIdle: 300, autoClaimInterval: 100, prefetch: 0 };

/** Two in sequence: a read that another consumer has in flight may take the first. */
async function addMarks(key: string): Promise<string[]> {
  return [...await addMany(server, key, 1), ...await addMany(server, key, 1)];
}

interface Story {
  readonly name: string;
  /** The number of messages in flight at the suspended one. */
  readonly taken: number;
  /** The number of those that are lost. */
  readonly lost: number;
  readonly before?: readonly [command: string, answer: string];
}

const stories: readonly Story[] = [
  { name: "has read ahead", taken: 1, lost: 1 },
  { name: "has delivered", taken: 5, lost: 5 },
  { name: "waits to deliver again", taken: 5, lost: 0, before: ["nack 100", "nacked"] },
  { name: "has not committed", taken: 5, lost: 0, before: ["ack", "acked"] },
];

for (const { name, taken, lost, before } of stories) {
  test(`a suspended consumer delivers no message that another has claimed of those it ${name}`, async () => {
    const key = uniqueKey();
    await server.command("XGROUP", "CREATE", key, group, "0", "MKSTREAM");
    const all = await addMany(server, key, 30);
    await using victim = await Child.start(server, key, "victim", patient);
    await using survivor = await Child.start(server, key, "survivor", times);
    await victim.ask(`take ${taken}`, "took");
    if (before !== undefined) await victim.ask(...before);
    victim.signal("SIGSTOP");
    const mine = (await pendingOf(server, key, group, "victim")).map(({ id }) => id);
    assertEquals(mine.length, 5);

    await survivor.ask("take 30", "took");
    assertEquals([...survivor.ids].sort(inOrder), all);
    assertEquals(survivor.of("claimed").flatMap(({ ids = [] }) => ids), mine);
    assertEquals((await pendingOf(server, key, group)).every(({ consumer }) => consumer === "survivor"), true);

    victim.signal("SIGCONT");
    // It calls before it receives an event, and gets only new messages.
    const had = victim.ids.length;
    victim.do("take 1");
    const marks = await addMarks(key);
    await victim.until(() => victim.ids.length > had, "a message");
    assertEquals(victim.ids.slice(had).filter((id) => !marks.includes(id)), []);
    if (lost > 0) await victim.says("lost");
    assertEquals(victim.of("lost").flatMap(({ ids = [] }) => ids), mine.slice(0, lost));
    assertEquals(survivor.of("lost"), []);

    // In the end nothing was returned to it, and nothing is repeated.
    for (const child of [survivor, victim]) {
      await child.ask("ack", "acked");
      await child.ask("commit", "committed");
      child.do("drain");
    }
    await until(() => marks.every((id) => [...victim.ids, ...survivor.ids].includes(id)), { what: "the marks came" });
    await nothingPending(server, key, group);
    const seen = [...victim.ids.slice(taken), ...survivor.ids];
    assertEquals(seen.sort(inOrder), [...all, ...marks]);
  });
}

test("a page that arrived while its reader was suspended for too long is not delivered after another consumer has claimed it", async () => {
  const key = uniqueKey();
  await server.command("XGROUP", "CREATE", key, group, "0", "MKSTREAM");
  await using victim = await Child.start(server, key, "victim", patient);
  await using survivor = await Child.start(server, key, "survivor", times);
  victim.do("take 1");
  await until(async () => /flags=\S*b/.test(String(await server.command("CLIENT", "LIST"))), {
    what: "a blocked read",
  });
  victim.signal("SIGSTOP");
  const all = await addMany(server, key, 20);
  const mine = (await pendingOf(server, key, group, "victim")).map(({ id }) => id);
  assertEquals(mine.length > 0, true);
  await survivor.ask("take 20", "took");
  assertEquals([...survivor.ids].sort(inOrder), all);
  victim.signal("SIGCONT");
  const marks = await addMarks(key);
  await victim.says("took");
  assertEquals(victim.ids.filter((id) => !marks.includes(id)), []);
  assertEquals(victim.of("lost"), []);
});
