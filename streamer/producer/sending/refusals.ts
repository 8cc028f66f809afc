// Reports streams whose messages a server refuses for a long time.

import type { Wait } from "../../../resp/connection/retry/waiting.ts";
import { concernsOneSlot } from "../../../resp/connection/server_errors.ts";
import type { RedisError } from "../../../resp/errors.ts";
import type { NodeName, Router } from "../../cluster/router.ts";
import type { SendRecord } from "../messages/receipt.ts";
import type { Target } from "../messages/target.ts";

/** A target that waits, and the node that has refused it. */
interface Noted {
  readonly wait: Wait;
  readonly node: NodeName | undefined;
}

/** The targets whose messages are temporarily refused. */
export class Refusals {
  readonly #router: Router;
  readonly #noted = new Map<Target<SendRecord>, Noted>();

  constructor(router: Router) {
    this.#router = router;
  }

  /** Call this when the node of a target's link has refused a message. */
  refused(target: Target<SendRecord>, error: RedisError): void {
    const node = target.link?.node;
    const noted = this.#noted.get(target);
    const concernsTarget = concernsOneSlot(error.code, error.message);
    // A target that is sent from node to node waits all the time. A node that refuses everything waits for itself.
    if (noted !== undefined && (concernsTarget || noted.node === node)) return noted.wait.refused(error);
    noted?.wait.over();
    const { waits } = node === undefined ? this.#router : this.#router.destination(node);
    this.#noted.set(target, { node, wait: waits.begin(error, concernsTarget ? target.streamKey : undefined) });
  }

  /** Call this when a message of the target is stored. */
  recovered(target: Target<SendRecord>): void {
    this.#noted.get(target)?.wait.over();
    this.#noted.delete(target);
  }

  /** Call this when a message of the target fails. After the last one the target no longer waits. */
  failed(target: Target<SendRecord>): void {
    if (this.#noted.size > 0 && target.unsettled === 0) this.recovered(target);
  }

  /** Ends all waiting. */
  close(): void {
    for (const target of this.#noted.keys()) this.recovered(target);
  }
}
