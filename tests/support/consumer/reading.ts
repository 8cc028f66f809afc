// Shared by the tests of consumers: entries that are added without the library, messages read by count, and a view of
// the server's commands.

import { connect as connectTcp, type Socket } from "node:net";
import {
  connect,
  type ConnectOptions,
  type Consumer,
  type Message,
  type RedisStreamer,
  StreamerError,
} from "../../../mod.ts";
import { until } from "../events.ts";
import { onCluster } from "../runner.ts";
import { type Address, encodeCommand, type Word } from "../servers/raw_client.ts";
import { uniqueKey } from "../keys.ts";
import type { Server } from "../servers/server.ts";
import { destroy } from "../network/sockets.ts";

/**
 * Connects with a timeout so short that a busy machine may miss it; then it is tried again. On a cluster, connections to all nodes
 * are opened in the same way.
 */
export async function connectHastily(
  url: string,
  options: ConnectOptions & { timeout: number },
): Promise<RedisStreamer> {
  const streamer = await patiently(() => connect(url, options));
  if (!onCluster) return streamer;
  const manager = await streamer.createManager();
  await patiently(async () => {
    for await (const _ of manager.streams({ match: uniqueKey("no stream") }));
  });
  return streamer;
}

async function patiently<T>(attempt: () => Promise<T>): Promise<T> {
  for (let left = 20;; left--) {
    try {
      return await attempt();
    } catch (error) {
      const passing = error instanceof StreamerError && (error.code === "TIMEOUT" || error.code === "DISCONNECTED");
      if (!passing || left === 1) throw error;
    }
  }
}

/** Adds entries `<prefix>0`, `<prefix>1`, … in one go; gives their ids. */
export async function addMany(server: Server, key: string, count: number, prefix = ""): Promise<string[]> {
  return await addEach(server, Array.from({ length: count }, (_, i) => ["XADD", key, "*", "msg", `${prefix}${i}`]));
}

/** The same for many: the server adds them by itself, which is much faster. */
export async function addVeryMany(server: Server, key: string, count: number, prefix = ""): Promise<void> {
  const script = "for i = 0, ARGV[1] - 1 do redis.call('XADD', KEYS[1], '*', 'msg', ARGV[2] .. i, 'h', 'v') end";
  await server.command("EVAL", script, 1, key, count, prefix);
}

/** Runs XADD commands in one go; gives the ids, and throws the first refusal. */
export async function addEach(server: Server, commands: readonly (readonly Word[])[]): Promise<string[]> {
  const replies = await server.commands(commands);
  return replies.map((reply) => {
    if (typeof reply !== "string") throw reply;
    return reply;
  });
}

/** Adds one entry with an id and a payload of one's choice. */
export async function addAt(server: Server, key: string, id: string, payload: Word = id): Promise<void> {
  await server.command("XADD", key, id, "msg", payload);
}

/** The ids that the server itself lists, in an XRANGE of these bounds. */
export async function idsInRange(server: Server, key: string, start = "-", end = "+"): Promise<string[]> {
  const reply = await server.command("XRANGE", key, start, end);
  if (!Array.isArray(reply)) throw new Error("XRANGE gave no array");
  return reply.map((entry) => String(Array.isArray(entry) ? entry[0] : entry));
}

/** So many messages, one by one. */
export async function take<M extends Message>(consumer: { next(): Promise<M> }, count: number): Promise<M[]> {
  const messages: M[] = [];
  while (messages.length < count) messages.push(await consumer.next());
  return messages;
}

/** The payloads of so many messages. */
export async function takeTexts(consumer: Consumer, count: number): Promise<string[]> {
  return (await take(consumer, count)).map((message) => message.text());
}

/** The ids of so many messages. */
export async function takeIds(consumer: Consumer, count: number): Promise<string[]> {
  return (await take(consumer, count)).map((message) => message.id);
}

