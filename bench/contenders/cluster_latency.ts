// Measures the latency of reading shards in many slots of a cluster: by this library, and by the simplest client that keeps one blocking
// connection for each shard. The same producer sends to both.

import { connect as connectTcp, type Socket } from "node:net";
import { connect, type RedisStreamer, roundRobinSharder } from "../../mod.ts";
import { encodeCommand, RespDecoder } from "../../resp/mod.ts";
import { type RespValue, textOf } from "../../resp/value.ts";
import { contend, type Form, type Job } from "./contend.ts";
import { Stopwatch } from "./latency.ts";
import { endToEnd } from "./shapes.ts";

/** Reads all shards from their beginning, and calls `arrive` with each payload. Resolves to a count of connections to the busiest node. */
type Read = (job: Job, streamer: RedisStreamer, arrive: (payload: string) => void) => Promise<() => number>;

/** Each shard has one entry from before, so that the clock starts when all shards are read. */
function latencyOf(read: Read): Form {
  return async (job, measure) => {
    const streamer = await connect(job.url);
    const producer = await streamer.createProducer(job.key, { sharder: roundRobinSharder(job.shards) });
    const watch = new Stopwatch(job, { isOrdered: false });
    const [ready, done] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let left = job.shards;
    const connections = await read(job, streamer, (payload) => {
      if (left > 0) return void (--left === 0 && ready.resolve());
      watch.arrive(payload);
      if (watch.done) done.resolve();
    });
    await ready.promise;
    const client = { send: (payload: string) => producer.send(payload), receive: () => done.promise };
    const count = connections();
    return { ...await endToEnd(job, measure, watch, client), connections: count };
  };
}

const readOurs: Read = async ({ key }, streamer, arrive) => {
  const before = connectionsOf(streamer);
  const consumer = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  const loop = async () => {
    for await (const message of consumer) arrive(message.text());
  };
  loop();
  return () => Math.max(...connectionsOf(streamer).map((count, node) => count - (before[node] ?? 0)));
};

function connectionsOf(streamer: RedisStreamer): number[] {
  return streamer.stats().nodes.map(({ connections }) => connections);
}

const readBlocking: Read = ({ key, shards, ports = [] }, _streamer, arrive) => {
  for (let shard = 0; shard < shards; shard++) blockFor(`${key}:${shard}`, ports[shard], arrive);
  const counts = Map.groupBy(ports.slice(0, shards), (port) => port);
  return Promise.resolve(() => Math.max(...[...counts.values()].map(({ length }) => length)));
};

/** Reads one shard: a read that blocks, and the next one when its answer is there. */
function blockFor(redisKey: string, port: number, arrive: (payload: string) => void): void {
  const socket = connectTcp({ host: "127.0.0.1", port, noDelay: true });
  const decoder = new RespDecoder();
  request(socket, redisKey, "0-0");
  socket.on("data", (bytes: Uint8Array) => {
    decoder.feed(bytes);
    for (let reply = decoder.read(); reply !== undefined; reply = decoder.read()) {
      const [[, entries]] = listOf(reply.value).map(listOf);
      let last = "";
      for (const entry of listOf(entries)) {
        const [id, fields] = listOf(entry);
        last = textOf(id) ?? "";
        arrive(textOf(listOf(fields)[1]) ?? "");
      }
      request(socket, redisKey, last); // the server is not waited for by the messages that have arrived
    }
  });
}

function request(socket: Socket, redisKey: string, after: string): void {
  socket.write(encodeCommand(["XREAD", "BLOCK", 0, "STREAMS", redisKey, after]));
}

function listOf(value: RespValue | undefined): readonly RespValue[] {
  if (Array.isArray(value)) return value;
  throw new Error(`A list was expected, and ${String(value)} came`);
}

await contend({ watched: latencyOf(readOurs), blocking: latencyOf(readBlocking) });
