// A scripted server, for replies that a real server does not give on demand. It reads commands and sends literal bytes.
// Must not use the library under test.

import type { Socket } from "node:net";
import { destroy, Listener } from "./sockets.ts";

/** What to answer: literal bytes, or a function of the command's words. `undefined`: nothing at all. */
export type Answer =
  | string
  | Uint8Array
  | ((words: string[]) => string | Uint8Array | undefined | Promise<string | Uint8Array | undefined>);

/** Answers by the command's name, in capitals. */
export type Answers = Readonly<Record<string, Answer>>;

/** What runs for each connection; when it returns, the connection stays until the client ends it or the server stops. */
export type Script = (peer: Peer, index: number) => void | Promise<void>;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** One connection to the fake server. */
export class Peer {
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>;
  /** All commands that were read so far. */
  readonly commands: string[][] = [];
  #socket: Socket;
  #bytes = new Uint8Array(65_536);
  // Bytes received and not yet read: #bytes from #start to #end.
  #start = 0;
  #end = 0;
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()));
    const end = () => {
      this.#ended = true;
      this.#wake?.();
    };
    socket.on("end", end);
    socket.on("close", end);
    socket.on("data", (chunk: Uint8Array) => {
      this.#put(chunk);
      this.#wake?.();
    });
  }

  /** The next command's words as bytes; undefined when the client has ended. Throws for anything but an array of bulk strings. */
  async commandBytes(): Promise<Uint8Array[] | undefined> {
    if (!(await this.#have(1))) return undefined;
    const words: Uint8Array[] = [];
    for (let left = await this.#count("*"); left > 0; left--) {
      const length = await this.#count("$");
      const word = await this.bytes(length);
      const end = await this.bytes(2);
      if (end[0] !== 13 || end[1] !== 10) throw new Error("A bulk string does not end with CRLF");
      words.push(word);
    }
    this.commands.push(words.map((word) => decoder.decode(word)));
    return words;
  }

  /** The next command's words; undefined when the client has ended. */
  async command(): Promise<string[] | undefined> {
    const words = await this.commandBytes();
    return words?.map((word) => decoder.decode(word));
  }

  /** The next command, which must begin with these words (the first in any case). */
  async expect(...expected: string[]): Promise<string[]> {
    const words = await this.command();
    const begins = expected.every((word, i) =>
      i === 0 ? words?.[0]?.toUpperCase() === word.toUpperCase() : words?.[i] === word
    );
    if (words === undefined || !begins) throw new Error(`Expected ${expected.join(" ")}, got ${words?.join(" ")}`);
    return words;
  }

  /** Answers from the table. Returns the first command that is not in it, unanswered, or undefined at the end. */
  async serve(answers: Answers): Promise<string[] | undefined> {
    for (;;) {
      const words = await this.command();
      const answer = words && answers[words[0].toUpperCase()];
      if (words === undefined || answer === undefined) return words;
      const bytes = typeof answer === "function" ? await answer(words) : answer;
      if (bytes !== undefined) await this.send(bytes);
    }
  }

  /** So many raw bytes. */
  async bytes(length: number): Promise<Uint8Array> {
    if (!(await this.#have(length))) throw new Error("The client ended inside of a command");
    const taken = this.#bytes.slice(this.#start, this.#start + length);
    this.#start += length;
    return taken;
  }

  /** Sends bytes as they are; resolves when they are written, also if the client is gone. */
  async send(bytes: string | Uint8Array): Promise<void> {
    if (this.#socket.destroyed) return;
    const data = typeof bytes === "string" ? encoder.encode(bytes) : bytes;
    await new Promise<void>((resolve) => this.#socket.write(data, () => resolve()));
  }

  /** Sends the bytes in pieces of that size, each in a turn of its own. */
  async sendSplit(bytes: string | Uint8Array, size = 1): Promise<void> {
    const data = typeof bytes === "string" ? encoder.encode(bytes) : bytes;
    for (let at = 0; at < data.length; at += size) {
      await this.send(data.subarray(at, at + size));
      await new Promise<void>((resolve) => setTimeout(resolve, 0));
    }
  }

  /** Sends the first `at` bytes and cuts. */
  async sendAndCut(bytes: string | Uint8Array, at: number): Promise<void> {
    const data = typeof bytes === "string" ? encoder.encode(bytes) : bytes;
    await this.send(data.subarray(0, at));
    await this.cut();
  }

  /** Stops reading from the socket, so that the client's bytes accumulate. */
  stall(): void {
    this.#socket.pause();
  }

  /** Reads again. */
  resume(): void {
    this.#socket.resume();
  }

  /** Ends the sending side only. */
  end(): void {
    this.#socket.end();
  }

  /** Ends the sending side when the client has ended its own. */
  endWithClient(): void {
    if (this.#ended) this.end();
    else this.#socket.once("end", () => this.end());
  }

  /** Closes the connection at once. */
  cut(): Promise<void> {
    return destroy(this.#socket);
  }

  async #have(length: number): Promise<boolean> {
    while (this.#end - this.#start < length && !this.#ended) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    return this.#end - this.#start >= length;
  }

  #put(chunk: Uint8Array): void {
    const waiting = this.#end - this.#start;
    if (this.#end + chunk.length > this.#bytes.length) {
      // Twice the needed size, so that the work stays linear in the bytes received.
      const roomy = new Uint8Array(2 * (waiting + chunk.length));
      roomy.set(this.#bytes.subarray(this.#start, this.#end));
      this.#bytes = roomy;
      this.#start = 0;
      this.#end = waiting;
    }
    this.#bytes.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  async #count(kind: "*" | "$"): Promise<number> {
    let line = "";
    while (!line.endsWith("\r\n")) line += String.fromCharCode((await this.bytes(1))[0]);
    if (line[0] !== kind || !/^\d+\r\n$/.test(line.slice(1))) {
      throw new Error(
        `Expected the header of ${kind === "*" ? "an array" : "a bulk string"}, got ${JSON.stringify(line)}`,
      );
    }
    return Number(line.slice(1, -2));
  }
}

/** A scripted server on a port of this machine. */
export class FakeServer implements AsyncDisposable {
  /** Every connection so far, in order. */
  readonly peers: Peer[] = [];
  /** What scripts threw. */
  readonly errors: unknown[] = [];
  #listener: Listener;
  #scripts: Promise<void>[] = [];

  private constructor(listener: Listener) {
    this.#listener = listener;
  }

  /** Starts one. The script runs once for each connection. */
  static async start(script: Script): Promise<FakeServer> {
    const early: Socket[] = [];
    let take = (socket: Socket): void => {
      early.push(socket);
    };
    const server = new FakeServer(await Listener.open((socket) => take(socket)));
    take = (socket) => server.#take(socket, script);
    early.forEach(take);
    return server;
  }

  get host(): string {
    return this.#listener.host;
  }

  get port(): number {
    return this.#listener.port;
  }

  get url(): string {
    return `redis://${this.host}:${this.port}`;
  }

  #take(socket: Socket, script: Script): void {
    const peer = new Peer(socket);
    const index = this.peers.push(peer) - 1;
    this.#scripts.push((async () => {
      try {
        await script(peer, index);
        peer.endWithClient();
      } catch (error) {
        this.errors.push(error);
        await peer.cut();
      }
    })());
  }

  /** Ends every connection. Rejects with the first thing a script threw, unless `errors` was emptied. */
  async stop(): Promise<void> {
    // What scripts throw because this cuts them off is no finding.
    const found = [...this.errors];
    await this.#listener.stop();
    await Promise.all(this.#scripts);
    if (found.length > 0) throw found[0];
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

/** Starts a scripted server. */
export function startFakeServer(script: Script): Promise<FakeServer> {
  return FakeServer.start(script);
}

/** What Redis 7 answers to HELLO 3 on a fresh connection. */
export const HELLO3 = "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:3\r\n" +
  "$2\r\nid\r\n:7\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n";

/** What servers before Redis 6 answer to HELLO. */
export const NO_HELLO = "-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n";

const CLIENT_INFO = "id=7 addr=127.0.0.1:50000 laddr=127.0.0.1:6379 fd=8 name= age=0 idle=0 flags=N db=0 resp=3\n";

const INFO = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n";

/** The replies of a normal server to a handshake. */
export const handshake: Answers = {
  HELLO: HELLO3,
  AUTH: "+OK\r\n",
  SELECT: "+OK\r\n",
  PING: "+PONG\r\n",
  INFO: `$${INFO.length}\r\n${INFO}\r\n`,
  CLIENT: (words) => {
    if (words[1]?.toUpperCase() === "INFO") return `$${CLIENT_INFO.length}\r\n${CLIENT_INFO}\r\n`;
    return words[1]?.toUpperCase() === "ID" ? ":7\r\n" : "+OK\r\n";
  },
};

/** The replies of a server without shards to discovery. */
export const noShards: Answers = { SCAN: "*2\r\n$1\r\n0\r\n*0\r\n", TYPE: "+none\r\n", EXISTS: ":0\r\n" };
