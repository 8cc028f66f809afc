// Tests commands of a replay that reach the server only after their connection was lost: they change nothing any more, as the
// connection is killed before the next one is used.

import { assertEquals } from "@std/assert";
import { connectEagerly } from "../../support/consumer/group_faults.ts";
import { groupOf, leftBy, pendingRows } from "../../support/consumer/grouping.ts";
import { restUpToMark, take, takeIds } from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import type { FakeServer } from "../../support/network/fake_server.ts";
import { startFilterServer, type Verdict } from "../../support/network/filter_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";
const mine = { mode: "resumable", group, consumerId: "me", autoCommit: "disabled", batchSize: 2 } as const;
const DAY = 86_400_000;

/** A network that holds one command, ends its connection for the client, and passes the command on when the test says so. */
class Stalling implements AsyncDisposable {
  readonly proxy: FakeServer;
  readonly #late: PromiseWithResolvers<void>;
  readonly #state: { isHeld: boolean };

  private constructor(proxy: FakeServer, late: PromiseWithResolvers<void>, state: { isHeld: boolean }) {
    this.proxy = proxy;
    this.#late = late;
    this.#state = state;
  }

  /** Stalls the first command for which `judge` gives true. */
  static async start(judge: (words: readonly string[]) => boolean): Promise<Stalling> {
    const late = Promise.withResolvers<void>();
    const state = { isHeld: false };
    const proxy = await startFilterServer(() => server.address, async (words, peer): Promise<Verdict> => {
      if (state.isHeld || !judge(words)) return "pass";
      state.isHeld = true;
      await peer.cut();
      await late.promise;
      return "pass";
    });
    return new Stalling(proxy, late, state);
  }

  /** Whether the command is held. */
  get isHeld(): boolean {
    return this.#state.isHeld;
  }

  /** Passes the command on; resolves when the server must have executed it, if it ever does. */
  async pass(): Promise<void> {
    this.#late.resolve();
    for (let i = 0; i < 3; i++) await server.command("PING");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#late.resolve();
    await this.proxy.stop();
  }
}

/** Whether a page of a previous session after this id is read. */
const isPageAfter = (id: string) => (words: readonly string[]) =>
  words[0] === "XREADGROUP" && words.at(-1) === id && !words.includes("BLOCK");

test("a page of a previous session that the server gets late is not counted as another delivery", async () => {
  const { key, ids } = await groupOf(server, group, 3);
  await leftBy(server, { key, group, consumer: "me" });
  await using network = await Stalling.start(isPageAfter("0-0"));
  await using streamer = await connectEagerly(network.proxy.url);
  const consumer = await streamer.createConsumer(key, { ...mine, batchSize: 10 });
  const messages = await take(consumer, 3);
  assertEquals(network.isHeld, true);
  assertEquals(messages.map(({ id, deliveries }) => [id, deliveries]), ids.map((id) => [id, 2]));
  await network.pass();
  assertEquals((await pendingRows(server, key, group)).map(({ deliveries }) => deliveries), [2, 2, 2]);
});

test("a page that the server gets late does not bring entries back that a move has released", async () => {
  const { key, ids } = await groupOf(server, group, 10);
  await leftBy(server, { key, group, consumer: "me", count: 6 });
  await using network = await Stalling.start(isPageAfter(ids[1]));
  await using streamer = await connectEagerly(network.proxy.url);
  const consumer = await streamer.createConsumer(key, mine);
  assertEquals(await takeIds(consumer, 2), ids.slice(0, 2));
  await until(() => network.isHeld);
  await consumer.rewind(ids[5], { group: true });
  assertEquals(await takeIds(consumer, 4), ids.slice(6));
  await network.pass();
  const released = (await pendingRows(server, key, group)).filter(({ idle }) => idle > DAY).map(({ id }) => id);
  assertEquals(released, ids.slice(2, 6));
  const rest = await restUpToMark(server, consumer, key);
  await Promise.all(network.proxy.peers.map((peer) => peer.cut()));
  assertEquals([...rest, ...await restUpToMark(server, consumer, key)], []);
});
