// A connection that one caller uses for a few commands and closes: for transactions, which concern a whole connection.

import { openThroughGate } from "../../resp/connection/connection.ts";
import type { Destination } from "../../resp/connection/destination.ts";
import { UnreachableError } from "../../resp/connection/lane.ts";
import type { Pipeline } from "../../resp/connection/pipeline/pipeline.ts";
import { StreamerError } from "../../resp/errors.ts";

/** Options of {@linkcode onOwnConnection}. */
export interface OwnConnectionOptions {
  /** Cancels all of it. */
  readonly signal: AbortSignal;
  /** Milliseconds after which connecting fails. */
  readonly within: number;
  /** Ends connecting, and nothing after that. */
  readonly giveUp: AbortSignal;
}

/** Opens a connection, passes it to `use`, and closes it. Rejects with `DISCONNECTED` if it cannot be opened in time. */
export async function onOwnConnection<T>(
  destination: Destination,
  { signal, within, giveUp }: OwnConnectionOptions,
  use: (pipeline: Pipeline) => Promise<T>,
): Promise<T> {
  const limit = new AbortController();
  const timer = destination.clock.after(within, () => limit.abort(new UnreachableError(destination)));
  const opening = openThroughGate(destination, { signal: AbortSignal.any([signal, limit.signal, giveUp]) });
  const { open: { node, pipeline }, ticket } = await opening.finally(() => timer.stop());
  const end = () => pipeline.end(new StreamerError("DISCONNECTED", "The connection was closed after its last command"));
  signal.addEventListener("abort", end, { once: true });
  try {
    return await use(pipeline);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener("abort", end);
    if (pipeline.ending !== undefined) node.gate.lost(ticket, { cause: pipeline.ending, served: true });
    end();
  }
}
