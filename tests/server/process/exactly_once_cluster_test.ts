// Tests `process` with `delivery: "exactly-once"` in a cluster: under one hash tag through a failover and a moving slot, and refused
// across slots.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { connect, keyHashSharder, type Message, process, type RedisStreamer, StreamerError } from "../../../mod.ts";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { stored, untilHandled } from "../../support/consumer/exactly_once.ts";
import { until } from "../../support/events.ts";
import { OWN } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { type Cluster, startCluster } from "../../support/servers/cluster.ts";
import { canStartServers } from "../../support/servers/server.ts";

const options = { ignore: !await canStartServers(), timeout: 120_000, oneServer: OWN };
const times = { autoClaimIdle: 500, autoClaimInterval: 200 };
const COUNT = 4_000;

/** Three members of a group between two streams of one tag. */
async function begin(cluster: Cluster, tag: string) {
  const [input, output] = [`{${tag}}:in`, `{${tag}}:out`];
  await cluster.command("XGROUP", "CREATE", input, "g", "0", "MKSTREAM");
  const stop = new AbortController();
  const errors: string[] = [];
  const members = await Promise.all(
    ["a", "b", "c"].map((name) => member(cluster, { input, output, name, stop, errors })),
  );
  const close = async () => {
    stop.abort();
    const counts = await Promise.all(members.map(({ running }) => running));
    await Promise.all(members.map(({ streamer }) => streamer.disconnect()));
    return counts;
  };
  return { input, output, close, errors };
}

async function member(
  cluster: Cluster,
  { input, output, name, stop, errors }: {
    input: string;
    output: string;
    name: string;
    stop: AbortController;
    errors: string[];
  },
) {
  const streamer: RedisStreamer = await connect(cluster.url, { reconnect: { initialDelay: 5, maxDelay: 100 } });
  const settings = { mode: "load-balanced", group: "g", consumerId: name, autoCommit: "rolling", ...times } as const;
  const consumer = await streamer.createConsumer(input, settings);
  const producer = await streamer.createProducer(output);
  const handler = (message: Message) => [`${message.text()} a`, `${message.text()} b`];
  const onError = (error: unknown) => void errors.push(String(error));
  const running = process(consumer, handler, {
    delivery: "exactly-once",
    producer,
    signal: stop.signal,
    onError,
    retryDelay: 50,
  });
  return { streamer, running };
}

/** Adds inputs at a pace, so that they arrive while something happens. */
async function addSlowly(cluster: Cluster, input: string, first = 0, end = COUNT): Promise<void> {
  for (let i = first; i < end; i += 100) {
    await Promise.all(
      Array.from({ length: 100 }, (_, k) => cluster.command("XADD", input, "*", "msg", `${i + k}`)),
    );
  }
}

async function checkOnce(cluster: Cluster, input: string, output: string): Promise<void> {
  await untilHandled(cluster, input, { timeout: 60_000 });
  const found = await stored(cluster, output);
  const inputs = await stored(cluster, input);
  assertEquals(new Set(found).size, found.length, "an output is stored twice");
  assertEquals(found.length, 2 * inputs.length);
  assertEquals(found.toSorted(), inputs.flatMap((text) => [`${text} a`, `${text} b`]).sort());
}

test("under one hash tag, a failover and a moving slot neither lose nor repeat an output", async () => {
  await using cluster = await startCluster({ replicas: 1 });
  const tag = "once";
  const { input, output, close, errors } = await begin(cluster, tag);
  const adding = addSlowly(cluster, input);
  await until(async () => (await stored(cluster, output)).length > 200);
  const slot = slotOfKey(input);
  const owner = await cluster.ownerOf(slot);
  const [replica] = await cluster.replicasOf(owner);
  assert(replica !== undefined);
  await cluster.failOver(replica);
  const now = await cluster.ownerOf(slot);
  const other = cluster.primaries.find((node) => node !== now);
  assert(other !== undefined);
  await cluster.moveSlot(slot, other, { askWindow: 300 });
  await adding;
  await checkOnce(cluster, input, output);
  const counts = await close();
  assertEquals([errors, counts.reduce((sum, { failed }) => sum + failed, 0)], [[], 0]);
}, options);

test("a primary that is killed takes back acks and outputs together", async () => {
  await using cluster = await startCluster({ replicas: 1 });
  const { input, output, close } = await begin(cluster, "killed");
  await addSlowly(cluster, input, 0, COUNT / 2);
  const owner = await cluster.ownerOf(slotOfKey(input));
  await cluster.kill(owner); // the members are busy with the last inputs
  await cluster.untilElected(owner);
  await addSlowly(cluster, input, COUNT / 2);
  await checkOnce(cluster, input, output);
  await close();
}, options);

test("streams in different slots are refused before a handler runs, naming both keys and the remedy", async () => {
  await using cluster = await startCluster();
  await using streamer = await connect(cluster.url);
  await cluster.command("XADD", "orders", "*", "msg", "1");
  const settings = { mode: "load-balanced", group: "g", autoCommit: "rolling", autoStreamReset: "earliest" } as const;
  const consumer = await streamer.createConsumer("orders", settings);
  const producer = await streamer.createProducer("invoices");
  let calls = 0;
  const running = process(consumer, () => `${calls++}`, { delivery: "exactly-once", producer });
  const error = await assertRejects(() => running, StreamerError);
  assertEquals([error.code, calls], ["UNSUPPORTED", 0]);
  for (const part of ["orders", "invoices", "hash tag"]) assert(error.message.includes(part), error.message);
}, options);

test("with a sharder, the first output in another slot ends the processing, and its message is put back", async () => {
  await using cluster = await startCluster();
  await using streamer = await connect(cluster.url);
  await cluster.command("XADD", "orders", "*", "msg", "1");
  const settings = { mode: "load-balanced", group: "g", autoCommit: "rolling", autoStreamReset: "earliest" } as const;
  const consumer = await streamer.createConsumer("orders", settings);
  const producer = await streamer.createProducer("invoices", { sharder: keyHashSharder(4) });
  const running = process(consumer, () => "one", { delivery: "exactly-once", producer });
  const error = await assertRejects(() => running, StreamerError);
  assertEquals(error.code, "UNSUPPORTED");
  assert(/orders and invoices:\d are in different/.test(error.message), error.message);
  const again = await consumer.next();
  assertEquals([again.text(), again.deliveries], ["1", 1]);
}, options);
