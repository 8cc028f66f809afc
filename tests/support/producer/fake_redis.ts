// A fake Redis that keeps streams in memory and lets a test judge each XADD. Must not use the library under test.

import { type Answers, type FakeServer, handshake, type Peer, startFakeServer } from "../network/fake_server.ts";

/** One XADD as it came. */
export interface Xadd {
  readonly key: string;
  readonly id: string;
  /** Text of the first field's value. */
  readonly payload: string;
  /** Which connection it came on, from 0: the first one is the streamer's own. */
  readonly connection: number;
  readonly peer: Peer;
  readonly words: readonly string[];
  /**
   * Ends the connection. Messages after this one are not read. Replies to earlier ones may be lost, unless the end is a
   * gentle one. Returns the value for a judge to return.
   */
  readonly cut: (options?: { readonly gently?: boolean }) => Promise<undefined>;
}

/** The bytes to answer; `undefined` for none. */
export type Judge = (xadd: Xadd, redis: FakeRedis) => string | undefined | Promise<string | undefined>;

/** The options of a fake. */
export interface FakeRedisOptions {
  /** @default stores everything */
  readonly judge?: Judge;
  /** In place of the friendly answers. */
  readonly answers?: Answers;
  /** Runs before anything is read from a connection; may answer nothing, or cut it. */
  readonly greet?: (peer: Peer, index: number) => void | Promise<void>;
}

/** An entry that the fake holds. */
export interface FakeEntry {
  readonly id: string;
  readonly payload: string;
}

/** A scripted server with a memory. */
export class FakeRedis implements AsyncDisposable {
  /** The stored entries, by key. */
  readonly streams = new Map<string, FakeEntry[]>();
  /** Every XADD, in the order of coming. */
  readonly added: Xadd[] = [];
  /** Arguments of every CLIENT KILL. */
  readonly kills: string[][] = [];
  #server: FakeServer | undefined;
  #seconds = 0;

  /** Starts one. */
  static async start(options: FakeRedisOptions = {}): Promise<FakeRedis> {
    const redis = new FakeRedis();
    const { judge = (xadd) => redis.store(xadd), answers = {}, greet } = options;
    redis.#server = await startFakeServer(async (peer, index) => {
      await greet?.(peer, index);
      let gone = false;
      const cut = async ({ gently = false } = {}) => {
        gone = true;
        if (gently) peer.end();
        else await peer.cut();
        return undefined;
      };
      await peer.serve({
        ...handshake,
        CLIENT: (words) => redis.#client(words, index),
        XADD: (words) => {
          if (gone) return undefined;
          const at = words.findIndex((word) => /^(\*|\d+-\*)$/.test(word));
          const [, key, payload] = [words[0], words[1], words[at + 2]];
          const xadd: Xadd = { key, id: words[at], payload, connection: index, peer, words, cut };
          redis.added.push(xadd);
          return judge(xadd, redis);
        },
        ...answers,
      });
    });
    return redis;
  }

  get url(): string {
    return this.#running.url;
  }

  get server(): FakeServer {
    return this.#running;
  }

  /** Stores an entry and gives the reply that says so. */
  store({ key, payload }: Pick<Xadd, "key" | "payload">): string {
    const id = `1700000000000-${this.#seconds++}`;
    const entries = this.streams.get(key) ?? [];
    entries.push({ id, payload });
    this.streams.set(key, entries);
    return `$${id.length}\r\n${id}\r\n`;
  }

  /** The payloads of a stream, in their order. */
  payloads(key: string): string[] {
    return (this.streams.get(key) ?? []).map((entry) => entry.payload);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running.stop();
  }

  get #running(): FakeServer {
    if (this.#server === undefined) throw new Error("The fake server was not started");
    return this.#server;
  }

  #client(words: string[], index: number): string {
    switch (words[1]?.toUpperCase()) {
      case "INFO": {
        const line = `id=${100 + index} addr=127.0.0.1:${50_000 + index} laddr=127.0.0.1:6379 name= db=0\n`;
        return `$${line.length}\r\n${line}\r\n`;
      }
      case "ID":
        return `:${100 + index}\r\n`;
      case "KILL":
        this.kills.push(words.slice(2));
        return ":1\r\n";
      default:
        return "+OK\r\n";
    }
  }
}
