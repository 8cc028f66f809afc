// The plain decoder that the real one is compared with: the whole input as a text, recursive, lines by regular
// expression. Must share nothing with the real one but the classes of its values.

import {
  RespErrorReply,
  type RespLimits,
  RespMap,
  type RespReply,
  RespSet,
  type RespValue,
  RespVerbatim,
} from "../../../resp/mod.ts";
import { unwire, wire } from "./drive.ts";

/** The content of the input. */
export interface Reading {
  readonly replies: readonly RespReply[];
  readonly refused: boolean;
  /** Bytes after the last complete reply. 0 if the input is refused. */
  readonly left: number;
}

const REFUSED = Symbol("refused");
const UNFINISHED = Symbol("unfinished");

/** A kind of line: the rule for a complete one, and the rule for its beginning while the end is missing. */
interface Line {
  readonly whole: RegExp;
  readonly beginning: RegExp;
}

const ANY: Line = { whole: /^/, beginning: /^/ };
const INTEGER: Line = { whole: /^[+-]?\d{1,19}$/, beginning: /^[+-]?\d{0,19}$/ };
const BOOLEAN: Line = { whole: /^[tf]$/, beginning: /^[tf]?$/ };
const EMPTY: Line = { whole: /^$/, beginning: /^$/ };
const DOUBLE = /^[+-]?(\d+(\.\d+)?(e[+-]?\d+)?|inf|infinity|nan|nan\(.*\))$/is;
const BIG = /^[+-]?(\d+)$/;
const LENGTH: Line = { whole: /^(0|[1-9]\d{0,9})$/, beginning: /^(0|[1-9]\d{0,9})?$/ };
const OPEN_LENGTH: Line = { whole: /^(0|[1-9]\d{0,9}|\?)$/, beginning: /^(0|[1-9]\d{0,9}|\?)?$/ };
const NULL_LENGTH: Line = { whole: /^(0|[1-9]\d{0,9}|\?|-1)$/, beginning: /^(0|[1-9]\d{0,9}|\?|-1?)?$/ };

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** Decodes everything. The limit of the whole reply is not held: see how it is compared. */
export function reference(input: Uint8Array, limits: Required<RespLimits>): Reading {
  const text = unwire(input);
  const replies: RespReply[] = [];
  let from = 0;
  try {
    while (from < text.length) {
      const one = new OneReply(text, from, limits);
      replies.push(one.reply());
      from = one.at;
    }
  } catch (reason) {
    if (reason === REFUSED) return { replies, refused: true, left: 0 };
    if (reason !== UNFINISHED) throw reason;
  }
  return { replies, refused: false, left: text.length - from };
}

class OneReply {
  at: number;
  readonly #text: string;
  readonly #limits: Required<RespLimits>;
  #values = 0; // those of attributes inside the reply are taken off again

  constructor(text: string, at: number, limits: Required<RespLimits>) {
    this.#text = text;
    this.at = at;
    this.#limits = limits;
  }

  reply(): RespReply {
    const attributes: RespMap[] = [];
    while (this.#type() === "|") attributes.push(this.#attribute(0, attributes.length));
    const kind = this.#type() === ">" ? "push" : "reply";
    const value = kind === "push" ? this.#push(attributes.length) : this.#value(0, attributes.length);
    if (attributes.length === 0) return { kind, value };
    return { kind, value, attributes: new RespMap(attributes.flatMap(({ entries }) => entries)) };
  }

  #push(row: number): RespValue {
    const count = Number(this.#line(LENGTH, 11));
    if (count === 0) throw REFUSED;
    this.#open(count, 0, row);
    return this.#list(String(count), 1);
  }

  /** A value inside an aggregate that is open at this depth, with the attributes before it. */
  #element(depth: number): RespValue {
    let row = 0;
    while (this.#type() === "|") {
      const values = this.#values;
      this.#attribute(depth, row++);
      this.#values = values;
    }
    if (this.#type() === ".") throw REFUSED;
    return this.#value(depth, row);
  }

  #attribute(depth: number, row: number): RespMap {
    const pairs = this.#line(LENGTH, 11);
    this.#open(Number(pairs) * 2, depth, row);
    return this.#map(pairs, depth + 1);
  }

