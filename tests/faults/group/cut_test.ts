// Tests cuts inside of a group's page: at every byte of an XREADGROUP reply of 100 messages the connection breaks.
// Every message is delivered once, without a second delivery in the counter, and in the end nothing is pending.

import { env } from "node:process";
import { assert, assertEquals, assertGreaterOrEqual } from "@std/assert";
import type { CommitConsumer, DisabledOptions, Message, RedisStreamer } from "../../../mod.ts";
import { Random } from "../../support/resp/drive.ts";
import { entry, page3 } from "../../unit/commands/frames.ts";
import {
  connectEagerly,
  countPending,
  groupInfo,
  nothingPending,
  pendingOf,
} from "../../support/consumer/group_faults.ts";
import { addAt, blockedClient, take } from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { type Proxy, startProxy } from "../../support/network/proxy.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";
const SIZE = 100;
const SEED = Math.floor(Math.random() * 1e9);
/** Every byte is cut on request of the environment, which takes minutes. */
const EVERY = env.SEA_TEST_EVERY_BYTE !== undefined;
const FIRST = EVERY ? Infinity : 300;
const options = { mode: "resumable", group, mkstream: true, autoStreamReset: "earliest", batchSize: SIZE } as const;

/** A policy's options for early acknowledgements. */
const policies = {
  delayed: { autoCommit: "delayed", autoCommitDelay: 0, autoCommitInterval: 5 },
  rolling: { autoCommit: "rolling", autoCommitInterval: 5 },
  disabled: { autoCommit: "disabled" },
} as const;
type Policy = keyof typeof policies;

/** A consumer that is connected over a proxy, and the rounds it has played. */
class Stage implements AsyncDisposable {
  readonly key: string;
  readonly proxy: Proxy;
  readonly streamer: RedisStreamer;
  readonly consumer: CommitConsumer;
  #round = 0;

  private constructor(key: string, proxy: Proxy, streamer: RedisStreamer, consumer: CommitConsumer) {
    this.key = key;
    this.proxy = proxy;
    this.streamer = streamer;
    this.consumer = consumer;
  }

  static async open(choice: object, key: string): Promise<Stage> {
    const proxy = await startProxy(server);
    const streamer = await connectEagerly(proxy.url, { clientName: key });
    // A checked border: the policy decides which methods exist, and a stage calls no others.
    const all = { ...options, ...choice } as DisabledOptions;
    const consumer = await streamer.createConsumer(key, all);
    return new Stage(key, proxy, streamer, consumer);
  }

