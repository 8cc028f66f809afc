// Shared by the tests of shards in many slots: one server that is a whole cluster, numbered entries in each shard, and the commands that
// readers send.

import type { ConnectOptions, RedisStreamer } from "../../../mod.ts";
import { connect } from "../../../mod.ts";
import { type Clock, systemClock } from "../../../resp/connection/clock.ts";
import { uniqueKey } from "../keys.ts";
import { afterAll } from "../runner.ts";
import { startCluster } from "../servers/cluster.ts";
import type { OwnServer } from "../servers/server.ts";

/** A server that owns all slots, which the tests of a file share (call it at the top of the file); ended after them. */
export async function sharedNode(): Promise<OwnServer> {
  const cluster = await startCluster({ primaries: 1 });
  afterAll(() => cluster.stop());
  return cluster.nodes[0].server;
}

/** A streamer whose connections have the name of its stream, and that reconnects at once. */
export function connectAs(name: string, url: string, options: ConnectOptions = {}): Promise<RedisStreamer> {
  const named = options.clientInfo === false ? {} : { clientName: name };
  return connect(url, { ...named, reconnect: { initialDelay: 1, maxDelay: 20 }, ...options });
}

/** A stream of many shards, which lie in as many slots. */
export class ManyShards {
  readonly streamKey: string;
  readonly server: OwnServer;
  /** The payloads of each shard so far: `<shard>:<number>`. */
  readonly payloads: string[][];

  constructor(server: OwnServer, shards: number, streamKey = uniqueKey()) {
    this.server = server;
    this.streamKey = streamKey;
    this.payloads = Array.from({ length: shards }, () => []);
  }

  /** The Redis keys. */
  get keys(): string[] {
    return this.payloads.map((_, shard) => `${this.streamKey}:${shard}`);
  }

  /** Entries so far. */
  get count(): number {
    return this.payloads.reduce((sum, { length }) => sum + length, 0);
  }

  /** Adds so many entries to each of these shards. */
  async add(count: number, shards: readonly number[] = [...this.payloads.keys()]): Promise<void> {
    const commands = shards.flatMap((shard) =>
      Array.from({ length: count }, () => {
        const payload = `${shard}:${this.payloads[shard].length}`;
        this.payloads[shard].push(payload);
        return ["XADD", `${this.streamKey}:${shard}`, "*", "msg", payload];
      })
    );
    for (const reply of await this.server.commands(commands)) if (reply instanceof Error) throw reply;
  }

  /** Adds many entries to each shard, which the server does by itself. */
  async addVeryMany(count: number): Promise<void> {
    const script =
      "for i = ARGV[2], ARGV[2] + ARGV[1] - 1 do redis.call('XADD', KEYS[1], '*', 'msg', ARGV[3] .. ':' .. i) end";
    await this.server.commands(this.payloads.map((payloads, shard) => {
      const first = payloads.length;
      for (let i = 0; i < count; i++) payloads.push(`${shard}:${first + i}`);
      return ["EVAL", script, 1, `${this.streamKey}:${shard}`, count, first, shard];
    }));
  }

  /** Entries of all shards that are pending in a group. */
  async pending(group: string): Promise<number> {
    const replies = await this.server.commands(this.keys.map((key) => ["XPENDING", key, group]));
    return replies.reduce<number>((sum, reply) => sum + Number(Array.isArray(reply) ? reply[0] : NaN), 0);
  }
}

/** How often a server has run each command. */
export async function callsOf(server: OwnServer): Promise<Map<string, number>> {
  const info = String(await server.command("INFO", "commandstats"));
  const calls = info.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm);
  return new Map(Array.from(calls, ([, name, count]) => [name, Number(count)]));
}

/** The commands of a server since an earlier count. */
export async function callsSince(server: OwnServer, before: ReadonlyMap<string, number>): Promise<Map<string, number>> {
  const calls = new Map<string, number>();
  for (const [name, count] of await callsOf(server)) {
    const more = count - (before.get(name) ?? 0);
    if (more > 0) calls.set(name, more);
  }
  return calls;
}

/** The flags of each connection that goes by a name, as CLIENT LIST shows them: `t` for tracking, `b` for blocked. */
export async function flagsOf(server: OwnServer, name: string): Promise<string[]> {
  const list = String(await server.command("CLIENT", "LIST"));
  return list.split("\n").filter((line) => line.includes(` name=${name} `)).map((line) =>
    /\bflags=(\w+)/.exec(line)?.[1] ?? ""
  );
}

/** A clock that runs so many times faster: minutes of idleness pass within seconds. */
export function fastClock(factor: number): Clock {
  const { now, after, random } = systemClock;
  return { now: () => now() * factor, after: (delay, run) => after(delay / factor, run), random };
}
