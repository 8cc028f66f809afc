// What every command is given, and its connection: made, told about, and given back in any case. It must not know what a
// command does with it.

import { connect, type RedisStreamer } from "../streamer.ts";
import type { Address } from "./address.ts";
import type { Given } from "./arguments.ts";
import { sentence } from "./failure.ts";
import { Progress } from "./progress.ts";
import type { System } from "./system.ts";

/** What a command is given. */
export interface Task {
  readonly system: System;
  readonly given: Given;
}

/** Milliseconds for which a signal lets what has begun come to its end. */
export const GRACE = 5_000;

/** Progress as it was asked for. What goes to the same terminal as lines of output is not drawn. */
export function progressOf({ system, given }: Task, noun: string, { lines = false } = {}): Progress {
  const { stderr, stdout } = system;
  const wanted = given.flag("progress") || (stderr.isTerminal && !(lines && stdout.isTerminal));
  return new Progress({
    screen: stderr,
    shown: wanted,
    quiet: given.flag("quiet"),
    noun,
    now: () => system.now(),
  });
}

/** Says something on stderr. */
export type Note = (text: string) => void;

/** Connects, does the work, and disconnects whatever came of it. */
export async function withStreamer<T>(
  { system, given }: Task,
  { address, note }: { readonly address: Address; readonly note: Note },
  work: (streamer: RedisStreamer) => Promise<T>,
): Promise<T> {
  const streamer = await connect(address.uri, address.options);
  tellEvents(streamer, note, given.flag("verbose"));
  try {
    return await work(streamer);
  } finally {
    // What the work left unsettled it has told about itself; the first failure counts.
    await streamer.disconnect(system.signal.aborted ? { timeout: GRACE } : {}).catch(() => {});
  }
}

function tellEvents(streamer: RedisStreamer, note: Note, verbose: boolean): void {
  let away = false;
  streamer.addEventListener("reconnect", ({ detail: { node, attempt, cause } }) => {
    if (attempt !== 1 && !verbose) return;
    away = true;
    note(`The connection to ${node} was lost and is made again: ${sentence(cause)}`);
  });
  streamer.addEventListener("connect", ({ detail: { node } }) => {
    if (away) note(`The connection to ${node} is back`);
    away = false;
  });
  streamer.addEventListener("fence-unavailable", ({ detail: { node } }) => {
    note(`The lost connection to ${node} could not be killed: what was under way may stand twice`);
  });
  streamer.addEventListener("stream-reset", ({ detail: { streamKey, position } }) => {
    note(`${streamKey} was made anew: it is read from ${position} on`);
  });
  streamer.addEventListener("gap", ({ detail: { streamKey, group, ids } }) => {
    note(`${ids.length} messages of ${streamKey} were gone before ${group} could be given them: ${some(ids)}`);
  });
  streamer.addEventListener("lost", ({ detail: { streamKey, ids } }) => {
    note(`${ids.length} messages of ${streamKey} were claimed by others meanwhile: ${some(ids)}`);
  });
  streamer.addEventListener("group-recreated", ({ detail: { streamKey, group, position } }) => {
    note(`The group ${group} of ${streamKey} had vanished and was made again behind ${position}`);
  });
  streamer.addEventListener("claimed", ({ detail: { streamKey, from, ids } }) => {
    if (verbose) note(`${ids.length} messages of ${streamKey} were taken over from ${from || "nobody"}`);
  });
}

function some(ids: readonly string[]): string {
  return ids.length > 3 ? `${ids.slice(0, 3).join(", ")}, …` : ids.join(", ");
}

/** A signal that is aborted some time after another one, for what may still come to its end; it owns a timer. */
export class GracePeriod implements Disposable {
  readonly #over = new AbortController();
  readonly #from: AbortSignal;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(from: AbortSignal, milliseconds: number = GRACE) {
    this.#from = from;
    this.#start = () => {
      this.#timer = setTimeout(() => this.#over.abort(from.reason), milliseconds);
    };
    if (from.aborted) this.#start();
    else from.addEventListener("abort", this.#start, { once: true });
  }

  readonly #start: () => void;

  get signal(): AbortSignal {
    return this.#over.signal;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#from.removeEventListener("abort", this.#start);
  }
}
