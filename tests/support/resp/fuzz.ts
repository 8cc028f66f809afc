// The seeded fuzzer: mutates valid replies, cuts them at random, and feeds them to the decoder and to a plain reference
// decoder.

import {
  DEFAULT_LIMITS,
  RespErrorReply,
  type RespLimits,
  RespMap,
  type RespReply,
  RespSet,
  RespVerbatim,
} from "../../../resp/mod.ts";
import { concat, decode, type Outcome, Random, shreds, unwire } from "./drive.ts";
import { type Reading, reference } from "./reference.ts";

/** The options of {@linkcode fuzz}. */
export interface FuzzOptions {
  readonly inputs: number;
  readonly seed: number;
  /** Valid replies to begin with. */
  readonly corpus: readonly Uint8Array[];
  /** The decoder to compare with. @default {the plain one} */
  readonly plain?: (input: Uint8Array, limits: Required<RespLimits>) => Reading;
  /** Called every ten thousand inputs. */
  readonly progress?: (done: number) => void;
}

/** The inputs by their result. A report without refused or without complete inputs shows a blunt fuzzer. */
export interface FuzzReport {
  readonly inputs: number;
  /** Nothing but whole replies. */
  readonly whole: number;
  /** Broken off in the middle of a reply. */
  readonly unfinished: number;
  readonly refused: number;
  readonly replies: number;
}

/** Bytes of an input at most: small ones find as much, in more tries. */
const LONGEST = 1500;

/** Limits that are small enough for mutations to exceed them, beside the default ones. */
const LIMITS: readonly RespLimits[] = [
  {},
  {},
  { bulk: 20, elements: 12, depth: 3, line: 12, digits: 6 },
  { bulk: 3, elements: 3, depth: 1, line: 5, digits: 2 },
  { reply: 64 },
];

/** Bytes that mean something on the wire, and some that do not. */
const TELLING = unique("+-:$*_#,(!=%~|>;.?0123456789tfeinax\r\n\0\x7f\xff ");
const LENGTHS = ["0", "1", "2", "3", "-1", "?", "16777216", "16777217", "536870913", "2147483648", "00", "+1", "-2"];
const HEADERS = [
  "*1\r\n",
  "%1\r\n",
  "~2\r\n",
  "|1\r\n",
  "|0\r\n",
  ">1\r\n",
  "*?\r\n",
  "%?\r\n",
  "$?\r\n",
  ";1\r\n",
  ".\r\n",
  "_\r\n",
];

/**
 * Decodes as many mutated inputs; throws, with the seed and the input, at the first that the decoder takes otherwise
 * than the plain decoder or otherwise than itself when cut otherwise.
 */
export function fuzz({ inputs, seed, corpus, plain = reference, progress }: FuzzOptions): FuzzReport {
  const random = new Random(seed);
  let whole = 0;
  let unfinished = 0;
  let refused = 0;
  let replies = 0;
  for (let i = 0; i < inputs; i++) {
    const input = mutated(random, corpus);
    const limits = random.of(LIMITS);
    let outcome: Outcome;
    try {
      outcome = check(input, limits, random, plain(input, { ...DEFAULT_LIMITS, ...limits }));
    } catch (cause) {
      const told = `input ${i} of seed ${seed}, limits ${JSON.stringify(limits)}: ${JSON.stringify(unwire(input))}`;
      throw new Error(`${cause instanceof Error ? cause.message : String(cause)}; ${told}`, { cause });
    }
    if (outcome.failure !== undefined) refused++;
    else if (outcome.left > 0) unfinished++;
    else whole++;
    replies += outcome.replies.length;
    if (progress !== undefined && (i + 1) % 10_000 === 0) progress(i + 1);
  }
  return { inputs, whole, unfinished, refused, replies };
}

/** One input, whole and in pieces, beside the plain decoder. */
function check(input: Uint8Array, limits: RespLimits, random: Random, plain: Reading): Outcome {
  const outcome = decode([input], { limits, capacity: 4096 });
  const cut = shreds(input, random, random.of([1, 6, 6, 24, 24, 200]));
  const other = decode(cut, { limits, capacity: random.of([4096, 5000, 9000]) });
  const sizes = () => String(cut.map((piece) => piece.length)).slice(0, 200);
  if (!same(outcome.replies, other.replies) || outcome.left !== other.left) {
    throw new Error(`It gave other replies in pieces of ${sizes()}`);
  }
  const both = outcome.failure !== undefined && other.failure !== undefined;
  if (tooLarge(outcome) || tooLarge(other)) {
    // Where a reply has too many bytes and another violation, the pieces may decide which is seen first; and the
    // plain decoder does not hold this limit. As far as it was read, all must agree.
    if (!both) throw new Error(`It said “${outcome.failure}” and, in pieces of ${sizes()}, “${other.failure}”`);
    if (same(outcome.replies, plain.replies.slice(0, outcome.replies.length))) return outcome;
    throw new Error("The plain decoder gave other replies");
  }
  if (outcome.failure !== other.failure) {
    throw new Error(`It said “${outcome.failure}” and, in pieces of ${sizes()}, “${other.failure}”`);
  }
  const refused = outcome.failure !== undefined;
  if (refused !== plain.refused || (!refused && outcome.left !== plain.left)) {
    const said = plain.refused ? "refused" : `left ${plain.left}`;
    throw new Error(`The plain decoder ${said}, it left ${outcome.left} and said “${outcome.failure}”`);
  }
  if (!same(outcome.replies, plain.replies)) throw new Error("The plain decoder gave other replies");
  return outcome;
}