  /** A page of 100 arrives at a blocked read, and is cut after so many bytes. */
  async page(cut: number): Promise<string[]> {
    const ids = pageIds(this.#round++);
    const add = ids.map((id, i) => ["XADD", this.key, id, "msg", `${i}`]);
    await blockedClient(server, this.key);
    this.proxy.toClient.cutAfter(cut);
    await server.commands([["MULTI"], ...add, ["EXEC"]]);
    return ids;
  }

  /** Acknowledges, and waits until the server has confirmed all of it. */
  async settle(messages: readonly Message[], policy: Policy): Promise<void> {
    if (policy !== "delayed") { for (const message of messages) this.consumer.ack(message); }
    if (policy === "disabled") await this.consumer.commit();
    await nothingPending(server, this.key, group);
    await until(() => this.consumer.stats().unsentAcks === 0);
  }

  /** At all times delivered messages are acknowledged or pending. */
  async balance(): Promise<void> {
    const read = (await groupInfo(server, this.key, group)).get("entries-read");
    assertEquals(read, this.consumer.stats().acked + await countPending(server, this.key, group));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.streamer.disconnect();
    await this.proxy.stop();
    await server.command("DEL", this.key);
  }
}

function pageIds(round: number): string[] {
  return Array.from({ length: SIZE }, (_, i) => `${1_000_000 + round}-${i}`);
}

/** The first bytes of a page one by one, each border between two entries, and a sample of the others. */
function cutPoints(key: string, sample: number): number[] {
  const random = new Random(SEED);
  const entries = pageIds(0).map((id, i) => entry(id, "msg", `${i}`));
  const whole = page3([key, ...entries]).length;
  const cuts = new Set<number>(Array.from({ length: Math.min(FIRST, whole) }, (_, i) => i + 1));
  for (let i = SIZE - 1, at = whole; i >= 0; at -= entries[i--].length) cuts.add(at);
  if (!EVERY) { for (let i = 0; i < sample; i++) cuts.add(FIRST + random.below(whole - FIRST)); }
  return [...cuts];
}

/** One consumer plays these cuts in sequence. */
async function play(policy: Policy, key: string, cuts: readonly number[]): Promise<void> {
  await using stage = await Stage.open(policies[policy], key);
  const { consumer, proxy } = stage;
  const before = proxy.connections;
  for (const cut of cuts) {
    const ids = await stage.page(cut);
    const messages = await take(consumer, SIZE);
    assertEquals(messages.map(({ id }) => id), ids, `cut behind byte ${cut}`);
    assert(messages.every(({ deliveries }) => deliveries === 1), `cut behind byte ${cut}`);
    if (policy === "disabled") { // the only one without acknowledgements in between
      const pending = await pendingOf(server, key, group);
      assertEquals(pending.map(({ id }) => id), ids);
      assert(pending.every(({ deliveries }) => deliveries === 1), "the server counts no more deliveries");
      await stage.balance();
    }
    await stage.settle(messages, policy);
  }
  await stage.balance();
  assertGreaterOrEqual(proxy.connections - before, cuts.length);
  assertEquals(consumer.stats().delivered, cuts.length * SIZE);
  assertEquals(consumer.stats().inHand, 0);
}

const SAMPLE = 60;

/** The cuts of one policy, on four consumers at a time. */
async function playAll(policy: Policy, chosen: (cut: number, i: number) => boolean): Promise<void> {
  const keys = [0, 1, 2, 3].map(() => uniqueKey());
  const cuts = cutPoints(keys[0], SAMPLE).filter(chosen);
  await Promise.all(keys.map((key, part) => play(policy, key, cuts.filter((_, i) => i % keys.length === part))));
}

test(
  EVERY
    ? "a cut at each byte of a group's page loses and doubles nothing"
    : `a cut at each of the first ${FIRST} bytes of a group's page, at each border of its entries and at ${SAMPLE} others (seed ${SEED}) loses and doubles nothing`,
  () => playAll("disabled", () => true),
  { timeout: EVERY ? 840_000 : 90_000 },
);

for (const [policy, rest] of [["delayed", 1], ["rolling", 3]] as const) {
  test(
    `cuts in a group's page neither lose nor repeat messages with automatic acknowledgements (${policy}, seed ${SEED})`,
    () => playAll(policy, (_, i) => i % 6 === rest),
    { timeout: EVERY ? 840_000 : 60_000 },
  );
}

test(`cuts while a cut page is read again (seed ${SEED}) neither lose nor repeat messages`, async () => {
  const key = uniqueKey();
  const random = new Random(SEED);
  await using stage = await Stage.open(policies.disabled, key);
  const { consumer, proxy, streamer } = stage;
  let left = 0;
  streamer.addEventListener("disconnect", () => {
    if (left-- > 0) proxy.toClient.cutAfter(1 + random.below(9_000));
  });
  for (let round = 0; round < 10; round++) {
    left = 3;
    const ids = await stage.page(1 + random.below(4_000));
    const messages = await take(consumer, SIZE);
    left = 0;
    proxy.toClient.cutAfter(Infinity);
    assertEquals(messages.map(({ id, deliveries }) => `${id} ${deliveries}`), ids.map((id) => `${id} 1`));
    await stage.settle(messages, "disabled");
    await stage.balance();
  }
  assertGreaterOrEqual(proxy.connections, 20);
}, { timeout: 60_000 });

test("cuts in pages that are acknowledged as they are read deliver nothing twice", async () => {
  const key = uniqueKey();
  await using stage = await Stage.open({ autoCommit: "immediate" }, key);
  const { consumer } = stage;
  const cuts = cutPoints(key, 0).filter((_, i) => i % 16 === 0);
  const seen: string[] = [];
  const added: string[] = [];
  for (const cut of cuts) {
    const { connections } = stage.proxy;
    added.push(...await stage.page(cut));
    await until(() => stage.proxy.connections > connections, { what: "the library comes back" });
    // One more, after the page: all earlier messages have arrived.
    await blockedClient(server, key);
    const mark = `${added.at(-1)?.split("-")[0]}-999`;
    await addAt(server, key, mark);
    added.push(mark);
    for (let id = ""; id !== mark;) seen.push(id = (await consumer.next()).id);
  }
  assertEquals(new Set(seen).size, seen.length);
  const came = new Set(seen);
  assertEquals(seen, added.filter((id) => came.has(id)));
  assertEquals(await countPending(server, key, group), 0);
});
