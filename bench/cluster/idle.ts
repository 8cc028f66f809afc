// The commands that consumers of many shards send while nothing happens.

import { type AckConsumer, connect, type RedisStreamer } from "../../mod.ts";
import { Monitor } from "../../tests/support/consumer/reading.ts";
import { until } from "../../tests/support/events.ts";
import { addStreams } from "../../tests/support/servers/cluster_keys.ts";
import { fixed } from "../table.ts";
import { empty, type Place, shardsOf, type Table } from "./place.ts";

const MODES = ["real-time", "resumable", "load-balanced"] as const;
/** Milliseconds after which everything is read, acknowledged and looked at. */
const SETTLING = 5_000;

/** The table of each mode. All of them are idle at the same time: the keys tell whose commands they are. */
export async function idleTable(place: Place): Promise<Table> {
  const { cluster, report, options: { idle } } = place;
  await using streamer = await connect(cluster.url);
  const kinds = [64, 1_024].flatMap((shards) =>
    MODES.map((mode) => ({ shards, mode, key: `bench.${mode}.${shards}` }))
  );
  for (const { shards, mode, key } of kinds) {
    await addStreams(cluster, shardsOf(key, shards));
    await readAll(streamer, { key, mode, shards });
  }
  await new Promise((resolve) => setTimeout(resolve, SETTLING));
  report(`idle for ${idle} s`);
  const monitors = await Promise.all(cluster.primaries.map(({ server }) => Monitor.open(server)));
  await new Promise((resolve) => setTimeout(resolve, idle * 1_000));
  const rows = kinds.map(({ shards, mode, key }) => {
    const others = kinds.filter((kind) => kind.key !== key);
    const counts = monitors.map(({ commands }) => {
      const own = commands.filter((words) => names(words, key) || !others.some((other) => names(words, other.key)));
      return own.length * 60 / idle;
    });
    return [`${mode}, ${shards} shards`, ...counts.map((count) => fixed(count, 1)), "40"];
  });
  for (const monitor of monitors) await monitor[Symbol.asyncDispose]();
  await streamer.disconnect();
  await empty(place);
  const title = `Idle: commands of one consumer per minute and node, counted for ${idle} s`;
  return { title, rows: [["", "node 1", "node 2", "node 3", "≤ mark"], ...rows] };
}

/** Whether a command concerns a stream. */
function names(words: readonly string[], key: string): boolean {
  return words.some((word) => word === key || word.startsWith(`${key}:`));
}

async function readAll(
  streamer: RedisStreamer,
  { key, mode, shards }: { readonly key: string; readonly mode: typeof MODES[number]; readonly shards: number },
): Promise<void> {
  let count = 0;
  const read = async (consumer: AsyncIterable<unknown>) => {
    for await (const _message of consumer) count++;
  };
  const readAcking = async (consumer: AckConsumer) => {
    for await (const message of consumer) {
      consumer.ack(message);
      count++;
    }
  };
  const group = { group: "bench", autoStreamReset: "earliest", autoCommit: "rolling" } as const;
  if (mode === "real-time") {
    read(await streamer.createConsumer(key, { mode, autoStreamReset: "earliest" })).catch(() => {});
  } else if (mode === "resumable") readAcking(await streamer.createConsumer(key, { mode, ...group })).catch(() => {});
  else readAcking(await streamer.createConsumer(key, { mode, ...group })).catch(() => {});
  await until(() => count >= shards, { what: `${key} is read` });
}