function tooLarge({ failure }: Outcome): boolean {
  return failure?.includes("a reply of at most") ?? false;
}

function mutated(random: Random, corpus: readonly Uint8Array[]): Uint8Array {
  let bytes = concat(Array.from({ length: 1 + random.below(3) }, () => random.of(corpus)));
  for (let times = random.below(random.of([2, 4, 10])); times > 0 && bytes.length > 0; times--) {
    bytes = mutation(random, bytes, corpus).subarray(0, LONGEST);
  }
  return bytes;
}

function mutation(random: Random, bytes: Uint8Array, corpus: readonly Uint8Array[]): Uint8Array {
  const at = random.below(bytes.length);
  const to = at + random.below(Math.min(bytes.length - at, random.of([3, 40])) + 1);
  switch (random.below(11)) {
    case 0: { // a bit
      const changed = bytes.slice();
      changed[at] ^= 1 << random.below(8);
      return changed;
    }
    case 1: { // a byte
      const changed = bytes.slice();
      changed[at] = random.of(TELLING);
      return changed;
    }
    case 2: // out
      return spliced(bytes, at, to, []);
    case 3: // in
      return spliced(bytes, at, at, Array.from({ length: 1 + random.below(3) }, () => random.of(TELLING)));
    case 4: // twice
      return spliced(bytes, at, at, bytes.subarray(at, to));
    case 5: // a piece of another
      return spliced(bytes, at, to, bytesOf(random, corpus));
    case 6: // another, whole, where a value may stand
      return spliced(bytes, valueAt(random, bytes), undefined, random.of(corpus));
    case 7: // a header where a value may stand
      return spliced(bytes, valueAt(random, bytes), undefined, codes(random.of(HEADERS)));
    case 8: { // a length
      const header = valueAt(random, bytes);
      const digits = /^-?\d+/.exec(unwire(bytes.subarray(header + 1, header + 12)))?.[0] ?? "";
      const near = String(Number(digits) + random.of([1, -1, 2]));
      return spliced(bytes, header + 1, header + 1 + digits.length, codes(random.once(2) ? near : random.of(LENGTHS)));
    }
    case 9: // cut off
      return bytes.slice(0, at);
    default: // deeper
      return spliced(bytes, valueAt(random, bytes), undefined, codes(random.of(HEADERS).repeat(1 + random.below(5))));
  }
}

/** Where a value may start: after some CR LF, or at the start. */
function valueAt(random: Random, bytes: Uint8Array): number {
  const at = bytes.indexOf(10, random.below(bytes.length));
  return at < 0 || random.once(8) ? 0 : at + 1;
}

function bytesOf(random: Random, corpus: readonly Uint8Array[]): Uint8Array {
  const other = random.of(corpus);
  const at = random.below(other.length);
  return other.subarray(at, at + random.below(40));
}

function spliced(bytes: Uint8Array, start: number, stop: number = start, put: ArrayLike<number>): Uint8Array {
  const from = Math.min(start, bytes.length);
  const to = Math.min(stop, bytes.length);
  const changed = new Uint8Array(bytes.length - (to - from) + put.length);
  changed.set(bytes.subarray(0, from));
  changed.set(put, from);
  changed.set(bytes.subarray(to), from + put.length);
  return changed;
}

function codes(text: string): number[] {
  return Array.from(text, (character) => character.charCodeAt(0));
}

function unique(text: string): number[] {
  return [...new Set(codes(text))];
}

/** Deep equality of what decoders give: quicker than an assertion's, of which there would be millions. */
export function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (a instanceof Uint8Array) {
    return b instanceof Uint8Array && a.length === b.length && a.every((byte, i) => byte === b[i]);
  }
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, i) => same(item, b[i]));
  if (a instanceof RespMap) return b instanceof RespMap && same(a.entries, b.entries);
  if (a instanceof RespSet) return b instanceof RespSet && same(a.values, b.values);
  if (a instanceof RespErrorReply) return b instanceof RespErrorReply && a.text === b.text;
  if (a instanceof RespVerbatim) return b instanceof RespVerbatim && a.text === b.text && a.format === b.format;
  return isReply(a) && isReply(b) && a.kind === b.kind && same(a.value, b.value) && same(a.attributes, b.attributes);
}

function isReply(value: unknown): value is RespReply {
  return typeof value === "object" && value !== null && "kind" in value && "value" in value;
}
