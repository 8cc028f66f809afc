// A primary, its replica, and the Sentinels that watch them: their start, their faults, their failovers. Must not use
// the library under test.

import { randomBytes } from "node:crypto";
import { until } from "../events.ts";
import { ask, toText } from "./raw_client.ts";
import { offsetOf, replicate } from "./replicas.ts";
import { type OwnServer, randomPort, type Server, type ServerOptions, startServer } from "./server.ts";

/** Options of `startSentinels`. */
export interface SentinelOptions {
  /** The name by which Sentinel knows the primary. @default {"mymaster"} */
  readonly name?: string;
  /** @default {3} */
  readonly sentinels?: number;
  /** Of the primary and its replica. */
  readonly password?: string;
  /** Of the Sentinels. */
  readonly sentinelPassword?: string;
  /** Both the servers and the Sentinels speak TLS, also with each other. */
  readonly tls?: ServerOptions["tls"];
  /** Milliseconds without an answer after which a server counts as down. On a busy machine a short time gives failovers unasked. @default {500} */
  readonly downAfter?: number;
  /** Further arguments of the primary and its replica. */
  readonly args?: readonly string[];
}

/** Milliseconds: without an answer for so long, a server counts as down; so long may one failover take. */
const DOWN_AFTER = 500;
/** Milliseconds by which each further Sentinel is later: if all start an election at once, nobody wins it. */
const STAGGER = 150;
const FAILOVER_TIMEOUT = 2_000;

/**
 * Sentinel pings a server each second, so that one just met would count as down before its first answer. A replica is no candidate if its
 * INFO is older than five of these periods, and INFO comes each second. It turns a former primary
 * into a replica after four publish periods of 2 s, and looks at each server every 10 s. Redis 7.0; an older server refuses the
 * command, and takes its time.
 */
const PERIODS = [
  ...["SENTINEL", "DEBUG", "PING-PERIOD", "300", "INFO-PERIOD", "1000", "PUBLISH-PERIOD", "500", "ASK-PERIOD", "200"],
  ...["TILT-TRIGGER", "60000"], // a Sentinel that got no time for two seconds would do nothing for half a minute
];

/** What a test owns. */
export class Sentinels implements AsyncDisposable {
  readonly name: string;
  readonly sentinels: readonly OwnServer[];
  /** The two servers that are watched. `primary` and `replica` say which is which. */
  readonly servers: readonly [OwnServer, OwnServer];
  #primary: OwnServer;
  readonly #tls: boolean;

  private constructor(name: string, servers: readonly [OwnServer, OwnServer], sentinels: readonly OwnServer[]) {
    this.name = name;
    this.servers = servers;
    this.sentinels = sentinels;
    this.#primary = servers[0];
    this.#tls = servers[0].address.tls !== undefined;
  }

