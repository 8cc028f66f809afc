// Reports commands that are retried for long: one pair of events for a node, or for a node and a stream, for any number of commands.

import type { Clock, Timer } from "../clock.ts";

/** The detail of a `waiting` event. */
export interface WaitingDetail {
  readonly node: string;
  /** The stream that the commands concern. Absent if they concern the whole node. */
  readonly streamKey?: string;
  /** The server's last answer. */
  readonly cause: unknown;
  /** The time of the first refusal. */
  readonly since: Date;
}

/** The detail of a `resumed` event: the commands have succeeded, failed, or were cancelled. */
export interface ResumedDetail {
  readonly node: string;
  readonly streamKey?: string;
}

/** The receiver of the events. */
export interface WaitingListener {
  waiting(detail: WaitingDetail): void;
  resumed(detail: ResumedDetail): void;
}

/** A command that is retried. */
export interface Wait {
  /** The command was refused again. */
  refused(cause: unknown): void;
  /** The command has succeeded, failed, or was cancelled. A second call does nothing. */
  over(): void;
}

/** Keeps track of retried commands. */
export interface Waits {
  /** A command is retried from now on: for one stream, or for the whole node. */
  begin(cause: unknown, streamKey?: string): Wait;
}

/** Milliseconds of retrying that are not reported. */
export const UNREPORTED = 2_000;

/** The retried commands of a node, or of one of its streams. */
interface Scope {
  readonly node: string;
  /** The start of each, oldest first. */
  readonly began: Map<Wait, number>;
  cause: unknown;
  timer: Timer | undefined;
  reported: boolean;
}

/** Keeps track of the retried commands of one node. It costs nothing while there are none. */
export class WaitingWatch implements Waits {
  readonly #node: () => string;
  readonly #clock: Clock;
  readonly #listener: WaitingListener;
  readonly #scopes = new Map<string | undefined, Scope>();

  /** `node` is the node's address, or a function that returns it. Both events of a pair have the same one. */
  constructor(node: string | (() => string), clock: Clock, listener: WaitingListener) {
    this.#node = typeof node === "string" ? () => node : node;
    this.#clock = clock;
    this.#listener = listener;
  }

  begin(cause: unknown, streamKey?: string): Wait {
    let scope = this.#scopes.get(streamKey);
    if (scope === undefined) {
      scope = { node: this.#node(), began: new Map(), cause, timer: undefined, reported: false };
      this.#scopes.set(streamKey, scope);
    }
    const { began } = scope;
    const noted = scope;
    const wait: Wait = {
      refused: (latest) => void (noted.cause = latest),
      over: () => {
        if (began.delete(wait) && began.size === 0) this.#end(noted, streamKey);
      },
    };
    scope.cause = cause;
    began.set(wait, this.#clock.now());
    if (!scope.reported) scope.timer ??= this.#clock.after(UNREPORTED, () => this.#look(noted, streamKey));
    return wait;
  }

  /** No command is retried any more. A second call does nothing. */
  close(): void {
    for (const [streamKey, scope] of [...this.#scopes]) {
      scope.began.clear();
      this.#end(scope, streamKey);
    }
  }

  /** Emits the event if the oldest command has been retried for long enough. */
  #look(scope: Scope, streamKey: string | undefined): void {
    scope.timer = undefined;
    const [since] = scope.began.values();
    if (since === undefined) return;
    const retried = this.#clock.now() - since;
    if (retried < UNREPORTED) {
      scope.timer = this.#clock.after(UNREPORTED - retried, () => this.#look(scope, streamKey));
      return;
    }
    scope.reported = true;
    const { cause } = scope;
    this.#listener.waiting({ ...placeOf(scope, streamKey), cause, since: new Date(Date.now() - retried) });
  }

  #end(scope: Scope, streamKey: string | undefined): void {
    scope.timer?.stop();
    this.#scopes.delete(streamKey);
    if (scope.reported) this.#listener.resumed(placeOf(scope, streamKey));
  }
}

function placeOf({ node }: Scope, streamKey: string | undefined): ResumedDetail {
  return streamKey === undefined ? { node } : { node, streamKey };
}
