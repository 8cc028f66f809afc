// Builds the values of a scanned reply from its tape. The scanner has checked the bytes already.

import { type RespReplyBytes, textAt } from "./frame.ts";
import { RespBodies } from "./bodies.ts";
import { TYPE } from "../wire.ts";
import { decodeText, RespErrorReply, RespMap, RespSet, type RespValue, RespVerbatim } from "../value.ts";
import { digits } from "../encoder.ts";

const QUESTION = 0x3f;
const COLON = 0x3a;

interface Open {
  readonly type: number;
  readonly items: RespValue[];
  readonly size: number;
}

/** The value at index `from` of the tape, with all nested values. */
export function buildValue(reply: RespReplyBytes, from: number): RespValue {
  return build(reply, from, from + 2)[0];
}

/** The attributes on the tape before `to`, merged in their order. */
export function buildAttributes(reply: RespReplyBytes, to: number): RespMap {
  const maps = build(reply, 0, to).filter((value) => value instanceof RespMap);
  return new RespMap(maps.flatMap((map) => map.entries));
}

/**
 * All values on the tape from `from` to `to`. It uses a stack of its own instead of recursion.
 */
function build(reply: RespReplyBytes, from: number, to: number): RespValue[] {
  const built: RespValue[] = [];
  const stack: Open[] = [];
  const bodies = new RespBodies(reply);
  const { bytes, start, tape } = reply;
  let open: Open | undefined; // the innermost one; the outer ones are on the stack
  for (let at = from; at < to || open !== undefined; at += 2) {
    const type = bytes[start + tape[at]];
    const size = childCount(reply, at, type, tape[at + 1]);
    if (size > 0) {
      if (open !== undefined) stack.push(open);
      open = { type, items: [], size };
      continue;
    }
    let value = size === 0 ? close({ type, items: [], size }) : leaf(reply, bodies, at);
    for (;;) {
      if (open === undefined) {
        built.push(value);
        break;
      }
      open.items.push(value);
      if (open.items.length < open.size) break;
      value = close(open);
      open = stack.pop();
    }
  }
  return built;
}

/** The number of values of an aggregate. -1 for other values. */
function childCount(reply: RespReplyBytes, at: number, type: number, length: number): number {
  switch (type) {
    case TYPE.array:
    case TYPE.set:
    case TYPE.push:
      return length;
    case TYPE.map:
    case TYPE.attribute:
      return length * 2;
    case TYPE.bulk: // a streamed string consists of chunks
      return reply.bytes[reply.start + reply.tape[at] + 1] === QUESTION ? length : -1;
    default:
      return -1;
  }
}

function close({ type, items }: Open): RespValue {
  switch (type) {
    case TYPE.set:
      return new RespSet(items);
    case TYPE.map:
    case TYPE.attribute: {
      const pairs: [RespValue, RespValue][] = [];
      for (let i = 0; i < items.length; i += 2) pairs.push([items[i], items[i + 1]]);
      return new RespMap(pairs);
    }
    case TYPE.bulk:
      return concatenate(items);
    default:
      return items;
  }
}

function concatenate(chunks: readonly RespValue[]): Uint8Array {
  const parts = chunks.filter((chunk) => chunk instanceof Uint8Array);
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function leaf(reply: RespReplyBytes, bodies: RespBodies, at: number): RespValue {
  const length = reply.tape[at + 1];
  if (length === -1) return null;
  const header = reply.start + reply.tape[at];
  const type = reply.bytes[header];
  switch (type) {
    case TYPE.bulk:
    case TYPE.chunk:
      return bodies.take(at);
    case TYPE.bulkError:
      return new RespErrorReply(decodeText(bodyOf(reply, header, length)));
    case TYPE.verbatim: {
      const body = bodyOf(reply, header, length);
      if (body[3] !== COLON) return new RespVerbatim("", decodeText(body));
      return new RespVerbatim(decodeText(body.subarray(0, 3)), decodeText(body.subarray(4)));
    }
    case TYPE.null:
      return null;
    case TYPE.boolean:
      return reply.bytes[header + 1] === 0x74;
  }
  const text = textAt(reply, header + 1, length);
  switch (type) {
    case TYPE.simple:
      return text;
    case TYPE.error:
      return new RespErrorReply(text);
    case TYPE.integer:
      return integer(text);
    case TYPE.bigNumber:
      return bigInteger(text);
    default:
      return double(text);
  }
}

function bodyOf(reply: RespReplyBytes, header: number, length: number): Uint8Array {
  const from = header + 3 + digits(length);
  return reply.bytes.subarray(from, from + length);
}

function integer(text: string): number | bigint {
  const value = Number(text);
  return Number.isSafeInteger(value) ? (value === 0 ? 0 : value) : bigInteger(text);
}

function bigInteger(text: string): bigint {
  return text[0] === "-" ? -BigInt(text.slice(1)) : BigInt(text[0] === "+" ? text.slice(1) : text);
}

function double(text: string): number {
  const word = text.toLowerCase();
  if (word.includes("nan")) return NaN;
  if (word.includes("inf")) return word[0] === "-" ? -Infinity : Infinity;
  return Number(text);
}
