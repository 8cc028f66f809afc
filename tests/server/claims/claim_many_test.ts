// Tests a long list of a crashed consumer: its 10,000 messages are claimed once each, and none of a running consumer
// that has as many.

import { assertEquals } from "@std/assert";
import { Random } from "../../support/resp/drive.ts";
import { connectEagerly, countPending, eventsOf, pendingOf, readAndDie } from "../../support/consumer/group_faults.ts";
import { addVeryMany, restUpToMark, take } from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { PROXIED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";
const SEED = Math.floor(Math.random() * 1e9);
const MANY = 10_000;
const options = { mode: "load-balanced", group, autoCommit: "disabled", batchSize: 500, prefetch: 0 } as const;

test(
  "10,000 messages of a crashed consumer after 10,000 of a running one are claimed once each, and the running one keeps its own",
  async () => {
    const key = uniqueKey();
    await server.command("XGROUP", "CREATE", key, group, "0", "MKSTREAM");
    await addVeryMany(server, key, MANY);
    await using streamer = await connectEagerly(server.url);
    const [claimed, lost] = [eventsOf(streamer, "claimed"), eventsOf(streamer, "lost")];
    const times = { autoClaimIdle: 1_500, autoClaimInterval: null };
    const living = await streamer.createConsumer(key, { ...options, ...times, consumerId: "living" });
    const held = await take(living, MANY);
    await addVeryMany(server, key, MANY);
    const dead = await readAndDie(server, { key, group, consumer: "dead" });
    assertEquals([held.length, dead.length], [MANY, MANY]);

    const heir = await streamer.createConsumer(key, {
      ...options,
      ...times,
      autoClaimInterval: 100,
      consumerId: "heir",
    });
    const seen: string[] = [];
    while (seen.length < MANY) {
      const message = await heir.next();
      assertEquals(message.deliveries, 2);
      heir.ack(message);
      seen.push(message.id);
    }
    assertEquals(seen, dead); // each once, in their order
    const pending = await pendingOf(server, key, group);
    const ownedBy = (name: string) => pending.filter(({ consumer }) => consumer === name).map(({ id }) => id);
    assertEquals(ownedBy("heir"), dead);
    assertEquals(ownedBy("living"), held.map(({ id }) => id));
    assertEquals(pending.length, 2 * MANY);
    assertEquals(claimed.flatMap(({ ids }) => ids), dead);
    assertEquals(
      claimed.every(({ from, group: name, streamKey }) => `${from} ${name} ${streamKey}` === `dead g ${key}`),
      true,
    );
    assertEquals([heir.stats().claimed, living.stats().claimed, lost.length], [MANY, 0, 0]);

    await heir.commit();
    assertEquals(heir.stats().acked + await countPending(server, key, group), 2 * MANY);
    for (const message of held) living.ack(message);
    await living.commit();
    assertEquals(await countPending(server, key, group), 0);
    await until(() => living.stats().acked === MANY);
  },
  { timeout: 60_000 },
);

test(`claims whose replies are lost (seed ${SEED}) neither lose nor repeat messages, and count once`, async () => {
  const random = new Random(SEED);
  for (let round = 0; round < 10; round++) {
    const key = uniqueKey();
    await server.command("XGROUP", "CREATE", key, group, "0", "MKSTREAM");
    await addVeryMany(server, key, 60);
    const dead = await readAndDie(server, { key, group, consumer: "dead" });
    await using proxy = await startProxy(server);
    await using streamer = await connectEagerly(proxy.url);
    const claimed = eventsOf(streamer, "claimed");
    let left = 4;
    streamer.addEventListener("disconnect", () => {
      if (left-- > 0) proxy.toClient.cutAfter(1 + random.below(5_000));
    });
    const times = { autoClaimIdle: 150, autoClaimInterval: 20 };
    const heir = await streamer.createConsumer(key, { ...options, ...times, batchSize: 20, consumerId: "heir" });
    proxy.toClient.cutAfter(1 + random.below(3_000));
    const messages = await take(heir, 60);
    left = 0;
    proxy.toClient.cutAfter(Infinity);
    assertEquals(messages.map(({ id, deliveries }) => `${id} ${deliveries}`), dead.map((id) => `${id} 2`));
    const counted = await pendingOf(server, key, group);
    assertEquals(counted.map(({ consumer, deliveries }) => `${consumer} ${deliveries}`), dead.map(() => "heir 2"));
    for (const message of messages) heir.ack(message);
    await heir.commit();
    assertEquals(await restUpToMark(server, heir, key), []);
    assertEquals(claimed.every(({ from }) => from === "dead"), true);
  }
}, { oneServer: PROXIED });
