// The servers of the tests: processes on free ports, or the server of REDIS_URL. Must not use the library under test.
//
// SEA_TEST_SERVER names another server: a command line to which redis-server arguments are appended, for instance
// "/opt/valkey/bin/valkey-server" or "/opt/servers/srv.sh redis8 0". The command must become the server (exec), so that
// signals reach it. REDIS_URL is used by `sharedServer` only: tests that stop and start servers need their own. So is
// SEA_TEST_CLUSTER, which `deno task test:cluster` sets to the nodes of a cluster, as in "127.0.0.1:7001,127.0.0.1:7002".

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { env, platform } from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { type Address, ask, type RawReply, type Reply, toText, type Word } from "./raw_client.ts";
import { afterAll } from "../runner.ts";
import { ClusterCommands } from "./cluster_commands.ts";
import { findServer, noServer, type ServerBinary } from "./server_binary.ts";
import { startContainer } from "./server_container.ts";
import { logOf, ServerProcess, type Signal } from "./server_process.ts";

export type { RawReply, Reply, Signal, Word };

/** Options of `startServer`. */
export interface ServerOptions {
  /** Further arguments of redis-server, such as `["--maxmemory", "1mb"]`; they win over the default ones. */
  readonly args?: readonly string[];
  /** The text of a configuration file, which the server may rewrite. With `--sentinel` in `args`: a Sentinel's. */
  readonly config?: string;
  /** A command line as SEA_TEST_SERVER names one. @default the server that is found */
  readonly program?: string;
  /** @default a free one */
  readonly port?: number;
  /** Whether it listens on a unix socket too, which `command` then takes. @default {true, where the system has them} */
  readonly socket?: boolean;
  /** Password of the default user (`requirepass`). */
  readonly password?: string;
  /** Makes the port speak TLS. PEM texts, as `tests/support/network/tls.ts` makes them. */
  readonly tls?: {
    readonly ca: string;
    readonly cert: string;
    readonly key: string;
    /** Whether clients must show a certificate of that CA. @default {false} */
    readonly clientAuth?: boolean;
  };
}

/** A server to talk to. */
export interface Server extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** With credentials, as `connect` takes it. */
  readonly url: string;
  /** The whole address, with credentials. */
  readonly address: Address;
  /** This address; on a cluster, those of all nodes. */
  readonly nodes: readonly Address[];
  readonly isRedis: boolean;
  readonly isValkey: boolean;
  /** The server's own version. */
  readonly version: string;
  /** Whether it is at least that version of Redis; Valkey counts as the Redis it says to be (7.2.4). */
  atLeast(version: string): boolean;
  /** Runs one command on a connection of its own; an error reply rejects. */
  command(...words: Word[]): Promise<Reply>;
  /** The same, with bulk strings as bytes. */
  commandBytes(...words: Word[]): Promise<RawReply>;
  /** Runs commands in one go; error replies are values. */
  commands(list: readonly (readonly Word[])[]): Promise<Reply[]>;
  stop(): Promise<void>;
}

/** A server that a test owns. */
export interface OwnServer extends Server {
  /** The process that signals reach; 0 in a container. */
  readonly pid: number;
  /** Undefined if the system has no unix sockets (Windows, a container). */
  readonly unixSocket: string | undefined;
  /** Sends a signal; resolves when it took effect: after SIGKILL and SIGTERM the process is gone. */
  kill(signal: Signal): Promise<void>;
  /** Ends the process if it still runs, and starts it again: same port, same folder. */
  restart(): Promise<void>;
}

const CONFIG = "server.conf";

/** The common part of a process and a container. */
export interface Runner {
  readonly pid: number;
  readonly gone: boolean;
  kill(signal: Signal): Promise<void>;
}

