// Notices that a primary has been replaced although its connections are open. After a failover by request, Sentinels name the new primary
// at once, and the old one accepts writes for ten seconds more. All of them are lost.

import { type Clock, sleep } from "../../../resp/connection/clock.ts";
import type { OpenConnection } from "../../../resp/connection/node.ts";
import { RedisError, StreamerError } from "../../../resp/errors.ts";
import { roleByHello, roleOfServer } from "../../commands/role.ts";

/** Milliseconds between two looks. */
const LOOK_DELAY = 2_000;
/** At every so manieth look the primary is asked for its role, and a Sentinel is asked even if it announces changes. */
const THOROUGH = 5;

/** What a watch works with. */
export interface PrimaryWatchPorts {
  readonly clock: Clock;
  /** Asks the Sentinels for the primary. If it is another one, connections to the old one are closed. */
  readonly locate: (signal: AbortSignal) => Promise<unknown>;
  /** Whether a Sentinel announces changes, with {@linkcode PrimaryWatch.look}. */
  readonly isAnnounced: () => boolean;
  /** An open connection to the primary, if there is one. */
  readonly connection: () => OpenConnection | undefined;
}

/** Asks Sentinels for the primary, and the primary for its role if a connection to it is open. */
export class PrimaryWatch {
  readonly #ports: PrimaryWatchPorts;
  readonly #closing = new AbortController();

  constructor(ports: PrimaryWatchPorts) {
    this.#ports = ports;
    this.#run().catch(() => {}); // closed
  }

  /** Asks a Sentinel now. */
  async look(): Promise<void> {
    await this.#ports.locate(this.#closing.signal).catch(() => {}); // no Sentinel answers: the primary may still serve
  }

  /** Asks nothing more. A second call does nothing. */
  close(): void {
    this.#closing.abort(new DOMException("The router is closed", "AbortError"));
  }

  async #run(): Promise<never> {
    const { clock, isAnnounced, connection } = this.#ports;
    for (let times = 1;; times++) {
      await sleep(clock, LOOK_DELAY, this.#closing.signal);
      const open = connection();
      const isThorough = times % THOROUGH === 0;
      if (isThorough && open !== undefined) await this.#checkRole(open);
      if (isThorough || !isAnnounced()) await this.look();
    }
  }

  async #checkRole({ node, pipeline }: OpenConnection): Promise<void> {
    let role: string | undefined;
    try {
      role = await pipeline.call(roleOfServer()).catch((error) => {
        if (!(error instanceof RedisError)) throw error;
        return pipeline.call(roleByHello()); // ROLE may be forbidden
      });
    } catch {
      return; // the connection is lost, or the server does not say
    }
    if (role === undefined || role === "master") return;
    node.replaced(new StreamerError("DISCONNECTED", "The server is no longer the primary"));
  }
}
