// What a link needs from the others: who decides about its messages, and about its targets.

import type { Clock } from "../../../../resp/connection/clock.ts";
import type { Fence } from "../../../../resp/connection/fence.ts";
import type { ReconnectOptions } from "../../../../resp/connection/reconnect/backoff.ts";
import type { ServerErrorClass } from "../../../../resp/connection/server_errors.ts";
import type { RedisError, StreamerError } from "../../../../resp/errors.ts";
import type { NodeName } from "../../../cluster/router.ts";
import type { Safeguard } from "../../ids/safeguard.ts";
import type { SendEvent } from "../../messages/delivery_policy.ts";
import type { SendRecord } from "../../messages/receipt.ts";
import type { Carrier, Target } from "../../messages/target.ts";
import type { Tick } from "../tick.ts";

/** A link, as the routes see it. */
export interface NodeLink extends Carrier<SendRecord> {
  /** Accepts messages to be sent before all others after the reconnect. */
  putBack(records: readonly SendRecord[]): void;
  /** Closes the connection to a server that is silent, and whose messages in flight all go elsewhere. */
  abandon(): void;
}

/** Decides about the messages of a link. */
export interface LinkOwner {
  /** The server stored the message. */
  stored(record: SendRecord): void;
  /** The server refused the message. */
  refused(record: SendRecord, error: RedisError, kind: ServerErrorClass): void;
  /** The message got no reply. Returns true to send it again. Otherwise the message failed. */
  lost(record: SendRecord, event: SendEvent, cause: StreamerError): boolean;
  /** The link does not reconnect any more. */
  failed(link: Carrier<SendRecord>, error: StreamerError): void;
}

/** Decides about the links of targets. */
export interface TargetRoutes {
  /** At the end of each tick the messages of that tick are written. */
  readonly tick: Tick;
  /** Call this when a target with a backlog may have no message in flight any more. */
  answered(target: Target<SendRecord>): void;
  /** The link is connected and may write. */
  connected(link: NodeLink): void;
  /** The connection was lost. These messages were in flight, in this order, and have to be sent again. */
  returned(link: NodeLink, records: readonly SendRecord[], cause: StreamerError): void;
  /** The server has sent nothing for a while, although messages are in flight. */
  silent(link: NodeLink): void;
  /** The lost connections of all links to a node, one after another. */
  fenceOf(node: NodeName): Fence;
}

/** Collaborators that the links of one producer share. */
export interface LinkOptions {
  readonly owner: LinkOwner;
  readonly clock: Clock;
  readonly reconnect: Required<ReconnectOptions>;
  /** The ids of messages, and what happens to messages in doubt. */
  readonly safeguard: Pick<Safeguard, "ids" | "waitsForLost" | "ask" | "giveUp">;
  readonly onFenceUnavailable: (detail: { readonly node: string; readonly cause: unknown }) => void;
}