/** Starts a server of the test's own; it answers when this resolves. Nothing is saved unless `args` say so. */
export async function startServer(options: ServerOptions = {}): Promise<OwnServer> {
  const binary = await findServer(options.program);
  const folder = await mkdtemp(join(tmpdir(), "sea-"));
  try {
    return await launch(binary, folder, options);
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

/**
 * The server that the tests of a file share (call it at the top of the file); ended after them. With SEA_TEST_CLUSTER it is the
 * cluster of the run: see `ClusterCommands`. Tests that need one server are left out then, by the option `oneServer` of `test`.
 */
export async function sharedServer(): Promise<Server> {
  const { REDIS_URL: url, SEA_TEST_CLUSTER: nodes } = env;
  if (nodes) return await clusterAt(nodes.split(","));
  const server = url ? await remoteServer(url) : await startServer();
  afterAll(() => server.stop());
  return server;
}

/** Whether tests can start servers of their own here. */
export async function canStartServers(): Promise<boolean> {
  return await findServer() !== undefined || !env.REDIS_URL;
}

/** A server that runs already. It is never stopped. */
export async function remoteServer(text: string): Promise<Server> {
  const url = new URL(text);
  const db = Number(url.pathname.slice(1));
  const address: Address = {
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: Number(url.port || 6379),
    ...(url.username ? { username: decodeURIComponent(url.username) } : {}),
    ...(url.password ? { password: decodeURIComponent(url.password) } : {}),
    ...(db ? { db } : {}),
    ...(url.protocol === "rediss:" ? { tls: {} } : {}),
  };
  return await describe(address, text, () => Promise.resolve());
}

/** A cluster that runs already, and that is never stopped. `hosts`: all of its primaries. */
async function clusterAt(hosts: readonly string[]): Promise<Server> {
  const nodes = hosts.map((text) => {
    const { hostname: host, port } = new URL(`redis://${text}`);
    return { host, port: Number(port) };
  });
  const commands = new ClusterCommands(nodes);
  const server = await describe(nodes[0], `redis://${hosts[0]}`, () => Promise.resolve(), (list) => commands.run(list));
  return { ...server, nodes };
}

async function launch(
  binary: ServerBinary | undefined,
  folder: string,
  options: ServerOptions,
): Promise<OwnServer> {
  const { password, tls, config, socket = true } = options;
  if (config !== undefined) await writeFile(join(folder, CONFIG), config);
  if (tls) await Promise.all((["ca", "cert", "key"] as const).map((name) => writeFile(join(folder, name), tls[name])));
  const unixSocket = socket && binary && platform !== "win32" ? join(folder, "socket") : undefined;
  const addressAt = (port: number): Address => ({
    host: "127.0.0.1",
    port,
    ...(unixSocket ? { unixSocket } : {}),
    ...(password === undefined ? {} : { password }),
    ...(tls ? { tls: { cert: tls.cert, key: tls.key } } : {}),
  });
  const startAt = (port: number) => startRunner(binary, folder, argumentsFor(port, folder, unixSocket, options), port);

  let runner: Runner | undefined;
  let port = options.port ?? randomPort();
  for (let attempt = 1; runner === undefined; attempt++) {
    runner = await ready(await startAt(port), addressAt(port), folder, attempt < 10);
    if (runner === undefined) port = options.port ?? randomPort();
  }
  let current = runner;
  const stop = async () => {
    await current.kill("SIGKILL");
    await rm(folder, { recursive: true, force: true });
  };
  const credentials = password === undefined ? "" : `:${encodeURIComponent(password)}@`;
  const url = `${tls ? "rediss" : "redis"}://${credentials}127.0.0.1:${port}`;
  const server = await describe(addressAt(port), url, stop);
  return Object.assign(server, {
    pid: current.pid,
    unixSocket,
    kill: (signal: Signal) => current.kill(signal),
    async restart(this: { pid: number }) {
      await current.kill("SIGKILL");
      for (let attempt = 1;; attempt++) {
        const next = await ready(await startAt(port), addressAt(port), folder, attempt < 10);
        if (next === undefined) continue;
        current = next;
        this.pid = next.pid;
        return;
      }
    },
  });
}

function argumentsFor(port: number, folder: string, unixSocket: string | undefined, options: ServerOptions): string[] {
  const { args = [], password, tls, config } = options;
  const list = config === undefined ? [] : [join(folder, CONFIG)];
  list.push("--bind", "127.0.0.1", "--protected-mode", "no");
  list.push("--save", "", "--appendonly", "no", "--dir", folder);
  if (unixSocket) list.push("--unixsocket", unixSocket);
  if (password !== undefined) list.push("--requirepass", password);
  if (tls) {
    list.push("--port", "0", "--tls-port", String(port), "--tls-auth-clients", tls.clientAuth ? "yes" : "no");
    list.push("--tls-ca-cert-file", join(folder, "ca"), "--tls-cert-file", join(folder, "cert"));
    list.push("--tls-key-file", join(folder, "key"));
  } else {
    list.push("--port", String(port));
  }
  return [...list, ...args];
}

async function startRunner(
  binary: ServerBinary | undefined,
  folder: string,
  args: readonly string[],
  port: number,
): Promise<Runner> {
  if (binary) return new ServerProcess(binary, args, folder);
  try {
    return await startContainer(args, folder, port);
  } catch (cause) {
    throw new Error(noServer, { cause });
  }
}

/** Waits until it answers; undefined if its port was taken and another try is worth while. */
async function ready(runner: Runner, address: Address, folder: string, mayRetry: boolean): Promise<Runner | undefined> {
  const began = Date.now();
  const deadline = began + 20_000;
  while (!runner.gone && Date.now() < deadline) {
    try {
      const [info, pong] = await ask(address, [["INFO", "server"], ["PING"]]);
      if (info instanceof Error) throw info;
      // Not LOADING any more.
      if (pong instanceof Error) throw pong;
      const pid = Number(/^process_id:(\d+)/m.exec(String(toText(info)))?.[1]);
      if (runner.pid !== 0 && pid !== runner.pid) {
        if (Date.now() - began < FOREIGN) { // most likely another process of the tests was faster, and ours ends at once
          await sleep(10);
          continue;
        }
        await runner.kill("SIGKILL");
        throw new NotOurs(`Cannot control the server as SEA_TEST_SERVER does not exec it: it runs as process ${pid}`);
      }
      return runner;
    } catch (error) {
      if (error instanceof NotOurs) throw error;
      await sleep(10);
    }
  }
  await runner.kill("SIGKILL");
  const log = await logOf(folder);
  if (mayRetry && /address already in use|failed listening/i.test(log)) {
    await rm(join(folder, "log"), { force: true });
    return undefined;
  }
  throw new Error(`Cannot start a Redis server:\n${log}`);
}

class NotOurs extends Error {}

/** Milliseconds after which another server at the port is not one that has only taken it first. */
const FOREIGN = 5_000;

/** Below the range from which systems take the ports of outgoing connections: a client that knocks while its server is
 * away could otherwise be given that very port, and meet itself. The bus port of a cluster (10,000 above) fits too. */
export function randomPort(): number {
  return 11_000 + Math.floor(Math.random() * 11_000);
}

type Send = (commands: readonly (readonly Word[])[]) => Promise<RawReply[]>;

async function describe(
  address: Address,
  url: string,
  stop: () => Promise<void>,
  send: Send = (commands) => ask(address, commands),
): Promise<Server> {
  const commands = async (list: readonly (readonly Word[])[]) => (await send(list)).map(toText);
  const commandBytes = async (...words: Word[]) => {
    const [reply] = await send([words]);
    if (reply instanceof Error) throw reply;
    return reply;
  };
  const info = String(toText(await commandBytes("INFO", "server")));
  const field = (name: string) => new RegExp(`^${name}:(.*?)\r?$`, "m").exec(info)?.[1];
  const compatible = field("redis_version") ?? "0";
  const isValkey = field("server_name") === "valkey" || field("valkey_version") !== undefined;
  return {
    host: address.host,
    port: address.port,
    url,
    address,
    nodes: [address],
    isValkey,
    isRedis: !isValkey,
    version: field("valkey_version") ?? compatible,
    atLeast: (version) => compareVersions(compatible, version) >= 0,
    command: async (...words) => toText(await commandBytes(...words)),
    commandBytes,
    commands,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((version) => version.split(".").map(Number));
  for (let i = 0; i < 3; i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