/** The numbers `prefix0` … as the payloads of {@linkcode addMany}. */
export function texts(count: number, prefix = "", from = 0): string[] {
  return Array.from({ length: count }, (_, i) => `${prefix}${from + i}`);
}

/**
 * All messages before a mark that is added now. For tests of messages that do not arrive. `keys` must name all streams
 * that are read: the marks of all of them are awaited.
 */
export async function restUpToMark(server: Server, consumer: Consumer, ...keys: string[]): Promise<string[]> {
  const mark = uniqueKey("mark");
  for (const key of keys) await server.command("XADD", key, "*", "msg", mark);
  const seen: string[] = [];
  for (let left = keys.length; left > 0;) {
    const text = (await consumer.next()).text();
    if (text === mark) left--;
    else seen.push(text);
  }
  return seen;
}

/** One connection as CLIENT LIST shows it. */
export interface Client {
  readonly id: string;
  /** Blocked in a command such as XREAD. */
  readonly blocked: boolean;
}

/** The connections that go by a name. */
export async function clientsNamed(server: Server, name: string): Promise<Client[]> {
  const list = String(await server.command("CLIENT", "LIST"));
  return list.split("\n").filter((line) => line.includes(` name=${name} `)).map((line) => ({
    id: /^id=(\d+)/.exec(line)?.[1] ?? "",
    blocked: /\bflags=[A-Za-z]*b/.test(line),
  }));
}

/** The connection of that name that is blocked in a read; waits for it. */
export async function blockedClient(server: Server, name: string): Promise<string> {
  const client = await until(
    async () => (await clientsNamed(server, name)).find(({ blocked }) => blocked),
    { what: `${name} is blocked in a read` },
  );
  return client.id;
}

/** The server's commands, as MONITOR lists them; on a cluster, those of all nodes. */
export class Monitor implements AsyncDisposable {
  /** The words of each command so far, by everybody. */
  readonly commands: string[][] = [];
  readonly #sockets: Socket[] = [];

  private constructor() {}

  /** Listens from now on. */
  static async open(server: Server): Promise<Monitor> {
    const monitor = new Monitor();
    await Promise.all(server.nodes.map((node) => monitor.#listen(node)));
    return monitor;
  }

  async #listen({ host, port, password, username }: Address): Promise<void> {
    const socket = connectTcp({ host, port });
    this.#sockets.push(socket);
    const ready = Promise.withResolvers<void>();
    let rest = "";
    socket.on("error", ready.reject);
    socket.on("data", (chunk: Uint8Array) => {
      const lines = (rest + new TextDecoder("latin1").decode(chunk)).split("\r\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (!/^\+\d+\.\d+ \[/.test(line)) {
          if (line.startsWith("-")) ready.reject(new Error(line));
          else ready.resolve();
          continue;
        }
        const words = line.slice(line.indexOf("]") + 1).match(/"(?:[^"\\]|\\.)*"/g) ?? [];
        this.commands.push(words.map((word) => word.slice(1, -1)));
      }
    });
    if (password !== undefined) socket.write(encodeCommand(["AUTH", ...(username ? [username] : []), password]));
    socket.write(encodeCommand(["MONITOR"]));
    await ready.promise;
  }

  /** The commands of this name in which the word stands. */
  of(name: string, word: string): string[][] {
    return this.commands.filter((words) => words[0]?.toUpperCase() === name && words.includes(word));
  }

  /** How many there were of this name with that word. */
  count(name: string, word: string): number {
    return this.of(name, word).length;
  }

  /** Returns when all commands before this call are listed. */
  async settled(server: Server): Promise<void> {
    const mark = uniqueKey("mark");
    await server.command("ECHO", mark);
    await until(() => this.count("ECHO", mark) >= this.#sockets.length, { what: "MONITOR lists the mark" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#sockets.map(destroy));
  }
}

/** The COUNT of an XREAD. */
export function countOf(words: readonly string[]): number {
  return Number(words[words.findIndex((word) => word.toUpperCase() === "COUNT") + 1]);
}
