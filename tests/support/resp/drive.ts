// Drives a decoder: bytes from text, ways to cut them, and the complete output of a decoder.

import { RespDecoder, type RespDecoderOptions, type RespReply, StreamerError } from "../../../resp/mod.ts";

/** Bytes of a text in which each character stands for one byte. */
export function wire(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** A text in which each character stands for one byte. */
export function unwire(bytes: Uint8Array): string {
  let text = "";
  for (const piece of pieces(bytes, 4096)) text += String.fromCharCode(...piece);
  return text;
}

/** Joins arrays of bytes. */
export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Random numbers that a seed repeats (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A whole number from 0 to below `limit`. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor(((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296 * limit);
  }

  /** One of these. */
  of<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)];
  }

  /** True once in so many times. */
  once(times: number): boolean {
    return this.below(times) === 0;
  }
}

/** A seed for a test that wants other numbers in each run; put it into the test's name. */
export function freshSeed(): number {
  return Math.floor(Math.random() * 4294967296);
}

/** The bytes one by one. */
export function bytewise(bytes: Uint8Array): Uint8Array[] {
  return pieces(bytes, 1);
}

/** Pieces of this size; the last may be shorter. */
export function pieces(bytes: Uint8Array, size: number): Uint8Array[] {
  const cut: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += size) cut.push(bytes.subarray(at, at + size));
  return cut;
}

/** Every way to cut in two, without the empty ones. */
export function* halves(bytes: Uint8Array): Generator<Uint8Array[]> {
  for (let at = 1; at < bytes.length; at++) yield [bytes.subarray(0, at), bytes.subarray(at)];
}

/** Cut at random places; pieces have up to `longest` bytes. */
export function shreds(bytes: Uint8Array, random: Random, longest = 24): Uint8Array[] {
  const cut: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const to = at + 1 + random.below(longest);
    cut.push(bytes.subarray(at, to));
    at = to;
  }
  return cut;
}

/** The output of a decoder. */
export interface Outcome {
  readonly replies: readonly RespReply[];
  /** The message of the violation that ended it. */
  readonly failure?: string;
  /** Bytes still waiting for the rest of their reply; 0 after a violation. */
  readonly left: number;
}

/**
 * Feeds the pieces, and reads after each until no reply is complete. Errors other than `PROTOCOL` are thrown. An error
 * must persist: the decoder is fed the rest, and must fail again in the same way.
 */
export function decode(cut: Iterable<Uint8Array>, options: RespDecoderOptions = {}): Outcome {
  const decoder = new RespDecoder(options);
  const replies: RespReply[] = [];
  let failure: StreamerError | undefined;
  for (const piece of cut) {
    decoder.feed(piece);
    failure ??= drain(decoder, replies);
  }
  if (failure === undefined) return { replies, left: decoder.buffered };
  expectStuck(decoder, failure);
  return { replies, failure: failure.message, left: 0 };
}

/** Reads all that is whole into `replies`; gives the violation, if there was one. */
export function drain(decoder: RespDecoder, replies: RespReply[]): StreamerError | undefined {
  try {
    for (let reply = decoder.read(); reply !== undefined; reply = decoder.read()) replies.push(reply);
    return undefined;
  } catch (error) {
    if (error instanceof StreamerError && error.code === "PROTOCOL") return error;
    throw error;
  }
}

function expectStuck(decoder: RespDecoder, failure: StreamerError): void {
  const more: RespReply[] = [];
  const again = drain(decoder, more);
  if (again !== failure || decoder.failure !== failure || more.length > 0) {
    throw new Error(
      `The violation did not stick: first ${failure.message}, then ${again?.message}, ${more.length} replies`,
    );
  }
}
