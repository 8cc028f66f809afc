// The tests' own client: one connection a call, RESP2, over node:net. Must not use the library under test, which is
// checked against it.

import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

/** A server's reply. Texts are UTF-8 strings. Error replies inside of arrays are values. */
export type Reply = string | number | null | Error | Reply[];
/** The same with bulk strings as bytes. */
export type RawReply = Uint8Array | string | number | null | Error | RawReply[];
/** One word of a command. */
export type Word = string | number | bigint | Uint8Array;

/** Where a server listens and how it is spoken to. */
export interface Address {
  readonly host: string;
  readonly port: number;
  /** Taken in place of host and port. */
  readonly unixSocket?: string;
  readonly username?: string;
  readonly password?: string;
  readonly db?: number;
  /** Spoken to in TLS, unverified. */
  readonly tls?: { readonly cert?: string; readonly key?: string };
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Options of `ask`. */
export interface AskOptions {
  /** Milliseconds without a byte from the server, after which it rejects. @default {as long as it takes} */
  readonly silence?: number;
}

/** Runs commands in one write on a connection of their own. Rejects if the connection fails. */
export async function ask(
  address: Address,
  commands: readonly (readonly Word[])[],
  options: AskOptions = {},
): Promise<RawReply[]> {
  const opening: Word[][] = [];
  const { username, password, db } = address;
  if (password !== undefined) opening.push(username ? ["AUTH", username, password] : ["AUTH", password]);
  if (db) opening.push(["SELECT", db]);
  const replies = await exchange(address, [...opening, ...commands], options);
  for (const reply of replies.slice(0, opening.length)) if (reply instanceof Error) throw reply;
  return replies.slice(opening.length);
}

/** Bytes to text, all the way down. */
export function toText(reply: RawReply): Reply {
  if (reply instanceof Uint8Array) return decoder.decode(reply);
  return Array.isArray(reply) ? reply.map(toText) : reply;
}

/** A command as an array of bulk strings. */
export function encodeCommand(words: readonly Word[]): Uint8Array {
  const parts: Uint8Array[] = [encoder.encode(`*${words.length}\r\n`)];
  for (const word of words) {
    const bytes = word instanceof Uint8Array ? word : encoder.encode(String(word));
    parts.push(encoder.encode(`$${bytes.length}\r\n`), bytes, encoder.encode("\r\n"));
  }
  return joinBytes(parts);
}

/** One array out of many. */
export function joinBytes(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

function open(address: Address): Socket {
  const { host, port, unixSocket, tls } = address;
  if (unixSocket !== undefined) return connectTcp({ path: unixSocket });
  // The certificate is not what this client is for; the library's own tests verify it.
  return tls ? connectTls({ host, port, ...tls, rejectUnauthorized: false }) : connectTcp({ host, port });
}

async function exchange(
  address: Address,
  commands: readonly (readonly Word[])[],
  { silence }: AskOptions,
): Promise<RawReply[]> {
  const socket = open(address);
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  try {
    return await new Promise<RawReply[]>((resolve, reject) => {
      const reader = new ReplyReader(commands.length);
      socket.on("error", reject);
      if (silence !== undefined) {
        socket.setTimeout(silence, () => reject(new Error(`The server sent nothing for ${silence} ms`)));
      }
      socket.on("close", () => reject(new Error("The server closed the connection before its answer was whole")));
      socket.on("data", (chunk: Uint8Array) => {
        try {
          if (reader.feed(chunk)) resolve(reader.replies);
        } catch (error) {
          reject(error);
        }
      });
      socket.write(joinBytes(commands.map(encodeCommand)));
    });
  } finally {
    socket.destroy();
    await closed;
  }
}

class ReplyReader {
  readonly replies: RawReply[] = [];
  #bytes = new Uint8Array();
  #at = 0;
  #missing: number;
  #current: Generator<void, RawReply, void> | undefined;

  constructor(expected: number) {
    this.#missing = expected;
  }

  /** Whether all replies are there. */
  feed(chunk: Uint8Array): boolean {
    this.#bytes = joinBytes([this.#bytes.subarray(this.#at), chunk]);
    this.#at = 0;
    while (this.#missing > 0) {
      this.#current ??= this.#reply();
      const step = this.#current.next();
      if (!step.done) return false;
      this.replies.push(step.value);
      this.#current = undefined;
      this.#missing -= 1;
    }
    return true;
  }

  *#line(): Generator<void, string, void> {
    for (;;) {
      const end = this.#bytes.indexOf(10, this.#at);
      if (end >= 0) {
        const line = decoder.decode(this.#bytes.subarray(this.#at, end - 1));
        this.#at = end + 1;
        return line;
      }
      yield;
    }
  }

  *#take(length: number): Generator<void, Uint8Array, void> {
    while (this.#bytes.length - this.#at < length + 2) yield;
    const taken = this.#bytes.slice(this.#at, this.#at + length);
    this.#at += length + 2;
    return taken;
  }

  // Recursion is fine here: it reads a real server's answers to a test's own commands.
  *#reply(): Generator<void, RawReply, void> {
    const line = yield* this.#line();
    const rest = line.slice(1);
    switch (line[0]) {
      case "+":
        return rest;
      case "-":
        return new Error(rest);
      case ":":
        return Number(rest);
      case "$":
        return rest === "-1" ? null : yield* this.#take(Number(rest));
      case "*": {
        if (rest === "-1") return null;
        const items: RawReply[] = [];
        for (let i = Number(rest); i > 0; i--) items.push(yield* this.#reply());
        return items;
      }
      default:
        throw new Error(`The server answered with no RESP2: ${JSON.stringify(line)}`);
    }
  }
}
