// Tests a garbled reply on the command connection, whichever it is: acknowledgements, lease renewal, claims, dead
// letters and recreated groups are sent once more, and the consumer continues.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { StreamerError } from "../../../mod.ts";
import { connectEagerly, countPending, eventsOf, readAndDie } from "../../support/consumer/group_faults.ts";
import { addMany, idsInRange } from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { garbled, Garbler } from "../../support/network/garbler.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";

/**
 * Runs through all commands of the connection, while its `nth` reply from then on is garbled. Resolves to their number.
 */
async function liveThrough(nth: number): Promise<number> {
  const [key, dead] = [uniqueKey(), uniqueKey("dead")];
  await using garbler = await Garbler.start(server);
  await using streamer = await connectEagerly(garbler.url, { timeout: 5_000 });
  const causes = eventsOf(streamer, "disconnect");
  const claimed = eventsOf(streamer, "claimed");
  await server.command("XGROUP", "CREATE", key, group, "0", "MKSTREAM");
  const lost = await addMany(server, key, 3);
  await readAndDie(server, { key, group, consumer: "other" });
  const consumer = await streamer.createConsumer(key, {
    mode: "load-balanced",
    group,
    autoCommit: "rolling",
    autoCommitInterval: 5,
    autoClaimIdle: 60,
    autoClaimInterval: 20,
    deadLetter: dead,
  });
  let replies = 0;
  garbler.spoil = (piece, connection) => {
    if (connection !== 0) return piece; // the first one is the command connection
    return ++replies === nth ? garbled(piece) : piece;
  };
  const seen: string[] = [];
  const nacked = new Set<string>();
  const run = (async () => {
    for await (const message of consumer) {
      seen.push(message.id);
      const text = message.text();
      if (text.startsWith("bad")) consumer.term(message);
      else if (text.startsWith("again") && !nacked.has(message.id)) {
        nacked.add(message.id);
        consumer.nack(message);
      } else consumer.ack(message);
    }
  })();
  const ended = run.then(() => undefined, (error) => error);
  const added = [...await addMany(server, key, 3), ...await addMany(server, key, 1, "again")];
  const bad = await addMany(server, key, 1, "bad");
  await until(() => [...lost, ...added, ...bad].every((id) => seen.includes(id)), { what: `all come, reply ${nth}` });
  await until(async () => await countPending(server, key, group) === 0, { what: `all is acknowledged, reply ${nth}` });
  assert(claimed.length > 0);
  const letters = await idsInRange(server, dead);
  assert(letters.length === 1 || letters.length === 2, `${letters.length} dead letters`); // written twice, if it was that reply
  await server.command("XGROUP", "DESTROY", key, group);
  const groups = async () => String(await server.command("XINFO", "GROUPS", key));
  await until(async () => (await groups()).includes(group), { what: `the group is made again, reply ${nth}` });
  const [last] = await addMany(server, key, 1);
  await until(() => seen.includes(last), { what: `the last one comes, reply ${nth}` });
  await until(() => replies >= Math.min(nth, 15)); // it claims now and then
  await consumer.end();
  assertEquals(await ended, undefined);
  const violations = causes.filter(({ cause }) => Reflect.get(Object(cause), "code") === "PROTOCOL");
  assertEquals(violations.length, nth === Infinity ? 0 : 1, `reply ${nth}`);
  return replies;
}

test("whichever reply of the command connection is garbled, the consumer continues and nothing is lost", async () => {
  const replies = await liveThrough(Infinity);
  assert(replies >= 15, `${replies} replies`);
  for (let nth = 1; nth <= 15; nth++) await liveThrough(nth);
});

test("acknowledgements whose replies are never readable end the consumer, with PROTOCOL", async () => {
  const key = uniqueKey();
  await using garbler = await Garbler.start(server);
  await using streamer = await connectEagerly(garbler.url, { timeout: 5_000 });
  await addMany(server, key, 1);
  const consumer = await streamer.createConsumer(key, {
    mode: "resumable",
    group,
    autoCommit: "rolling",
    autoCommitInterval: 5,
    autoStreamReset: "earliest",
  });
  const message = await consumer.next();
  const violations = eventsOf(streamer, "disconnect");
  const COLON = 0x3a; // the first byte of an integer: of all commands in flight, only XACK returns one
  garbler.spoil = (piece) => piece[0] === COLON ? garbled(piece) : piece;
  consumer.ack(message);
  const error = await assertRejects(() => consumer.next(), StreamerError);
  assertEquals(error.code, "PROTOCOL");
  assertEquals(violations.filter(({ cause }) => Reflect.get(Object(cause), "code") === "PROTOCOL").length, 2);
  garbler.spoil = (piece) => piece;
  await consumer.end().catch(() => {});
});
