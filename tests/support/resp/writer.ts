// Writes random replies in the plain way: a value, and bytes for it in one of the wire's forms.

import { RespErrorReply, RespMap, type RespReply, RespSet, type RespValue, RespVerbatim } from "../../../resp/mod.ts";
import type { Random } from "./drive.ts";

/** A value and bytes, a character a byte, that mean it. */
export interface Written<T> {
  readonly value: T;
  readonly wire: string;
}

const utf8 = new TextEncoder();

/** A reply or push, with or without attributes before it. */
export function randomReply(random: Random): Written<RespReply> {
  const kind = random.once(6) ? "push" : "reply";
  const parts = Array.from({ length: 1 + random.below(3) }, () => randomValue(random, 3));
  const body = kind === "push" ? list(">", parts) : randomValue(random, 4);
  const value = kind === "push" ? parts.map((part) => part.value) : body.value;
  if (!random.once(5)) return { value: { kind, value }, wire: body.wire };
  const attributes = Array.from({ length: 1 + random.below(3) }, () => randomPairs(random, 2));
  const entries = attributes.flatMap((pairs) => pairs.value);
  const front = attributes.map((pairs) => `|${pairs.value.length}\r\n${pairs.wire}`).join("");
  return { value: { kind, value, attributes: new RespMap(entries) }, wire: front + body.wire };
}

/** A value nested at most this deep. */
export function randomValue(random: Random, depth: number): Written<RespValue> {
  return random.once(3) && depth > 0 ? randomAggregate(random, depth) : randomScalar(random);
}

function randomAggregate(random: Random, depth: number): Written<RespValue> {
  const streamed = random.once(5);
  if (random.once(3)) {
    const pairs = randomPairs(random, depth);
    const wire = streamed ? `%?\r\n${pairs.wire}.\r\n` : `%${pairs.value.length}\r\n${pairs.wire}`;
    return { value: new RespMap(pairs.value), wire };
  }
  const items = Array.from({ length: random.below(random.of([3, 12])) }, () => randomElement(random, depth - 1));
  const type = random.of(["*", "*", "~"]);
  const { wire } = streamed ? streamedList(type, items) : list(type, items);
  const values = items.map((item) => item.value);
  return { value: type === "~" ? new RespSet(values) : values, wire };
}

function randomPairs(random: Random, depth: number): Written<[RespValue, RespValue][]> {
  const pairs = Array.from({ length: random.below(4) }, () => {
    return [randomElement(random, depth - 1), randomElement(random, depth - 1)] as const;
  });
  return {
    value: pairs.map(([key, value]) => [key.value, value.value]),
    wire: pairs.map(([key, value]) => key.wire + value.wire).join(""),
  };
}

/** A value inside an aggregate. Attributes before it have no meaning. */
function randomElement(random: Random, depth: number): Written<RespValue> {
  const element = randomValue(random, Math.max(depth, 0));
  if (!random.once(12)) return element;
  const pairs = randomPairs(random, 1);
  return { value: element.value, wire: `|${pairs.value.length}\r\n${pairs.wire}${element.wire}` };
}

function list(type: string, items: readonly Written<unknown>[]): Written<null> {
  return { value: null, wire: `${type}${items.length}\r\n${items.map((item) => item.wire).join("")}` };
}

function streamedList(type: string, items: readonly Written<unknown>[]): Written<null> {
  return { value: null, wire: `${type}?\r\n${items.map((item) => item.wire).join("")}.\r\n` };
}

function randomScalar(random: Random): Written<RespValue> {
  switch (random.below(12)) {
    case 0:
      return randomInteger(random);
    case 1:
      return randomDouble(random);
    case 2:
      return random.of([
        { value: null, wire: "_\r\n" },
        { value: null, wire: "$-1\r\n" },
        { value: null, wire: "*-1\r\n" },
        { value: true, wire: "#t\r\n" },
        { value: false, wire: "#f\r\n" },
      ]);
    case 3: {
      const value = BigInt(random.below(2 ** 32)) ** BigInt(random.below(8)) * random.of([1n, -1n]);
      return { value, wire: `(${value >= 0n && random.once(3) ? "+" : ""}${value}\r\n` };
    }
    case 4: {
      const text = randomLine(random);
      return { value: text, wire: `+${encoded(text)}\r\n` };
    }
    case 5: {
      const text = randomLine(random);
      return { value: new RespErrorReply(text), wire: `-${encoded(text)}\r\n` };
    }
    case 6: {
      const text = randomText(random);
      return { value: new RespErrorReply(text), wire: `!${counted(encoded(text))}` };
    }
    case 7: {
      const text = randomText(random);
      const format = random.of(["txt", "mkd", ":::"]);
      return { value: new RespVerbatim(format, text), wire: `=${counted(`${format}:${encoded(text)}`)}` };
    }
    case 8: {
      const chunks = Array.from({ length: random.below(5) }, () => randomBytes(random, 1));
      const wire = `$?\r\n${chunks.map((chunk) => `;${counted(latin(chunk))}`).join("")};0\r\n`;
      return { value: Uint8Array.from(chunks.flatMap((chunk) => [...chunk])), wire };
    }
    default: {
      const bytes = randomBytes(random, 0);
      return { value: bytes, wire: `$${counted(latin(bytes))}` };
    }
  }
}

function randomInteger(random: Random): Written<RespValue> {
  const near = random.of([0n, 9007199254740991n, -9007199254740991n, 9223372036854775800n, -9223372036854775800n]);
  const integer = near + BigInt(random.below(16)) - 8n;
  const exact = integer >= BigInt(Number.MIN_SAFE_INTEGER) && integer <= BigInt(Number.MAX_SAFE_INTEGER);
  const plus = integer >= 0n && random.once(4) ? "+" : "";
  return { value: exact ? Number(integer) : integer, wire: `:${plus}${integer}\r\n` };
}

function randomDouble(random: Random): Written<RespValue> {
  const bits = new DataView(new ArrayBuffer(8));
  bits.setUint32(0, random.below(2 ** 32));
  bits.setUint32(4, random.below(2 ** 32));
  const value = random.of([bits.getFloat64(0), random.below(1000) / 8, -0, Infinity, -Infinity, NaN]);
  if (Number.isNaN(value)) return { value, wire: `,${random.of(["nan", "-nan", "NaN"])}\r\n` };
  if (!Number.isFinite(value)) {
    return { value, wire: `,${value < 0 ? "-" : ""}${random.of(["inf", "Inf", "infinity"])}\r\n` };
  }
  const sign = Object.is(value, -0) ? "-" : "";
  return { value, wire: `,${sign}${random.of([String(value), value.toExponential()])}\r\n` };
}

function randomText(random: Random): string {
  const length = random.below(random.of([5, 40, 200]));
  return Array.from({ length }, () => random.of(["a", "Z", " ", ":", "é", "€", "😀", "\0", "\r\n", "\ufeff"])).join("");
}

function randomLine(random: Random): string {
  return randomText(random).replaceAll("\r\n", "-");
}

function randomBytes(random: Random, least: number): Uint8Array {
  return new Uint8Array(least + random.below(random.of([5, 40, 1200]))).map(() => random.below(256));
}

function encoded(text: string): string {
  return latin(utf8.encode(text));
}

function latin(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

function counted(body: string): string {
  return `${body.length}\r\n${body}\r\n`;
}
