// Which shards a consumer reads, and where they come from: the numbers that its options name, or discovery.

import type { FindShards } from "../../cluster/shard_walks.ts";
import type { ShardsDetail } from "../events.ts";
import type { ServerAccess } from "../server/server.ts";
import { Discovery } from "./discovery.ts";
import { detailOf, discoverStreams, type FoundStream, shardsOf } from "./find_shards.ts";
import { checkDistinct, type SubscribedShard, subscribedShard } from "./shard.ts";
import type { ShardReading } from "./shard_reading.ts";

/**
 * Where a consumer's shards come from. It is created before the consumer, and started with it. A source whose shards are owned by
 * one member of a group at a time would be a third one.
 */
export interface ShardSource {
  /** The shards that the consumer begins with. */
  readonly shards: readonly SubscribedShard[];
  /** The shards that were found of each stream. */
  readonly streams: readonly FoundStream[];
  /** Begins to change which shards are read, as they are added. */
  start(reading: ShardReading): void;
  /** The shard that a number of a stream names now. */
  shardOf(streamKey: string, shardId: number): SubscribedShard;
  /** Shards that exist and are not read yet, and will be. */
  later(signal: AbortSignal): Promise<readonly SubscribedShard[]>;
  /** The user has unassigned a shard. Called in the step in which it is unassigned. */
  unassigned(shard: SubscribedShard): void;
  /** Messages were returned, or positions have changed. */
  progressed(): void;
}

/** Shards that the consumer's options name. */
export class FixedShards implements ShardSource {
  readonly shards: readonly SubscribedShard[];
  readonly streams: readonly FoundStream[] = [];
  readonly #numbers: readonly number[] | undefined;

  /** Without numbers there are no shards to begin with. Throws `INVALID_OPTION` if two shards have the same Redis key. */
  constructor(streamKeys: readonly string[], numbers: readonly number[] | undefined) {
    this.#numbers = numbers;
    this.shards = streamKeys.flatMap((key) => (numbers ?? []).map((shardId) => subscribedShard(key, shardId, numbers)));
    checkDistinct(this.shards);
  }

  start(): void {}

  shardOf(streamKey: string, shardId: number): SubscribedShard {
    return subscribedShard(streamKey, shardId, this.#numbers);
  }

  later(): Promise<readonly SubscribedShard[]> {
    return Promise.resolve([]);
  }

  unassigned(): void {}

  progressed(): void {}
}

/** Shards that are discovered, when the consumer is created and later. */
export class DiscoveredShards implements ShardSource {
  readonly shards: readonly SubscribedShard[];
  readonly streams: readonly FoundStream[];
  readonly #ports: ShardSourcePorts;
  #discovery: Discovery | undefined; // once the consumer reads

  constructor(ports: ShardSourcePorts, streams: readonly FoundStream[]) {
    this.#ports = ports;
    this.streams = streams;
    this.shards = streams.flatMap(shardsOf);
  }

  start(reading: ShardReading): void {
    const { server, settings, onShards } = this.#ports;
    const ports = { server, interval: settings.shardDiscoveryInterval, onShards };
    this.#discovery = new Discovery(ports, this.streams, reading);
    this.#discovery.start();
    for (const detail of this.streams.map(detailOf)) if (detail !== undefined) onShards(detail);
  }

  shardOf(streamKey: string, shardId: number): SubscribedShard {
    return this.#discovery?.shardOf(streamKey, shardId) ?? subscribedShard(streamKey, shardId, undefined);
  }

  async later(signal: AbortSignal): Promise<readonly SubscribedShard[]> {
    return await this.#discovery?.find(signal) ?? [];
  }

  unassigned(shard: SubscribedShard): void {
    this.#discovery?.unassigned(shard);
  }

  progressed(): void {
    this.#discovery?.progressed();
  }
}

/** What a source of shards needs. */
export interface ShardSourcePorts {
  readonly server: ServerAccess;
  /** How commands are run while the consumer is created. */
  readonly creating: ServerAccess;
  /** Looks for the shards of several streams at once. */
  readonly findShards: FindShards;
  readonly settings: {
    /** The numbers of the shards; `undefined` if they are discovered. */
    readonly shards: readonly number[] | undefined;
    /** Milliseconds between two looks for shards; `undefined` for none. */
    readonly shardDiscoveryInterval: number | undefined;
  };
  readonly onShards: (detail: ShardsDetail) => void;
}

/** The source that the options of a consumer ask for: the fixed one if they name shards, or else one that has looked for them. */
export async function shardSource(
  streamKeys: readonly string[],
  fixed: FixedShards,
  { signal, ...ports }: ShardSourcePorts & { readonly signal: AbortSignal },
): Promise<ShardSource> {
  if (ports.settings.shards !== undefined) return fixed;
  const { creating: server, findShards } = ports;
  return new DiscoveredShards(ports, await discoverStreams(streamKeys, { server, findShards }, signal));
}
