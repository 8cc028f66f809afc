// A cluster with a producer that sends to the shards of one stream at a steady pace.

import { performance } from "node:perf_hooks";
import {
  connect,
  type ConnectOptions,
  type GenericProducer,
  type ProducerOptions,
  type RedisStreamer,
} from "../../../mod.ts";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { uniqueKey } from "../keys.ts";
import { type Proxy, startProxy } from "../network/proxy.ts";
import { type Cluster, type ClusterNode, type ClusterOptions, startCluster } from "../servers/cluster.ts";
import { Load, type LoadOptions, shardOfPayload } from "./load.ts";
import { type Outcome, outcomeOf } from "./outcome.ts";

/** Options of {@linkcode Scene.start}. */
export interface SceneOptions {
  readonly cluster?: ClusterOptions;
  readonly connect?: ConnectOptions;
  readonly producer?: Omit<ProducerOptions, "sharder">;
  readonly load?: Omit<LoadOptions, "streamKey">;
  /** Whether every node is reached through a proxy of its own. @default {false} */
  readonly proxies?: boolean;
}

/** An event of the streamer. */
export interface Happening {
  readonly type: string;
  /** Milliseconds of `performance.now()`. */
  readonly at: number;
  readonly detail: unknown;
}

const EVENTS = ["connect", "disconnect", "reconnect", "waiting", "resumed", "fence-unavailable", "moved"] as const;

/** The parts; all of them end with it. */
export class Scene implements AsyncDisposable {
  readonly cluster: Cluster;
  /** In front of the nodes, in their order. Empty if the scene has none. */
  readonly proxies: readonly Proxy[];
  readonly streamer: RedisStreamer;
  readonly producer: GenericProducer;
  readonly load: Load;
  readonly happenings: readonly Happening[];
  /** Ports of nodes that are reached without their proxies from now on. */
  readonly bypassed: Set<number>;

  private constructor(parts: Omit<Scene, "ofType" | "shardsAt" | "finish" | typeof Symbol.asyncDispose>) {
    this.cluster = parts.cluster;
    this.proxies = parts.proxies;
    this.streamer = parts.streamer;
    this.producer = parts.producer;
    this.load = parts.load;
    this.happenings = parts.happenings;
    this.bypassed = parts.bypassed;
  }

  /** Starts all of it. Each shard has stored a message when this resolves. */
  static async start(options: SceneOptions = {}): Promise<Scene> {
    const cluster = await startCluster(options.cluster);
    const { nodes } = cluster;
    const proxies = options.proxies ? await Promise.all(nodes.map(({ server }) => startProxy(server))) : [];
    const bypassed = new Set<number>();
    const placeOf = (port: number) =>
      bypassed.has(port) ? port : proxies[nodes.findIndex((node) => node.port === port)]?.port ?? port;
    const mapNode = (_host: string, port: number) => ({ hostname: "127.0.0.1", port: placeOf(port) });
    const uri = proxies.length > 0 ? proxies[0].url : cluster.url;
    const streamer = await connect(uri, { ...(proxies.length > 0 ? { mapNode } : {}), ...options.connect });
    const happenings: Happening[] = [];
    for (const type of EVENTS) {
      streamer.addEventListener(type, ({ detail }) => happenings.push({ type, at: performance.now(), detail }));
    }
    const producer = await streamer.createGenericProducer({ ...options.producer, sharder: shardOfPayload });
    const load = new Load(producer, { ...options.load, streamKey: uniqueKey("load") });
    await load.flowing();
    return new Scene({ cluster, proxies, streamer, producer, load, happenings, bypassed });
  }

  /** What has happened, of one type. */
  ofType(type: typeof EVENTS[number]): Happening[] {
    return this.happenings.filter((happening) => happening.type === type);
  }

  /** The shards whose slots a node owns now. */
  async shardsAt(node: ClusterNode): Promise<number[]> {
    const owners = await Promise.all(this.load.keys.map((key) => this.cluster.ownerOf(slotOfKey(key))));
    return owners.flatMap((owner, shard) => owner === node ? [shard] : []);
  }

  /** Stops the load, and compares it with what is stored. */
  async finish(): Promise<Outcome> {
    await this.load.flowing();
    await this.load.stop();
    return await outcomeOf(this.load, this.cluster);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.load.stop(0).catch(() => {});
    await this.streamer[Symbol.asyncDispose]().catch(() => {});
    await Promise.all(this.proxies.map((proxy) => proxy.stop()));
    await this.cluster.stop();
  }
}
