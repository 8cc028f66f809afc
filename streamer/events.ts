// The streamer's events: their details, and a target that a careless listener cannot harm. It must not know what happens
// when.

import type { MessageId } from "./model/id.ts";

/** What each event carries as its `detail`. */
export interface StreamerEventDetails {
  /** A connection to the node is ready. */
  readonly connect: { readonly node: string };
  /** A connection to the node was lost, or closed. */
  readonly disconnect: { readonly node: string; readonly cause?: unknown };
  /** A lost node is tried again after `delay` milliseconds. */
  readonly reconnect: {
    readonly node: string;
    readonly attempt: number;
    readonly delay: number;
    readonly cause: unknown;
  };
  /** A lost connection could not be killed before messages are sent again: a time is waited instead. */
  readonly "fence-unavailable": { readonly node: string; readonly cause: unknown };
  /** A stream was deleted and made anew, or its ids were put back: reading goes on from `position`. */
  readonly "stream-reset": { readonly streamKey: string; readonly shardId: number; readonly position: MessageId };
  /** Messages that another consumer of the group had left lying were taken over. */
  readonly claimed: {
    readonly streamKey: string;
    readonly shardId: number;
    readonly group: string;
    /** Who held them; empty where somebody had given them back to the group. */
    readonly from: string;
    readonly ids: readonly MessageId[];
  };
  /** Messages in the user's hands belong to another consumer now: this process was stopped or cut off too long. */
  readonly lost: StreamerGroupEntries;
  /** Messages were in the user's hands for longer than `maxHold`: they are left to other consumers. */
  readonly released: StreamerGroupEntries;
  /** Messages were deleted or trimmed before they could be delivered; they have been acknowledged. */
  readonly gap: StreamerGroupEntries;
  /** A group had vanished and was made again behind `position`. */
  readonly "group-recreated": {
    readonly streamKey: string;
    readonly shardId: number;
    readonly group: string;
    readonly position: MessageId;
  };
  /** A message is delivered no more: it was written to the stream `target`, if there is one, and acknowledged. */
  readonly "dead-letter": {
    readonly streamKey: string;
    readonly shardId: number;
    readonly id: MessageId;
    readonly target: string | null;
    /** How often it had been delivered. */
    readonly deliveries: number;
    readonly reason: string;
  };
  /** Which shards a consumer that discovers them has found, or that there are no more; or why it cannot find any. */
  readonly shards: {
    readonly streamKey: string;
    /** Numbers of shards that are read from now on. */
    readonly found: readonly number[];
    /** Numbers of shards that are read and no longer there; should they come back, they are read again. */
    readonly gone: readonly number[];
    /** Whether the plain key is a stream too, which is not read. */
    readonly ignoredPlain: boolean;
    /** What keeps the consumer from finding (more) shards: a refused SCAN or TYPE, or too many of them. It looks no more. */
    readonly cause?: unknown;
  };
}

/** Messages of one shard that a group's consumer tells about. */
export interface StreamerGroupEntries {
  /** The stream they are of. */
  readonly streamKey: string;
  /** The shard. */
  readonly shardId: number;
  /** The group. */
  readonly group: string;
  /** Their ids. */
  readonly ids: readonly MessageId[];
}

/** The events by their names. */
export type StreamerEventMap = { [Name in keyof StreamerEventDetails]: CustomEvent<StreamerEventDetails[Name]> };

/** Who is called when an event happens. */
export type StreamerEventListener<Name extends keyof StreamerEventMap> = (event: StreamerEventMap[Name]) => void;

/** An event target whose listeners may throw or reject without any harm: to nobody else, and not to the process. */
export class StreamerEventTarget extends EventTarget {
  readonly #guarded = new WeakMap<object, (event: Event) => void>();

  /** Calls the listener at each event of this name; a second time for the same listener does nothing. */
  override addEventListener<Name extends keyof StreamerEventMap>(
    type: Name,
    listener: StreamerEventListener<Name> | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  /** The same for events by any name. */
  override addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  override addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void {
    super.addEventListener(type, listener === null ? null : this.#guard(listener), options);
  }

  /** Stops calling the listener. */
  override removeEventListener<Name extends keyof StreamerEventMap>(
    type: Name,
    listener: StreamerEventListener<Name> | null,
    options?: boolean | EventListenerOptions,
  ): void;
  /** The same for events by any name. */
  override removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
  override removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void {
    // A runtime that removes a listener by itself calls this with what it was given: the guard.
    super.removeEventListener(type, listener === null ? null : this.#guarded.get(listener) ?? listener, options);
  }

  #guard(listener: EventListenerOrEventListenerObject): (event: Event) => void {
    let guarded = this.#guarded.get(listener);
    if (guarded === undefined) {
      guarded = (event) => {
        try {
          const result: unknown = typeof listener === "function"
            ? listener.call(this, event)
            : listener.handleEvent(event);
          if (result instanceof Promise) result.catch(() => {});
        } catch {
          // Its own affair.
        }
      };
      this.#guarded.set(listener, guarded);
    }
    return guarded;
  }
}
