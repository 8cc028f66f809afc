// The programs that run together on one feed: that they start, that all they say is seen, and that none is left behind. It
// must not know what they do.

import process from "node:process";
import { Child } from "./child.ts";
import { streamsOf } from "./feed.ts";

/** Starts programs, and shows what they say with the time and their name before it. */
export class Company {
  readonly #feed = crypto.randomUUID().slice(0, 8);
  readonly #url: string;
  readonly #startedAt = performance.now();
  readonly #children = new Set<Child>();
  readonly #closing = new AbortController();

  /** All of them talk to the server of this url. */
  constructor(url: string) {
    this.#url = url;
  }

  /** The streams they work on. */
  get streams(): readonly string[] {
    return Object.values(streamsOf(this.#feed));
  }

  /** Is aborted at the end: who waits for something else is not to wait any longer. */
  get signal(): AbortSignal {
    return this.#closing.signal;
  }

  /** Starts a program of this folder under a name; resolves when it says that it is ready, or has ended without. */
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

  /** Shows a line, on stderr: stdout is for the result. */
  say(name: string, line: string): void {
    const seconds = ((performance.now() - this.#startedAt) / 1_000).toFixed(2);
    process.stderr.write(`${seconds.padStart(6)} s  ${name.padEnd(11)}  ${line}\n`);
  }

  /** Ends all that are still there. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all([...this.#children].map((child) => child.end("SIGKILL")));
  }
}
