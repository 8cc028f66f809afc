// The other side of the transports under test: a sink that checks its adapter, and scripted servers. Uses node:net and
// node:tls, which run everywhere, instead of a runtime's own sockets.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { env, execPath } from "node:process";
import { createServer as createTlsServer, type TlsOptions as ServerTls } from "node:tls";
import { fileURLToPath } from "node:url";
import { nativeDial } from "../../../resp/transport/dial.ts";
import type { Endpoint, TlsOptions, Transport, TransportSink } from "../../../resp/transport/transport.ts";
import { runtime } from "../../support/runner.ts";

const CANARY = 0xee;
const MARGIN = 16;

/** How a {@linkcode WatchfulSink} behaves. */
export interface SinkOptions {
  /** Bytes of each room. @default {65_536} */
  readonly room?: number;
  /** Called in `space`, before it returns. */
  readonly onSpace?: () => void;
  /** Called in `received`, with a copy. */
  readonly onReceived?: (bytes: Uint8Array) => void;
  /** Called in `closed`. */
  readonly onClosed?: () => void;
}

/** Hashes the received bytes, and records every violation of the seam by the adapter. */
export class WatchfulSink implements TransportSink {
  /** The adapter's violations. Must stay empty. */
  readonly violations: string[] = [];
  /** The causes of the end, one for each call of `closed`. */
  readonly ends: unknown[] = [];
  /** Bytes received so far. */
  count = 0;
  /** The number of calls of `received`. */
  calls = 0;
  /** The name of the transport's method that is running. */
  running: string | undefined;
  readonly #options: SinkOptions;
  readonly #hash = createHash("sha256");
  readonly #ended = Promise.withResolvers<unknown>();
  readonly #pool: Uint8Array;
  readonly #size: number;
  #waiting: { readonly count: number; readonly resolve: () => void }[] = [];
  #inside: string | undefined;

  constructor(options: SinkOptions = {}) {
    this.#options = options;
    this.#size = options.room ?? 65_536;
    this.#pool = new Uint8Array(this.#size + 2 * MARGIN).fill(CANARY);
  }

  space(): Uint8Array {
    return this.#watch("space", () => {
      this.#options.onSpace?.();
      return this.#pool.subarray(MARGIN, MARGIN + this.#size);
    });
  }

  received(count: number): void {
    this.#watch("received", () => {
      if (!Number.isInteger(count) || count < 1 || count > this.#size) this.violations.push(`received(${count})`);
      for (let i = 0; i < MARGIN; i++) {
        if (this.#pool[i] !== CANARY || this.#pool[MARGIN + this.#size + i] !== CANARY) {
          this.violations.push("bytes beside the room");
          break;
        }
      }
      const bytes = this.#pool.slice(MARGIN, MARGIN + count);
      this.#hash.update(bytes);
      this.count += count;
      this.calls++;
      this.#waiting = this.#waiting.filter((one) => one.count > this.count || one.resolve());
      this.#options.onReceived?.(bytes);
    });
  }

  closed(cause: unknown): void {
    this.ends.push(cause);
    this.#ended.resolve(cause);
    this.#watch("closed", () => this.#options.onClosed?.());
  }

  /** Resolves when so many bytes have arrived. */
  until(count: number): Promise<void> {
    if (this.count >= count) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ count, resolve });
    return promise;
  }

  /** Resolves with the cause of the end. */
  get ended(): Promise<unknown> {
    return this.#ended.promise;
  }

  /** Hash of all received bytes. Ends the hashing. */
  digest(): string {
    return this.#hash.digest("hex");
  }

  #watch<T>(name: string, body: () => T): T {
    if (this.running !== undefined) this.violations.push(`${name} within ${this.running}`);
    if (this.#inside !== undefined) this.violations.push(`${name} within ${this.#inside}`);
    if (this.ends.length > (name === "closed" ? 1 : 0)) this.violations.push(`${name} after the end`);
    const before = this.#inside;
    this.#inside = name;
    try {
      return body();
    } finally {
      this.#inside = before;
    }
  }
}

/** Dials with the running runtime's adapter. The transport reports to its sink when one of its methods runs. */
export async function open(
  endpoint: Endpoint,
  { signal, ...options }: SinkOptions & { readonly signal?: AbortSignal } = {},
): Promise<{ readonly transport: Transport; readonly sink: WatchfulSink }> {
  const sink = new WatchfulSink(options);
  const native = await nativeDial()(endpoint, { sink, ...(signal === undefined ? {} : { signal }) });
  function running<T>(name: string, body: () => T): T {
    const before = sink.running;
    sink.running = name;
    try {
      return body();
    } finally {
      sink.running = before;
    }
  }
  const transport: Transport = {
    write: (bytes) => running("write", () => native.write(bytes)),
    close: () => running("close", () => native.close()),
  };
  return { transport, sink };
}

/** A scripted server. Disposing it destroys its sockets. */
export interface Peer extends AsyncDisposable {
  readonly port: number;
  /** Its address, over TLS with `tls`. */
  endpoint(tls?: TlsOptions): Endpoint;
  /** The next connection, or one that arrived earlier. */
  accept(): Promise<Socket>;
  /** The number of connections so far. */
  readonly accepted: number;
}

/** How a {@linkcode Peer} listens. */
export interface PeerOptions {
  /** Its TLS options. Without them it does not use TLS. */
  readonly tls?: ServerTls;
  /** A unix socket instead of a port. */
  readonly path?: string;
  /** @default {"127.0.0.1"} */
  readonly host?: string;
}

