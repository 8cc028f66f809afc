// The streamer's events: their details, and an event target that isolates its listeners.

import type { MessageId } from "./model/id.ts";

/**
 * The `detail` of each event of a {@linkcode RedisStreamer}. `node` is the address of a server, without credentials.
 *
 * @category Events
 */
export interface StreamerEventDetails {
  /** A connection to the node is ready. */
  readonly connect: { readonly node: string };
  /** A connection to the node was lost or closed. */
  readonly disconnect: { readonly node: string; readonly cause?: unknown };
  /** The node is lost, and the next attempt to connect starts in `delay` milliseconds. */
  readonly reconnect: {
    readonly node: string;
    readonly attempt: number;
    readonly delay: number;
    readonly cause: unknown;
  };
  /**
   * Slots have another node: they were moved, or a replica has taken the place of its primary. One event for each pair of nodes and
   * change. After a failover that Sentinel reports, all slots.
   */
  readonly moved: {
    /** Ranges of slots, first and last. */
    readonly slots: readonly (readonly [first: number, last: number])[];
    /** The node that had them. */
    readonly from: string;
    /** The node that has them now. */
    readonly to: string;
  };
  /** The server did not allow a lost connection to be killed. Messages are sent again after 2 seconds instead. */
  readonly "fence-unavailable": { readonly node: string; readonly cause: unknown };
  /**
   * The server does not report to consumers which of many shards have changed: CLIENT TRACKING was refused, or RESP3 is missing. Shards in up
   * to 16 slots are then read over a connection for each slot, and the others are polled. Emitted once for each node.
   */
  readonly "tracking-unavailable": { readonly node: string; readonly cause: unknown };
  /**
   * Commands were refused and retried for longer than 2 seconds. The event is emitted once for the whole node, or once for one
   * stream of it. Lost connections are reported by `disconnect` and `reconnect` only. Waiting for messages is not reported.
   */
  readonly waiting: {
    readonly node: string;
    /** The stream that the commands concern. Absent if they concern the whole node. */
    readonly streamKey?: string;
    /** The server's last answer. */
    readonly cause: unknown;
    /** The time of the first refusal. */
    readonly since: Date;
  };
  /** The commands of a `waiting` event have succeeded, failed or ended. */
  readonly resumed: { readonly node: string; readonly streamKey?: string };
  /** A stream was deleted and recreated, or its ids were reset by a failover. Reading resumes after `position`. */
  readonly "stream-reset": { readonly streamKey: string; readonly shardId: number; readonly position: MessageId };
  /** Idle messages of another consumer were claimed. */
  readonly claimed: {
    readonly streamKey: string;
    readonly shardId: number;
    readonly group: string;
    /** The previous consumer, escaped if its name is not valid UTF-8. Empty if the messages were released to the group. */
    readonly from: string;
    readonly ids: readonly MessageId[];
  };
  /** Messages in flight now belong to another consumer, since this process was stopped or disconnected for too long. */
  readonly lost: StreamerGroupEntries;
  /**
   * Messages were returned more than `maxHold` ago and not acknowledged, and are now released. Other consumers can claim them. If
   * none does, they are delivered here again.
   */
  readonly released: StreamerGroupEntries;
  /** Pending messages were deleted or trimmed before they could be delivered. They are acknowledged. */
  readonly gap: StreamerGroupEntries;
  /** A missing group was recreated. It starts after `position`. */
  readonly "group-recreated": {
    readonly streamKey: string;
    readonly shardId: number;
    readonly group: string;
    readonly position: MessageId;
  };
  /** A message was dead-lettered: it was added to the stream `target`, unless that is `null`, and acknowledged. */
  readonly "dead-letter": {
    readonly streamKey: string;
    readonly shardId: number;
    readonly id: MessageId;
    readonly target: string | null;
    /** The number of deliveries before. */
    readonly deliveries: number;
    readonly reason: string;
  };
  /** A consumer has found shards or lost some, or cannot look for shards. */
  readonly shards: {
    readonly streamKey: string;
    /** Numbers of the shards that are read from now on. */
    readonly found: readonly number[];
    /** Numbers of the shards whose keys have disappeared. They are read again if the keys come back. */
    readonly gone: readonly number[];
    /** Whether the plain key has entries, which are not read. */
    readonly ignoredPlain: boolean;
    /** Why the consumer stops looking for shards: SCAN or TYPE is refused, or there are more than 1,024 shards. */
    readonly cause?: unknown;
  };
}

