// The contenders of each figure, and their names.

import type { Runtime } from "./runtimes.ts";

/** The figures, in the order of the runs. */
export const FIGURES = ["produce", "consume", "group", "relay", "decode", "latency", "memory", "file", "dump"] as const;

export type Figure = typeof FIGURES[number];

/** The name of this library among its peers. */
export const OURS = "streamer-redis";

/** One way of driving one client, on one runtime or more. */
export interface Contender {
  readonly figure: Figure;
  readonly client: string;
  /** How the client is driven, for people. */
  readonly form: string;
  /** The file in `contenders/`, and the form to run. */
  readonly script: string;
  readonly job: string;
  /** The page size, if the limit depends on it: the contender is compared with the yardstick of the same page size. */
  readonly page?: number;
  /** Shards over which the messages are spread; without it, they go to the plain key. */
  readonly shards?: number;
  /** Whether the contender stores all messages in an empty stream, unlike the others of its figure. */
  readonly stores?: boolean;
  /** @default all */
  readonly runtimes?: readonly Runtime[];
}

/** The name of the results of a contender on one runtime. */
export function nameOf(contender: Contender, runtime: Runtime): string {
  return `${contender.figure}/${contender.client}/${contender.form}@${runtime}`;
}

/** The name of the yardstick of a figure, or of a part of it that has its own limit. */
export function limitOf(figure: Figure, page?: number): string {
  return page === undefined ? `${figure}/limit` : `${figure}/limit/pages of ${page}`;
}

function ours(figure: Figure, form: string, job: string, script = "ours"): Contender {
  return { figure, client: OURS, form, script, job };
}

function peers(figure: Figure, form: string, job: string, clients: readonly string[]): Contender[] {
  return clients.map((client) =>
    client === "bun"
      ? { figure, client: "Bun's own", form, script: "bun_client", job, runtimes: ["bun"] }
      : { figure, client, form, script: client === "ioredis" ? "ioredis" : "node_redis", job }
  );
}

function inPages(page: number, contenders: readonly Contender[]): Contender[] {
  return contenders.map((contender) => ({ ...contender, page }));
}

const ALL = ["node-redis", "ioredis", "bun"];

/** All contenders, in the order of the table. */
export const CONTENDERS: readonly Contender[] = [
  ours("produce", "not awaited", "produce-ignored"),
  ours("produce", "awaited", "produce-awaited"),
  { ...ours("produce", "over 8 shards", "produce-sharded"), shards: 8 },
  ...peers("produce", "best", "produce-best", ALL),
  ...peers("produce", "plain", "produce-plain", ["node-redis", "ioredis"]),

  ours("consume", "batches", "consume-batches"),
  ours("consume", "batches, bytes()", "consume-bytes"),
  ours("consume", "one by one", "consume-each"),
  ours("consume", "default page", "consume-default"),
  ...peers("consume", "best", "consume-best", ALL),
  ...peers("consume", "plain", "consume-plain", ["node-redis"]),

  ...inPages(100, [
    ours("group", "pages of 100", "pages-of-100", "ours_group"),
    ours("group", "disabled", "disabled", "ours_group"),
    ours("group", "delayed", "delayed", "ours_group"),
  ]),
  ...inPages(1_000, [ours("group", "pages of 1000", "pages-of-1000", "ours_group")]),
  ...inPages(10, [ours("group", "load-balanced", "load-balanced", "ours_group")]),
  ...inPages(100, [
    ...peers("group", "best", "group-best", ALL),
    ...peers("group", "plain", "group-plain", ["node-redis", "ioredis"]),
  ]),

  ours("relay", "process", "process", "ours_relay"),

  ours("decode", "values", "values", "our_decoder"),
  ours("decode", "pages", "pages", "our_decoder"),
  { figure: "decode", client: "node-redis", form: "strings", script: "peer_decoders", job: "node-redis-strings" },
  { figure: "decode", client: "node-redis", form: "buffers", script: "peer_decoders", job: "node-redis-buffers" },
  { figure: "decode", client: "ioredis", form: "strings", script: "peer_decoders", job: "ioredis-strings" },

  ours("latency", "end to end", "latency"),
  ...peers("latency", "end to end", "latency", ALL),

  ours("memory", "respects ready", "memory"),

  ours("file", "write", "write", "ours_files"),
  ours("file", "read", "read", "ours_files"),

  ours("dump", "dump, ndjson", "dump-ndjson", "ours_cli"),
  ours("dump", "dump, ss", "dump-ss", "ours_cli"),
  { ...ours("dump", "restore, ndjson", "restore-ndjson", "ours_cli"), stores: true },
  { ...ours("dump", "restore, ss", "restore-ss", "ours_cli"), stores: true },
];
