// Why a live display is out of date: the server is away, refuses for the time being, or has not answered yet.

import type { RedisStreamer } from "../../streamer.ts";
import { sentence } from "../failure.ts";
import { duration } from "./figures.ts";

/** Milliseconds without an answer that go unmentioned. */
const PATIENCE = 1_500;

interface Trouble {
  readonly what: string;
  readonly since: number;
  readonly cause: unknown;
}

/** Follows the events of a connection. */
export class ServerStatus {
  readonly #troubles = new Map<string, Trouble>();
  readonly #streamer: RedisStreamer;
  readonly #now: () => number;
  readonly #onChange: () => void;
  #requestedAt: number | undefined;

  /** `onChange` is called when a server goes away or comes back. */
  constructor(streamer: RedisStreamer, now: () => number, onChange: () => void) {
    this.#streamer = streamer;
    this.#now = now;
    this.#onChange = onChange;
    streamer.addEventListener("disconnect", ({ detail: { node, cause } }) => {
      if (cause !== undefined) this.#add(node, "is away", cause); // otherwise the connection is not needed any more
    });
    streamer.addEventListener("reconnect", ({ detail: { node, cause } }) => this.#add(node, "is away", cause));
    streamer.addEventListener("connect", ({ detail: { node } }) => this.#remove(node));
    streamer.addEventListener("moved", ({ detail: { from } }) => this.#remove(from));
    streamer.addEventListener("waiting", ({ detail: { node, cause } }) => this.#add(node, "is not ready", cause));
    streamer.addEventListener("resumed", ({ detail: { node } }) => this.#remove(node));
  }

  /** Figures are requested. */
  requested(): void {
    this.#requestedAt = this.#now();
  }

  /** The requested figures have arrived. */
  answered(): void {
    this.#requestedAt = undefined;
    this.#troubles.clear();
  }

  /** The request has failed for now. */
  failed(cause: unknown): void {
    this.#requestedAt = undefined;
    if (this.#troubles.size === 0) this.#add("", "is away", cause);
  }

  /** A sentence about the trouble; `undefined` if there is none. */
  text(): string | undefined {
    const [first] = this.#troubles;
    if (first !== undefined) {
      const [node, { what, since, cause }] = first;
      const why = cause === undefined ? "" : `: ${sentence(cause)}`;
      const who = node !== "" && this.#streamer.stats().nodes.length > 1 ? node : "The server";
      return `${who} ${what} for ${duration(this.#now() - since)}, trying again${why}`;
    }
    const waited = this.#requestedAt === undefined ? 0 : this.#now() - this.#requestedAt;
    return waited < PATIENCE ? undefined : `No answer for ${duration(waited)}`;
  }

  #add(node: string, what: string, cause: unknown): void {
    const known = this.#troubles.get(node);
    this.#troubles.set(node, { what, since: known?.since ?? this.#now(), cause: cause ?? known?.cause });
    if (known === undefined) this.#onChange();
  }

  #remove(node: string): void {
    if (this.#troubles.delete(node)) this.#onChange();
  }
}
