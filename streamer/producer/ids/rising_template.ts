// The template of the plain messages of one stream key, with the next id in it. Only the digits that change are written again: the id
// of a message costs a few nanoseconds.

import { type EntryParts, type EntryTemplate, entryTemplate } from "../../commands/xadd.ts";
import { type IdClock, idPlaceholder } from "./id_clock.ts";

const ZERO = 48;

/** A template whose second halves have a certain number of digits. */
interface Shape {
  readonly head: Uint8Array;
  readonly stampAt: number;
  /** The first half in it. */
  first: bigint;
}

/** A template whose id changes from message to message. */
export class RisingTemplate implements EntryTemplate {
  head: Uint8Array;
  readonly tail: Uint8Array;
  stampAt: number;
  readonly #clock: IdClock;
  readonly #parts: Omit<EntryParts, "id" | "stamped">;
  #shapes: Shape[] = []; // by the number of digits
  #firstDigits = 0; // of all shapes
  #version = -1; // of the first half in the template
  #least = 0; // second halves with the same number of digits
  #most = 0;
  #end = 0; // the index of the last digit of the second half

  constructor(clock: IdClock, parts: Omit<EntryParts, "id" | "stamped">) {
    const { head, tail, stampAt } = entryTemplate({ ...parts, id: idPlaceholder(0n), stamped: true });
    this.head = head;
    this.tail = tail;
    this.stampAt = stampAt;
    this.#clock = clock;
    this.#parts = parts;
  }

  /** Puts the next id into the template, or a placeholder while ids cannot be chosen. `time` is the time of the call in milliseconds. */
  next(time: number): this {
    const clock = this.#clock;
    if (!clock.started) {
      this.#version = -1;
      const { head, stampAt } = this.#encode(idPlaceholder(clock.unitsOf(time)));
      this.head = head;
      this.stampAt = stampAt;
      return this;
    }
    clock.advance(time);
    const { second, version } = clock;
    if (version !== this.#version || second < this.#least || second > this.#most) this.#change(second, version);
    const { head } = this;
    let at = this.#end;
    let rest = second;
    for (; rest > 9; rest = Math.floor(rest / 10)) head[at--] = ZERO + rest % 10;
    head[at] = ZERO + rest;
    return this;
  }

  /** Another first half, or another number of digits. */
  #change(second: number, version: number): void {
    const { first } = this.#clock;
    const digits = String(second).length;
    const text = String(first);
    if (text.length !== this.#firstDigits) this.#shapes = [];
    const shape = this.#shapes[digits] ??= { ...this.#encode(`${first}-${second}`), first };
    if (shape.first !== first) {
      for (let i = 0; i < text.length; i++) shape.head[shape.stampAt + i] = text.charCodeAt(i);
      shape.first = first;
    }
    this.#firstDigits = text.length;
    this.#version = version;
    this.#least = digits === 1 ? 0 : 10 ** (digits - 1);
    this.#most = 10 ** digits - 1;
    this.head = shape.head;
    this.stampAt = shape.stampAt;
    this.#end = shape.stampAt + text.length + digits;
  }

  #encode(id: string): EntryTemplate {
    return entryTemplate({ ...this.#parts, id, stamped: true });
  }
}
