// Owns the cut inside of a page: at every byte of an XREAD reply of 100 messages the connection breaks, and still each
// message comes exactly once, in ascending order.

import { assertEquals } from "@std/assert";
import { connect } from "../mod.ts";
import { Random } from "./resp/drive.ts";
import { entry, page3 } from "./streamer/commands/frames.ts";
import { until } from "./support/events.ts";
import { handshake, startFakeServer } from "./support/fake_server.ts";
import { test } from "./support/runner.ts";
import { addMany, takeIds } from "./streamer/consumer/reading.ts";
import { uniqueKey } from "./support/keys.ts";
import { startProxy } from "./support/proxy.ts";
import { sharedServer } from "./support/server.ts";

const server = await sharedServer();

const ids = Array.from({ length: 100 }, (_, i) => `${1_700_000_000_000 + i}-${i % 7}`);
const reply = page3(["k", ...ids.map((id, i) => entry(id, "msg", `payload ${i}\r\n`, "h", ""))]);

/** All cuts of a run, one connection each, on one consumer: it reads the page from the beginning again each time. */
async function readThroughCuts(cuts: readonly number[]): Promise<void> {
  let cut = 0;
  await using fake = await startFakeServer(async (peer) => {
    await peer.serve({
      ...handshake,
      XREAD: async (words) => {
        const position = words.at(-1) ?? "";
        const from = position === "0-0" ? 0 : ids.indexOf(position) + 1;
        if (from > 0) return undefined;
        if (cut === cuts.length) return reply;
        await peer.sendAndCut(reply, cuts[cut++]);
        return undefined;
      },
    });
  });
  // The default pace of ten tries a second would take minutes here: that it is kept is another test's business.
  const consumer = await makeConsumer(fake.url);
  const got = consumer.consumer.next().then(async (first) => [first.id, ...await takeIds(consumer.consumer, 99)]);
  await until(() => cut === cuts.length, { timeout: 60_000, what: `${cut} of ${cuts.length} cuts were made` });
  assertEquals(await got, ids);
  assertEquals(consumer.consumer.stats().delivered, 100);
  await consumer.streamer.disconnect();
}