/** Starts a server on a free port. Its sockets do not read until the test asks. */
export async function listen({ tls, path, host = "127.0.0.1" }: PeerOptions = {}): Promise<Peer> {
  const sockets = new Set<Socket>();
  const below = new Set<Socket>(); // the socket that TLS uses, or was going to use
  const come: Socket[] = [];
  const asked: ((socket: Socket) => void)[] = [];
  let accepted = 0;
  const keep = (socket: Socket, set: Set<Socket>) => {
    set.add(socket);
    socket.on("error", () => {}); // the tests look at the transport's side
    socket.on("close", () => set.delete(socket));
  };
  const welcome = (socket: Socket) => {
    accepted++;
    keep(socket, sockets);
    const resolve = asked.pop();
    if (resolve === undefined) come.push(socket);
    else resolve(socket);
  };
  // Half-open is allowed, so that the script alone sees and answers the other side's end.
  const server = tls === undefined
    ? createServer({ allowHalfOpen: true, pauseOnConnect: true }, welcome)
    : createTlsServer({ allowHalfOpen: true, ...tls }, welcome);
  if (tls !== undefined) server.on("connection", (socket) => keep(socket, below));
  server.listen(path === undefined ? { host, port: 0 } : { path });
  await once(server, "listening");
  const address = server.address();
  const port = address !== null && typeof address === "object" ? (address satisfies AddressInfo).port : 0;
  return {
    port,
    endpoint: (options) =>
      path === undefined
        ? { kind: "tcp", hostname: host, port, ...(options === undefined ? {} : { tls: options }) }
        : { kind: "unix", path },
    accept() {
      const socket = come.shift();
      return socket === undefined ? new Promise((resolve) => asked.push(resolve)) : Promise.resolve(socket);
    },
    get accepted() {
      return accepted;
    },
    async [Symbol.asyncDispose]() {
      const end = once(server, "close");
      server.close();
      // From top to bottom: Node 26 crashes when TLS loses its socket within its own handshake's callback.
      for (const set of [sockets, below]) await Promise.all([...set].map((socket) => closed(socket.destroy())));
      await end;
    },
  };
}

/** How a process of {@linkcode dialInChild} runs. */
export interface ChildOptions {
  /** Flags of the runtime; under Deno they are all the permissions it has. */
  readonly flags?: readonly string[];
  /** Additions to the environment of this process. */
  readonly variables?: Readonly<Record<string, string>>;
}

/** Dials in a new process of the running runtime. Resolves to `"open"`, or the kind of the error. */
export async function dialInChild(endpoint: Endpoint, { flags = [], variables }: ChildOptions = {}): Promise<string> {
  const script = fileURLToPath(new URL("../../support/programs/dial_child.ts", import.meta.url));
  const args = [...flags, script, JSON.stringify(endpoint)];
  const { out, complaints } = runtime === "deno"
    ? await runDeno(["run", "--no-config", "--no-lock", "--no-check", ...args], variables)
    : await runNode(args, variables);
  if (out === "") throw new Error(`Cannot dial in a process of its own: ${complaints}`);
  return out.trim();
}

interface Printed {
  readonly out: string;
  readonly complaints: string;
}

/** Deno's node:child_process would give its child all permissions. */
async function runDeno(args: readonly string[], variables: ChildOptions["variables"] = {}): Promise<Printed> {
  const { stdout, stderr } = await new Deno.Command(execPath, { args: [...args], env: { ...variables } }).output();
  const decoder = new TextDecoder();
  return { out: decoder.decode(stdout), complaints: decoder.decode(stderr) };
}

async function runNode(args: readonly string[], variables: ChildOptions["variables"]): Promise<Printed> {
  const child = spawn(execPath, args, { env: { ...env, ...variables }, stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  let complaints = "";
  child.stdout.on("data", (chunk: Uint8Array) => out += chunk);
  child.stderr.on("data", (chunk: Uint8Array) => complaints += chunk);
  await once(child, "close");
  return { out, complaints };
}

/** Reads a peer's socket to its end. Resolves to count and hash. */
export async function readAll(socket: Socket): Promise<{ readonly count: number; readonly hash: string }> {
  const hash = createHash("sha256");
  let count = 0;
  socket.on("data", (chunk: Uint8Array) => {
    hash.update(chunk);
    count += chunk.length;
  });
  socket.resume();
  await Promise.race([closed(socket), new Promise((resolve) => socket.once("end", resolve))]);
  return { count, hash: hash.digest("hex") };
}

/** Resolves when the operating system has taken all bytes of the socket. */
export function send(socket: Socket, bytes: Uint8Array | string): Promise<void> {
  return new Promise((resolve) => socket.write(bytes, () => resolve()));
}

/** Answers the other side's end with its own. Resolves when the socket is closed. */
export async function gone(socket: Socket): Promise<void> {
  if (socket.readableEnded) socket.end();
  else socket.on("end", () => socket.end()).resume();
  await closed(socket);
}

/** Like `once(socket, "close")`, which would throw the socket's error. */
async function closed(socket: Socket): Promise<void> {
  if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
}

/** Bytes without a simple pattern, the same for the same seed. */
export function noise(count: number, seed = 1): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(count);
  let state = seed * 2_654_435_761 >>> 0 || 1;
  for (let i = 0; i < count; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state;
  }
  return bytes;
}

/** SHA-256 of these parts in sequence. */
export function hashOf(...parts: readonly Uint8Array[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}
