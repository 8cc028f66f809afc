// Two servers with one name, and a failover between them, as a managed Redis replaces its primary. Must not use the
// library under test.

import { until } from "../events.ts";
import { type Proxy, startProxy } from "../network/proxy.ts";
import { type OwnServer, type Server, startServer } from "./server.ts";

/** A primary, its replica, and the name that leads to the primary. */
export class Pair implements AsyncDisposable {
  /** The name: connections that are open stay where they are when it is led elsewhere. */
  readonly name: Proxy;
  primary: OwnServer;
  replica: OwnServer;

  private constructor(name: Proxy, primary: OwnServer, replica: OwnServer) {
    this.name = name;
    this.primary = primary;
    this.replica = replica;
  }

  /** Starts them; the replica is in step. */
  static async start(): Promise<Pair> {
    const args = ["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0"];
    const [primary, replica] = await Promise.all([startServer({ args }), startServer({ args })]);
    const pair = new Pair(await startProxy(primary), primary, replica);
    await replicate(replica, primary);
    return pair;
  }

  /** The replica has got all that the primary has. */
  async inStep(): Promise<void> {
    await until(async () => {
      const [one, other] = await Promise.all([this.primary, this.replica].map((server) => offsetOf(server)));
      return one === other;
    });
  }

  /** The replica becomes the primary, the name leads to it, and the old primary becomes its replica, with all its connections. */
  async failOver(): Promise<void> {
    const { name, primary: old, replica: promoted } = this;
    await this.inStep();
    await promoted.command("REPLICAOF", "NO", "ONE");
    name.lead(promoted);
    await old.command("REPLICAOF", promoted.host, promoted.port);
    [this.primary, this.replica] = [promoted, old];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.name.stop();
    await Promise.all([this.primary.stop(), this.replica.stop()]);
  }
}

/** Makes a server a replica of another; it is in step then. */
export async function replicate(replica: Server, primary: Server): Promise<void> {
  await replica.command("REPLICAOF", primary.host, primary.port);
  await until(async () => /master_link_status:up/.test(String(await replica.command("INFO", "replication"))));
}

/** How far a primary has written, or a replica has read. */
export async function offsetOf(server: Server): Promise<string | undefined> {
  const info = String(await server.command("INFO", "replication"));
  const isReplica = info.includes("role:slave");
  return new RegExp(`^${isReplica ? "slave" : "master"}_repl_offset:(\\d+)`, "m").exec(info)?.[1];
}