  /** Starts them; the replica is in step, and each Sentinel knows all others. */
  static async start(options: SentinelOptions = {}): Promise<Sentinels> {
    const { name = "mymaster" } = options;
    const started: OwnServer[] = [];
    try {
      const [primary, replica] = await allOf([0, 1].map(() => startServer(dataOptions(options))), started);
      await replicate(replica, primary);
      const sentinels = await retried(() => startSentinelServers(options, [primary, replica]));
      started.push(...sentinels);
      await Promise.all(sentinels.map((sentinel) => sentinel.commands([PERIODS])));
      const set = new Sentinels(name, [primary, replica], sentinels);
      await until(async () => (await Promise.all(sentinels.map((one) => set.#isReady(one)))).every(Boolean), {
        what: "each Sentinel knows the primary, its replica and the other Sentinels",
      });
      await primary.command("PUBLISH", "first", ""); // after a sync, nothing more is sent until the replica has answered, a second later
      await set.inStep();
      return set;
    } catch (error) {
      await Promise.all(started.map((server) => server.stop()));
      throw error;
    }
  }

  /** The primary, as it was at the start or after the last `untilSwitched`. */
  get primary(): OwnServer {
    return this.#primary;
  }

  /** The other one; it may not run. */
  get replica(): OwnServer {
    return this.servers[this.#primary === this.servers[0] ? 1 : 0];
  }

  /** All Sentinels and the name, as `connect` takes it. The password is the data servers'. */
  get url(): string {
    const { password } = this.servers[0].address;
    const credentials = password === undefined ? "" : `:${encodeURIComponent(password)}@`;
    const hosts = this.sentinels.map(({ host, port }) => `${host}:${port}`).join(",");
    return `${this.#tls ? "rediss" : "redis"}+sentinel://${credentials}${hosts}/${this.name}`;
  }

  /** The server that a Sentinel names as the primary; `undefined` if it does not answer or names none of the two. */
  async named(sentinel: Server = this.sentinels[0]): Promise<OwnServer | undefined> {
    const [address] = await ask(sentinel.address, [["SENTINEL", "GET-MASTER-ADDR-BY-NAME", this.name]], {
      silence: 1_000,
    })
      .catch(() => []);
    const [, port] = Array.isArray(address) ? address.map(toText) : [];
    return this.servers.find((server) => server.port === Number(port));
  }

  /** The replica has all that the primary has. */
  async inStep(): Promise<void> {
    await until(async () => {
      const [one, other] = await Promise.all(this.servers.map(offsetOf));
      return one === other;
    }, { what: "the replica is in step" });
  }

  /** Kills the primary. The Sentinels promote the replica after about two seconds: see `untilSwitched`. */
  async killPrimary(): Promise<void> {
    await this.primary.kill("SIGKILL");
  }

  /** Has the Sentinels promote the replica although the primary runs; resolves to the new primary. */
  async failOver(): Promise<OwnServer> {
    await this.inStep();
    const [sentinel] = this.sentinels;
    // Without a good replica in its last INFO the Sentinel refuses with NOGOODSLAVE, or gives up a little later.
    let asked = -Infinity;
    await until(async () => {
      if (await this.#isSwitched()) return true;
      if (performance.now() - asked < 2 * FAILOVER_TIMEOUT) return false;
      const accepted = await sentinel.command("SENTINEL", "FAILOVER", this.name).then(() => true, () => false);
      if (accepted) asked = performance.now();
      return false;
    }, { timeout: 20_000, what: "the Sentinels have promoted the replica" });
    return await this.untilSwitched();
  }

  /** Waits until all Sentinels that answer name the former replica, and it is a primary; resolves to it. */
  async untilSwitched(): Promise<OwnServer> {
    await until(() => this.#isSwitched(), { timeout: 20_000, what: "the Sentinels have promoted the replica" });
    return this.#primary = this.replica;
  }

  /** Waits until a server that was killed and restarted, or replaced, is the primary's replica, and all Sentinels that answer know that. */
  async untilReplica(): Promise<void> {
    const { replica } = this;
    await until(async () => {
      const info = await replicationOf(replica);
      if (!/^role:slave/m.test(info) || !/^master_link_status:up/m.test(info)) return false;
      return (await Promise.all(this.sentinels.map((sentinel) => this.#knowsReplica(sentinel)))).every(Boolean);
    }, { timeout: 20_000, what: "the other server is the primary's replica" });
  }

  /** Ends everything. */
  async stop(): Promise<void> {
    await Promise.all([...this.sentinels, ...this.servers].map((server) => server.stop()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #isSwitched(): Promise<boolean> {
    const promoted = this.replica;
    const named = await Promise.all(this.sentinels.map((sentinel) => this.named(sentinel)));
    const answers = named.filter((server) => server !== undefined);
    if (answers.length === 0 || answers.some((server) => server !== promoted)) return false;
    return /^role:master/m.test(await replicationOf(promoted));
  }

  /** A Sentinel that has last seen it as a primary would make a replica of it again, right after its next promotion. */
  async #knowsReplica(sentinel: Server): Promise<boolean> {
    const question = ["SENTINEL", "REPLICAS", this.name];
    const [rows] = await ask(sentinel.address, [question], { silence: 1_000 }).catch(() => []);
    if (rows === undefined) return true; // it does not answer
    const all = Array.isArray(rows) ? rows.map(toText) : [];
    const row = all.find((one) => fieldOf(one, "port") === `${this.replica.port}`);
    return fieldOf(row, "role-reported") === "slave" && fieldOf(row, "master-link-status") === "ok";
  }

  async #isReady(sentinel: Server): Promise<boolean> {
    const fields = await sentinel.command("SENTINEL", "MASTER", this.name);
    const field = (name: string) => fieldOf(fields, name);
    const others = String(this.sentinels.length - 1);
    return field("flags") === "master" && field("num-slaves") === "1" && field("num-other-sentinels") === others;
  }
}

/** A field of a list of names and values. */
function fieldOf(fields: unknown, name: string): string | undefined {
  return Array.isArray(fields) && fields.includes(name) ? String(fields[fields.indexOf(name) + 1]) : undefined;
}

/** The Sentinels' ports are chosen before they start, and may be taken then. */
async function retried<T>(start: () => Promise<T>): Promise<T> {
  for (let attempt = 1;; attempt++) {
    try {
      return await start();
    } catch (error) {
      if (attempt === 5) throw error;
    }
  }
}

/** Empty while it does not answer. Sentinel closes all connections to a server whose role it changes. */
async function replicationOf(server: Server): Promise<string> {
  return String(await server.command("INFO", "replication").catch(() => ""));
}

/** Starts one primary, one replica and three Sentinels. */
export function startSentinels(options: SentinelOptions = {}): Promise<Sentinels> {
  return Sentinels.start(options);
}

/** Notes those that started, so that the others' failure does not leave them. */
async function allOf(starting: readonly Promise<OwnServer>[], started: OwnServer[]): Promise<OwnServer[]> {
  const outcomes = await Promise.allSettled(starting);
  for (const one of outcomes) if (one.status === "fulfilled") started.push(one.value);
  return outcomes.map((one) => {
    if (one.status === "rejected") throw one.reason;
    return one.value;
  });
}

function dataOptions({ password, tls, args = [] }: SentinelOptions): ServerOptions {
  const list = ["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0"];
  if (password !== undefined) list.push("--masterauth", password);
  if (tls) list.push("--tls-replication", "yes");
  return { args: [...list, ...args], ...(password === undefined ? {} : { password }), ...(tls ? { tls } : {}) };
}

interface Identity {
  readonly port: number;
  readonly id: string;
}

/** Sentinels that know each other from the start: to find each other takes them seconds. */
async function startSentinelServers(options: SentinelOptions, watched: readonly OwnServer[]): Promise<OwnServer[]> {
  const { sentinels = 3, sentinelPassword, tls } = options;
  const all = Array.from({ length: sentinels }, () => ({ port: randomPort(), id: randomBytes(20).toString("hex") }));
  const started: OwnServer[] = [];
  try {
    return await allOf(
      all.map(({ port }, at) =>
        startServer({
          port,
          config: configOf(options, watched, all, at),
          args: ["--sentinel", ...(tls ? ["--tls-replication", "yes"] : [])],
          ...(sentinelPassword === undefined ? {} : { password: sentinelPassword }),
          ...(tls ? { tls } : {}),
        })
      ),
      started,
    );
  } catch (error) {
    await Promise.all(started.map((server) => server.stop()));
    throw error;
  }
}

function configOf(
  { name = "mymaster", password, sentinelPassword, downAfter = DOWN_AFTER }: SentinelOptions,
  [primary, replica]: readonly OwnServer[],
  all: readonly Identity[],
  at: number,
): string {
  const { id } = all[at];
  const others = all.filter((other) => other.id !== id);
  const quorum = Math.floor(all.length / 2) + 1;
  return [
    `sentinel myid ${id}`,
    `sentinel monitor ${name} ${primary.host} ${primary.port} ${quorum}`,
    `sentinel down-after-milliseconds ${name} ${downAfter + STAGGER * at}`,
    `sentinel failover-timeout ${name} ${FAILOVER_TIMEOUT}`,
    ...(password === undefined ? [] : [`sentinel auth-pass ${name} ${password}`]),
    ...(sentinelPassword === undefined ? [] : [`sentinel sentinel-pass ${sentinelPassword}`]),
    `sentinel known-replica ${name} ${replica.host} ${replica.port}`,
    ...others.map(({ port, id }) => `sentinel known-sentinel ${name} 127.0.0.1 ${port} ${id}`),
    "",
  ].join("\n");
}
