// A network in memory: hosts that a test scripts, and a clock that stands still while anything else can happen. For what no
// real server does, and for times that a test measures exactly.

import { setImmediate } from "node:timers";
import type { Dial, Transport, TransportSink } from "../../../resp/transport/transport.ts";
import { TransportError } from "../../../resp/transport/transport.ts";
import { FakeClock } from "../../unit/connection/fakes.ts";
import { Frames, wordsOf } from "../routing/frames.ts";

/** Answers a command with the bytes of a reply; `undefined`: with nothing. */
export type Handler = (words: readonly string[], link: FakeLink) => string | undefined;

/** What a host is doing: it serves, refuses connections, or takes them and is silent. */
export type Condition = "serving" | "refusing" | "silent";

const encoder = new TextEncoder();

/** A clock that waits for everything that waits for no time, however many promises that takes. */
export class NetClock extends FakeClock {
  override settle(): Promise<void> {
    return new Promise((resolve) => void setImmediate(resolve));
  }
}

/** One connection to a host. */
export class FakeLink implements Transport {
  /** The commands that were read. */
  readonly commands: (readonly string[])[] = [];
  readonly host: FakeHost;
  readonly #sink: TransportSink;
  readonly #frames = new Frames();
  #held = ""; // replies of a silent host
  #isOpen = true;
  /** For handlers: whether the last command was an ASKING. */
  asking = false;

  constructor(host: FakeHost, sink: TransportSink) {
    this.host = host;
    this.#sink = sink;
  }

  write(bytes: Uint8Array): undefined {
    if (!this.#isOpen) return;
    for (const frame of this.#frames.feed(bytes)) {
      const words = wordsOf(frame);
      this.commands.push(words);
      this.host.commands.push(words);
      const reply = this.host.handler(words, this);
      this.asking = words[0].toUpperCase() === "ASKING";
      if (reply !== undefined) this.say(reply);
    }
  }

  /** Sends bytes, unless the host is silent: then later. */
  say(text: string): void {
    if (this.host.condition === "silent") this.#held += text;
    else queueMicrotask(() => this.#deliver(encoder.encode(text)));
  }

  /** The host is not silent any more. */
  thaw(): void {
    const held = this.#held;
    this.#held = "";
    if (held !== "") this.say(held);
  }

  /** The host ends the connection. */
  cut(): void {
    this.close();
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.host.links.delete(this);
    queueMicrotask(() => this.#sink.closed(undefined));
  }

  #deliver(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length && this.#isOpen;) {
      const room = this.#sink.space();
      const count = Math.min(room.length, bytes.length - at);
      room.set(bytes.subarray(at, at + count));
      this.#sink.received(count);
      at += count;
    }
  }
}

/** One address. */
export class FakeHost {
  readonly name: string;
  handler: Handler;
  /** All commands that have come, over all connections. */
  readonly commands: (readonly string[])[] = [];
  /** Connections that are open. */
  readonly links = new Set<FakeLink>();
  /** Connections that were tried. */
  dials = 0;
  #condition: Condition = "serving";

  constructor(name: string, handler: Handler) {
    this.name = name;
    this.handler = handler;
  }

  get condition(): Condition {
    return this.#condition;
  }

  /** Open connections stay: see {@linkcode cut}. */
  set condition(condition: Condition) {
    this.#condition = condition;
    if (condition === "serving") { for (const link of this.links) link.thaw(); }
  }

  /** How often a command has come, by its first words. */
  count(...words: string[]): number {
    return this.commands.filter((command) => words.every((word, i) => command[i]?.toUpperCase() === word)).length;
  }

  /** Ends all its connections. */
  cut(): void {
    for (const link of [...this.links]) link.cut();
  }

  /** Refuses connections, and ends those that are open. */
  die(): void {
    this.condition = "refusing";
    this.cut();
  }
}

/** All hosts. */
export class FakeNet {
  readonly clock = new NetClock();
  readonly hosts = new Map<string, FakeHost>();
  /** The addresses that were dialled, in their order. */
  readonly dialled: string[] = [];

  /** Adds a host, `"name:port"`. */
  add(name: string, handler: Handler): FakeHost {
    const host = new FakeHost(name, handler);
    this.hosts.set(name, host);
    return host;
  }

  /** Open connections of all hosts. */
  get open(): number {
    return [...this.hosts.values()].reduce((sum, { links }) => sum + links.size, 0);
  }

  readonly dial: Dial = async (endpoint, { sink, signal }) => {
    if (endpoint.kind === "unix") throw new TransportError("connect", "there are no unix sockets here");
    const { hostname, port } = endpoint;
    const name = hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
    this.dialled.push(name);
    await Promise.resolve();
    signal?.throwIfAborted();
    const host = this.hosts.get(name);
    if (host !== undefined) host.dials++;
    if (host === undefined) throw new TransportError("connect", "the host is unknown");
    if (host.condition === "refusing") throw new TransportError("connect", "the connection was refused");
    const link = new FakeLink(host, sink);
    host.links.add(link);
    return link;
  };
}
