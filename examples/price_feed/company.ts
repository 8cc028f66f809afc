// Runs several programs on one feed: starts them, prints their lines, and ends all of them.

import process from "node:process";
import { Child } from "./child.ts";
import { streamsOf } from "./feed.ts";

/** Starts programs, and prints their lines with the time and their name. */
export class Company {
  readonly #feed = crypto.randomUUID().slice(0, 8);
  readonly #url: string;
  readonly #startedAt = performance.now();
  readonly #children = new Set<Child>();
  readonly #closing = new AbortController();

  /** All programs use the server of this URL. */
  constructor(url: string) {
    this.#url = url;
  }

  /** The streams of the feed. */
  get streams(): readonly string[] {
    return Object.values(streamsOf(this.#feed));
  }

  /** Aborted by {@linkcode close}. */
  get signal(): AbortSignal {
    return this.#closing.signal;
  }

  /** Starts a program of this folder under a name. Resolves once the program reports that it is ready, or has ended. */
  async start(name: string, file: string, args: readonly string[] = []): Promise<Child> {
    this.signal.throwIfAborted();
    const child = new Child({
      file,
      args: ["--feed", this.#feed, ...args],
      env: { REDIS_URL: this.#url },
      onLine: (line) => this.say(name, line),
    });
    this.#children.add(child);
    await child.says("is ready");
    return child;
  }

  /** Prints a line on stderr; stdout is for the result. */
  say(name: string, line: string): void {
    const seconds = ((performance.now() - this.#startedAt) / 1_000).toFixed(2);
    process.stderr.write(`${seconds.padStart(6)} s  ${name.padEnd(11)}  ${line}\n`);
  }

  /** Ends all running programs. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all([...this.#children].map((child) => child.end("SIGKILL")));
  }
}
