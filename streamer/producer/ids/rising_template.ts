// The template of the plain messages of one stream key, with the next id in it. Only the digits that change are written again: the id
// of a message costs a few nanoseconds.

import { type EntryParts, type EntryTemplate, entryTemplate } from "../../commands/xadd.ts";
import { type IdClock, idPlaceholder } from "./id_clock.ts";

const ZERO = 48;

/** A template whose id changes from message to message. */
export class RisingTemplate implements EntryTemplate {
  head: Uint8Array;
  readonly tail: Uint8Array;
  stampAt: number;
  readonly #clock: IdClock;
  readonly #parts: Omit<EntryParts, "id" | "stamped">;
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
      this.#encode(idPlaceholder(clock.unitsOf(time)));
      return this;
    }
    clock.advance(time);
    const { second, version } = clock;
    if (version === this.#version && second >= this.#least && second <= this.#most) {
      const { head } = this;
      let at = this.#end;
      for (let rest = second; rest > 0; rest = Math.floor(rest / 10)) head[at--] = ZERO + rest % 10;
    } else {
      const digits = String(second);
      this.#version = version;
      this.#least = second === 0 ? 0 : 10 ** (digits.length - 1);
      this.#most = 10 ** digits.length - 1;
      this.#encode(`${clock.first}-${digits}`);
      this.#end = this.stampAt + String(clock.first).length + digits.length;
    }
    return this;
  }

  #encode(id: string): void {
    const { head, stampAt } = entryTemplate({ ...this.#parts, id, stamped: true });
    this.head = head;
    this.stampAt = stampAt;
  }
}
