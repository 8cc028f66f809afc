// The template of the plain messages of one stream key, with the number of the next message in it.

import { type EntryParts, type EntryTemplate, entryTemplate } from "../../commands/xadd.ts";

const ZERO = 48;
/** From the last digit of the number to the id: the end of its line, and the header of the id. */
const TO_ID = 7;

/** The parts that do not change. */
export interface NumberedParts extends Omit<EntryParts, "id" | "stamped"> {
  readonly producerId: string;
  /** Precedes each number. */
  readonly prefix: string;
}

/** A message's command with this number. The server chooses the id. */
export function numberedTemplate(parts: NumberedParts, number: string): EntryTemplate {
  const trim = [...parts.trim, "IDMP", parts.producerId, number];
  return entryTemplate({ ...parts, trim, id: "*", stamped: true });
}

/** Numbers the messages of one target, from 0. */
export class NumberedTemplate implements EntryTemplate {
  head: Uint8Array = new Uint8Array(0);
  readonly tail: Uint8Array = new Uint8Array(0);
  stampAt = 0;
  readonly #parts: NumberedParts;
  #next = 0;
  #most = -1; // the last number with as many digits

  constructor(parts: NumberedParts) {
    this.#parts = parts;
  }

  /** Puts the next number into the template. */
  next(): this {
    const number = this.#next++;
    if (number > this.#most) {
      const digits = String(number);
      this.#most = 10 ** digits.length - 1;
      const { head, stampAt } = numberedTemplate(this.#parts, this.#parts.prefix + digits);
      this.head = head;
      this.stampAt = stampAt;
      return this;
    }
    let at = this.stampAt - TO_ID;
    for (let rest = number; rest > 0; rest = Math.floor(rest / 10)) this.head[at--] = ZERO + rest % 10;
    return this;
  }

  /** The next number, as text. */
  take(): string {
    const number = this.#next++;
    this.#most = -1; // the template is encoded again
    return `${this.#parts.prefix}${number}`;
  }
}
