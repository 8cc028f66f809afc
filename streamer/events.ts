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
