// Which runs there are, and what each is: a runtime, a server, and whether the tests' shared server is a cluster. Pure.

import type { Runtime } from "./runtimes.ts";

/** One run of the suite. */
export interface Run {
  readonly runtime: Runtime;
  /** Whether the tests' shared server is a cluster. */
  readonly cluster: boolean;
  /** A command line as in SEA_TEST_SERVER; `undefined` for the server that is found. */
  readonly server: string | undefined;
  /** Whether the tests that start clusters or Sentinels of their own are left out. @default {false} */
  readonly withoutClusters?: boolean;
}

export const RUNTIMES: readonly Runtime[] = ["deno", "bun", "node"];

const RUN = /^(deno|bun|node)(?:@(?:(cluster)(?=:|$):?)?(.*))?$/s;

/** Parses `deno`, `bun@cluster`, `node@/path/of/a/server` or `deno@cluster:/path/of/a/server`. */
export function parseRun(word: string): Run | undefined {
  const match = RUN.exec(word);
  if (match === null) return undefined;
  const [, runtime, cluster, server] = match;
  // as: one of the three that the pattern names
  return { runtime: runtime as Runtime, cluster: cluster !== undefined, server: server ? server : undefined };
}

/** A short name: a path without its folders. */
export function labelOf({ runtime, cluster, server }: Run): string {
  const place = [...(cluster ? ["cluster"] : []), ...(server === undefined ? [] : [nameOfServer(server)])];
  return [runtime, ...place].join("@");
}

/** The last part of a path. */
export function nameOfServer(server: string): string {
  return server.trim().split(/[\\/]/).at(-1) ?? server;
}

/** Milliseconds of a day. */
const DAY = 86_400_000;

/**
 * The runs of CI: the server that is found on every runtime; a cluster of it, the tests that start clusters, and each further server
 * on one runtime each. The runtime of these is another one each day, so that each meets each of them within three days.
 */
export function runsOfDay(now: number, servers: readonly string[]): Run[] {
  const day = Math.floor(now / DAY);
  const turn = (index: number) => RUNTIMES[(day + index) % RUNTIMES.length];
  return [
    ...RUNTIMES.map((runtime) => ({
      runtime,
      cluster: false,
      server: undefined,
      withoutClusters: runtime !== turn(1),
    })),
    { runtime: turn(0), cluster: true, server: undefined },
    ...servers.map((server, index) => ({ runtime: turn(index + 1), cluster: false, server })),
  ];
}

/** Every runtime on every server, and on a cluster of it. */
export function runsOfMatrix(servers: readonly (string | undefined)[]): Run[] {
  return servers.flatMap((server) =>
    [false, true].flatMap((cluster) => RUNTIMES.map((runtime) => ({ runtime, cluster, server })))
  );
}

/** The word from which `parseRun` makes the same run. */
export function wordOf({ runtime, cluster, server }: Run): string {
  const place = [...(cluster ? ["cluster"] : []), ...(server === undefined ? [] : [server])].join(":");
  return place === "" ? runtime : `${runtime}@${place}`;
}

/** The servers that a text names, as in `SEA_TEST_SERVERS="/opt/redis-8/bin/redis-server; /opt/valkey-9/bin/valkey-server"`. */
export function parseServers(text: string | undefined): string[] {
  return (text ?? "").split(";").map((part) => part.trim()).filter((part) => part !== "");
}