/**
 * The messages of one shard that an event of a consumer group concerns.
 *
 * @category Events
 */
export interface StreamerGroupEntries {
  /** The stream of the messages. */
  readonly streamKey: string;
  /** The shard of the messages. */
  readonly shardId: number;
  /** The group. */
  readonly group: string;
  /** The ids of the messages. */
  readonly ids: readonly MessageId[];
}

/**
 * The event types of a {@linkcode RedisStreamer}, by name.
 *
 * @category Events
 */
export type StreamerEventMap = { [Name in keyof StreamerEventDetails]: CustomEvent<StreamerEventDetails[Name]> };

/**
 * A listener for the events of one name.
 *
 * @category Events
 */
export type StreamerEventListener<Name extends keyof StreamerEventMap> = (event: StreamerEventMap[Name]) => void;

// The types of listeners and their options are taken from the runtime's `EventTarget`: only the DOM library has names for them.

/**
 * An event target that isolates its listeners: an exception or a rejection in a listener affects neither the process nor other
 * listeners.
 *
 * @example
 * ```ts
 * import { connect } from "@sea/streamer-redis";
 *
 * await using streamer = await connect();
 * const log = ({ detail }: CustomEvent<{ node: string }>) => console.log("connected to", detail.node);
 * streamer.addEventListener("connect", log);
 * streamer.addEventListener("dead-letter", ({ detail }) => console.warn(detail.id, detail.reason), { once: true });
 * streamer.removeEventListener("connect", log);
 * ```
 *
 * @category Events
 */
export class StreamerEventTarget extends EventTarget {
  readonly #guarded = new WeakMap<object, (event: Event) => void>();

  /** Adds a listener for the events of this name. A listener that is added twice is called once. */
  override addEventListener<Name extends keyof StreamerEventMap>(
    type: Name,
    listener: StreamerEventListener<Name> | null,
    options?: Parameters<EventTarget["addEventListener"]>[2],
  ): void;
  /** Adds a listener for events of any name. */
  override addEventListener(
    type: string,
    listener: Parameters<EventTarget["addEventListener"]>[1] | null,
    options?: Parameters<EventTarget["addEventListener"]>[2],
  ): void;
  override addEventListener(
    type: string,
    listener: Parameters<EventTarget["addEventListener"]>[1] | null,
    options?: Parameters<EventTarget["addEventListener"]>[2],
  ): void {
    super.addEventListener(type, listener === null ? null : this.#guard(listener), options);
  }

  /** Removes a listener for the events of this name. */
  override removeEventListener<Name extends keyof StreamerEventMap>(
    type: Name,
    listener: StreamerEventListener<Name> | null,
    options?: Parameters<EventTarget["removeEventListener"]>[2],
  ): void;
  /** Removes a listener for events of any name. */
  override removeEventListener(
    type: string,
    listener: Parameters<EventTarget["addEventListener"]>[1] | null,
    options?: Parameters<EventTarget["removeEventListener"]>[2],
  ): void;
  override removeEventListener(
    type: string,
    listener: Parameters<EventTarget["addEventListener"]>[1] | null,
    options?: Parameters<EventTarget["removeEventListener"]>[2],
  ): void {
    // A runtime that removes a listener by itself passes the function that it was given, which is the guard.
    super.removeEventListener(type, listener === null ? null : this.#guarded.get(listener) ?? listener, options);
  }

  #guard(listener: NonNullable<Parameters<EventTarget["addEventListener"]>[1]>): (event: Event) => void {
    let guarded = this.#guarded.get(listener);
    if (guarded === undefined) {
      guarded = (event) => {
        try {
          const result: unknown = typeof listener === "function"
            ? listener.call(this, event)
            : listener.handleEvent(event);
          if (result instanceof Promise) result.catch(() => {});
        } catch {
          // The exception of a listener concerns no one else.
        }
      };
      this.#guarded.set(listener, guarded);
    }
    return guarded;
  }
}