  #value(depth: number, row: number): RespValue {
    const type = this.#type();
    switch (type) {
      case "+":
        return this.#scalar(decodeText(this.#line(ANY, this.#limits.line)));
      case "-":
        return this.#scalar(new RespErrorReply(decodeText(this.#line(ANY, this.#limits.line))));
      case ":": {
        const value = bigInteger(this.#line(INTEGER, 20));
        if (BigInt.asIntN(64, value) !== value) throw REFUSED;
        return this.#scalar(Number.isSafeInteger(Number(value)) ? Number(value) : value);
      }
      case "#":
        return this.#scalar(this.#line(BOOLEAN, 1) === "t");
      case "_":
        this.#line(EMPTY, 0);
        return this.#scalar(null);
      case ",": {
        const text = this.#line(ANY, this.#limits.digits).toLowerCase();
        if (!DOUBLE.test(text)) throw REFUSED;
        if (text.includes("nan")) return this.#scalar(NaN);
        return this.#scalar(text.includes("inf") ? (text[0] === "-" ? -Infinity : Infinity) : parseFloat(text));
      }
      case "(": {
        const text = this.#line(ANY, this.#limits.digits + 1);
        if ((BIG.exec(text)?.[1].length ?? Infinity) > this.#limits.digits) throw REFUSED;
        return this.#scalar(bigInteger(text));
      }
      case "!":
        return new RespErrorReply(decodeText(this.#body(Number(this.#line(LENGTH, 11)))));
      case "=": {
        const body = this.#body(Number(this.#line(LENGTH, 11)));
        if (body[3] !== ":") return new RespVerbatim("", decodeText(body));
        return new RespVerbatim(decodeText(body.slice(0, 3)), decodeText(body.slice(4)));
      }
      case "$": {
        const length = this.#line(NULL_LENGTH, 11);
        if (length === "-1") return this.#scalar(null);
        return length === "?" ? this.#chunks(depth, row) : wire(this.#body(Number(length)));
      }
      case "*":
      case "~": {
        const count = this.#line(type === "*" ? NULL_LENGTH : OPEN_LENGTH, 11);
        if (count === "-1") return this.#scalar(null);
        if (count === "0") this.#count(0);
        else this.#open(Number(count.replace("?", "0")), depth, row);
        const items = this.#list(count, depth + 1);
        return type === "*" ? items : new RespSet(items);
      }
      case "%": {
        const pairs = this.#line(OPEN_LENGTH, 11);
        if (pairs === "0") this.#count(0);
        else this.#open(Number(pairs.replace("?", "0")) * 2, depth, row);
        return this.#map(pairs, depth + 1);
      }
      default:
        throw REFUSED;
    }
  }

  #type(): string {
    if (this.at >= this.#text.length) throw UNFINISHED;
    return this.#text[this.at];
  }

  #line({ whole, beginning }: Line, limit: number): string {
    const end = this.#text.slice(this.at).search(/[\r\n]/);
    const line = this.#text.slice(this.at + 1, end < 0 ? undefined : this.at + end);
    if (line.length > limit) throw REFUSED;
    if (end < 0) throw beginning.test(line) ? UNFINISHED : REFUSED;
    if (!whole.test(line)) throw REFUSED;
    const mark = this.#text.slice(this.at + end, this.at + end + 2);
    if (mark === "\r") throw UNFINISHED;
    if (mark !== "\r\n") throw REFUSED;
    this.at += end + 2;
    return line;
  }

  #body(length: number): string {
    if (length > this.#limits.bulk) throw REFUSED;
    this.#count(0);
    const body = this.#text.slice(this.at, this.at + length);
    const mark = this.#text.slice(this.at + length, this.at + length + 2);
    if (mark.length < 2) throw UNFINISHED;
    if (mark !== "\r\n") throw REFUSED;
    this.at += length + 2;
    return body;
  }

  #scalar<T extends RespValue>(value: T): T {
    this.#count(0);
    return value;
  }

  /** One more value, which announces this many below it. */
  #count(children: number): void {
    if (this.#values + children > this.#limits.elements) throw REFUSED;
    this.#values++;
  }

  #open(children: number, depth: number, row: number): void {
    this.#count(children);
    if (depth + row >= this.#limits.depth) throw REFUSED;
  }

  #list(count: string, depth: number): RespValue[] {
    const items: RespValue[] = [];
    if (count === "?") { while (!this.#ends()) items.push(this.#element(depth)); }
    else for (let i = 0; i < Number(count); i++) items.push(this.#element(depth));
    return items;
  }

  #map(pairs: string, depth: number): RespMap {
    const items = this.#list(pairs === "?" ? "?" : String(Number(pairs) * 2), depth);
    if (items.length % 2 !== 0) throw REFUSED;
    return new RespMap(items.flatMap((key, i) => i % 2 === 0 ? [[key, items[i + 1]] as const] : []));
  }

  #ends(): boolean {
    if (this.#type() !== ".") return false;
    this.#line(EMPTY, 0);
    return true;
  }

  #chunks(depth: number, row: number): Uint8Array {
    this.#open(0, depth, row);
    let body = "";
    for (;;) {
      if (this.#type() !== ";") throw REFUSED;
      const length = Number(this.#line(LENGTH, 11));
      if (length === 0) return wire(body);
      body += this.#body(length);
    }
  }
}

function bigInteger(text: string): bigint {
  return BigInt(text.replace("+", ""));
}

function decodeText(text: string): string {
  return utf8.decode(wire(text));
}
