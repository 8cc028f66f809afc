// Ends a read that blocks on the server when its answer is not wanted any more. It must not know what was read.

import { StreamerError } from "../../resp/errors.ts";
import { sleep } from "../../resp/connection/clock.ts";
import type { OpenConnection } from "../../resp/connection/node.ts";
import { clientUnblock } from "../commands/client_unblock.ts";
import type { AnchorPorts } from "./anchor.ts";

/** What goes with it. */
export interface UnblockOptions {
  /** How to ask on another connection. */
  readonly anchor: AnchorPorts;
  readonly signal: AbortSignal;
  /** Whether the read still waits for its answer. */
  readonly isBlocked: () => boolean;
}

/** Pause before asking again to unblock a read that may not have reached the server when it was asked first. */
const UNBLOCK_AGAIN = 10;

/** Asks the server to answer now, until it has; where it does not do so, the connection is given up. */
export async function endBlockedRead({ info, pipeline }: OpenConnection, options: UnblockOptions): Promise<void> {
  const { anchor, signal, isBlocked } = options;
  const { identity } = info;
  try {
    while (identity !== undefined && isBlocked()) {
      const unblocked = await anchor.run(clientUnblock(identity.id), { signal });
      // Behind a read that was ended another may block by now, which need not be waited for.
      if (unblocked !== 1 && isBlocked()) await sleep(anchor.clock, UNBLOCK_AGAIN, signal);
    }
  } catch {
    // Not allowed, or we are ending: a fresh connection does as well.
  }
  if (isBlocked()) pipeline.end(new StreamerError("DISCONNECTED", "The blocked read was given up"));
}
