// The context of a command and its connection: opened, its events reported, and always closed.

import { classOf } from "../../../resp/connection/server_errors.ts";
import { printable, StreamerError } from "../../../resp/errors.ts";
import { isStreamMissing } from "../../commands/xgroup.ts";
import { connect } from "../../connect.ts";
import type { RedisStreamer } from "../../streamer.ts";
import type { Address, Origin } from "../args/address.ts";
import type { Given } from "../args/arguments.ts";
import { CommandError, exitCodeOf, sentence } from "../failure.ts";
import { plural } from "../screen/figures.ts";
import { Progress } from "../screen/progress.ts";
import type { System } from "../system.ts";

/** The input of a command. */
export interface Task {
  readonly system: System;
  readonly given: Given;
}

/** Milliseconds that work in progress may take after a signal. */
export const GRACE = 5_000;

/** What shares a terminal with progress. */
export interface ProgressPlace {
  /** Whether the command writes lines to stdout. */
  readonly lines?: boolean;
  /** Whether the command reads stdin. */
  readonly input?: boolean;
}

/** The progress of a command. It is not drawn on a terminal at which lines are printed or typed. */
export function progressOf(
  { system, given }: Task,
  noun: string,
  { lines = false, input = false }: ProgressPlace = {},
): Progress {
  const { stderr, stdout, stdin } = system;
  const disturbs = (lines && stdout.isTerminal) || (input && stdin.isTerminal);
  return new Progress({
    screen: stderr,
    shown: given.flag("progress") || (stderr.isTerminal && !disturbs),
    quiet: given.flag("quiet"),
    noun,
    now: () => system.now(),
  });
}

/** Prints a sentence on stderr. */
export type Note = (text: string) => void;

/** Connects, runs the work, and disconnects whatever the outcome. */
export async function withStreamer<T>(
  { system, given }: Task,
  { address, note }: { readonly address: Address; readonly note: Note },
  work: (streamer: RedisStreamer) => Promise<T>,
): Promise<T> {
  const streamer = await connected(address);
  reportEvents(streamer, note, given.flag("verbose"));
  try {
    return await work(streamer);
  } finally {
    // The work reports its own failures; the first one counts.
    await streamer.disconnect(system.signal.aborted ? { timeout: GRACE } : {}).catch(() => {});
  }
}

const REMARKS: Readonly<Record<Origin, string>> = {
  "argument": "",
  "--url": "",
  "REDIS_URL": ". REDIS_URL names this server",
  "default": ". This is the default server: use --url or REDIS_URL for another one",
};
const NO_CONNECTION: readonly string[] = ["CONNECT", "TIMEOUT", "AUTH"];

/** Connects. An error says where an address came from that the user has not typed. */
async function connected({ uri, origin, options }: Address): Promise<RedisStreamer> {
  try {
    return await connect(uri, options);
  } catch (error) {
    const remark = REMARKS[origin];
    if (!(error instanceof StreamerError) || remark === "" || !NO_CONNECTION.includes(error.code)) throw error;
    throw new CommandError(`${sentence(error).replace(/\.$/, "")}${remark}`, {
      exitCode: exitCodeOf(error),
      cause: error.cause,
    });
  }
}

/** The same error, or one that names the option for a group's missing stream. */
export function withMkstreamHint(error: unknown, streamKeys: readonly string[]): unknown {
  const { cause } = Object(error);
  if (!isStreamMissing(error) && !isStreamMissing(cause)) return error;
  const name = streamKeys.length === 1 ? `Stream ${streamKeys[0]}` : `One of the streams ${streamKeys.join(", ")}`;
  return new CommandError(`${name} does not exist: check the name, or create it with --mkstream`, { cause });
}

/** Reports connection and group events; with `verbose` also those that need no attention. */
export function reportEvents(streamer: RedisStreamer, note: Note, verbose: boolean): void {
  const away = new Set<string>(); // nodes
  streamer.addEventListener("reconnect", ({ detail: { node, attempt, cause } }) => {
    if ((attempt !== 1 || isDemotion(cause)) && !verbose) return; // a replica that stays one is reported by `waiting`
    away.add(node);
    note(`Connection to ${node} lost, reconnecting: ${sentence(cause)}`);
  });
  streamer.addEventListener("connect", ({ detail: { node } }) => {
    if (away.delete(node)) note(`Connection to ${node} restored`);
  });
  streamer.addEventListener("moved", ({ detail: { slots, from, to } }) => {
    const count = slots.reduce((sum, [first, last]) => sum + last - first + 1, 0);
    if (away.delete(from) || verbose) note(`${plural(count, "slot")} moved from ${from} to ${to}`);
  });
  streamer.addEventListener("waiting", ({ detail: { node, streamKey, cause } }) => {
    note(`Waiting for ${streamKey ?? node}: ${sentence(cause)}`);
  });
  streamer.addEventListener("resumed", ({ detail: { node, streamKey } }) => {
    note(`No longer waiting for ${streamKey ?? node}`);
  });
  streamer.addEventListener("fence-unavailable", ({ detail: { node } }) => {
    note(`The lost connection to ${node} could not be closed on the server: messages in flight may be stored twice`);
  });
  streamer.addEventListener("stream-reset", ({ detail: { streamKey, position } }) => {
    note(`${streamKey} was deleted and recreated: reading continues from ${position}`);
  });
  streamer.addEventListener("gap", ({ detail: { streamKey, group, ids } }) => {
    const messages = plural(ids.length, "message");
    note(`${messages} of ${streamKey} deleted before ${printable(group)} received them: ${some(ids)}`);
  });
  streamer.addEventListener("lost", ({ detail: { streamKey, ids } }) => {
    note(`${plural(ids.length, "message")} of ${streamKey} claimed by another consumer: ${some(ids)}`);
  });
  streamer.addEventListener("group-recreated", ({ detail: { streamKey, group, position } }) => {
    note(`Group ${printable(group)} of ${streamKey} was missing: recreated after ${position}`);
  });
  streamer.addEventListener("claimed", ({ detail: { streamKey, from, ids } }) => {
    if (verbose) {
      note(`${plural(ids.length, "message")} of ${streamKey} claimed from ${printable(from) || "no consumer"}`);
    }
  });
}

/** Whether a connection was closed because its server is a replica. */
function isDemotion(cause: unknown): boolean {
  return cause instanceof Error && classOf(cause.cause) === "role-changed";
}

function some(ids: readonly string[]): string {
  return ids.length > 3 ? `${ids.slice(0, 3).join(", ")}, …` : ids.join(", ");
}

/** A signal that is aborted some time after another one, so that work in progress can finish. It owns a timer. */
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
