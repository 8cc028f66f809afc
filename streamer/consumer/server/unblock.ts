// Ends a read that blocks on the server once its answer is not wanted any more.

import { StreamerError } from "../../../resp/errors.ts";
import { sleep } from "../../../resp/connection/clock.ts";
import { type ConnectionIdentity, isListed } from "../../../resp/connection/handshake/identity.ts";
import type { NodeName } from "../../cluster/router.ts";
import type { OpenConnection } from "../../../resp/connection/node.ts";
import { clientUnblock } from "../../commands/client_unblock.ts";
import type { ServerAccess } from "./server.ts";

/** How a blocked read is ended. */
export interface UnblockOptions {
  /** How to run commands on another connection. */
  readonly server: ServerAccess;
  readonly signal: AbortSignal;
  /** Whether the read still waits for its answer. */
  readonly isBlocked: () => boolean;
}

/** Longest that an end or a move waits for the server to end a blocked read, in milliseconds; entries that the read brings later are released, or dropped. */
export const UNBLOCK_LIMIT = 1_000;

/** Pause before UNBLOCK is sent again for a read that may not have reached the server before the first one. */
const UNBLOCK_AGAIN = 10;

/** Asks the server to answer now, until it has. If it does not, the connection is closed. */
export async function endBlockedRead({ info, node, pipeline }: OpenConnection, options: UnblockOptions): Promise<void> {
  const { isBlocked } = options;
  try {
    if (info.identity !== undefined) await unblock(info.identity, node.name, options);
  } catch {
    // Not allowed, or the consumer is ending: the connection is closed instead.
  }
  if (isBlocked()) pipeline.end(new StreamerError("DISCONNECTED", "The connection was closed to end its blocked read"));
}

/**
 * Unblocks the connection until its read has ended; resolves early if that server does not have the connection.
 *
 * The lane may be connected to another server by now, where the id is another client's. So the first command asks
 * whether it has a connection with our id and our address, and UNBLOCK goes over the same connection as that question.
 * One connection leads to one run of a server, and a server gives an id only once: between the two no other client can get
 * ours.
 */
async function unblock(
  identity: ConnectionIdentity,
  node: NodeName,
  { server, signal, isBlocked }: UnblockOptions,
): Promise<void> {
  let checked: OpenConnection | undefined;
  while (isBlocked()) {
    const asked = await server.connection(node, { signal });
    const { pipeline } = asked;
    if (asked !== checked && !await isListed(identity, (command) => pipeline.call(command, { signal }))) return;
    checked = asked;
    if (!isBlocked()) return;
    const unblocked = await pipeline.call(clientUnblock(identity.id), { signal });
    // Another read may block after the one that was ended. It is not waited for.
    if (unblocked !== 1 && isBlocked()) await sleep(server.clock, UNBLOCK_AGAIN, signal);
  }
}
