// Chooses the ids of one stream key, each greater than the one before, and writes them over placeholders.

import { halves, MAX_HALF, type MessageId, type TimestampFormat } from "../../model/id.ts";

/** The largest second half that is chosen. An hour of a clock that was set back has fewer messages. */
const MAX_SECOND = 9_999_999_999;
/** Digits of placeholders: every first half fits, and every second half that is chosen. */
const FIRST_DIGITS = 20;
const SECOND_DIGITS = 10;
const NANOSECONDS_A_MILLISECOND = 1_000_000n;
const DASH = 45;
const ZERO = 48;
/** Is in place of the first digit of the second half until the id is chosen. */
const OPEN = 120;

/** The placeholder of an id. `time` is the lowest first half. */
export function idPlaceholder(time: bigint): string {
  return `${String(time).padStart(FIRST_DIGITS, "0")}-x${"0".repeat(SECOND_DIGITS - 1)}`;
}

/** An id whose second half has space for any other one. */
export function wideId(first: bigint, second: number): string {
  return `${first}-${String(second).padStart(SECOND_DIGITS, "0")}`;
}

/** An id in the bytes of its command. */
export interface WrittenId {
  readonly bytes: Uint8Array;
  /** Its first byte. */
  readonly at: number;
}

/** The text of a written id, which can have leading zeros. */
function textOf({ bytes, at }: WrittenId): string {
  let text = "";
  for (let i = at; bytes[i] === DASH || bytes[i] >= ZERO; i++) text += String.fromCharCode(bytes[i]);
  return text;
}

/** The index of the byte after a written id. */
export function endOfId({ bytes, at }: WrittenId): number {
  let end = at;
  while (bytes[end] === DASH || bytes[end] >= ZERO) end++;
  return end;
}

/** A written id without leading zeros. `undefined` if it is not chosen yet. */
export function readId(written: WrittenId): MessageId | undefined {
  const [first, second] = textOf(written).split("-");
  return second.charCodeAt(0) === OPEN ? undefined : `${BigInt(first)}-${BigInt(second)}`;
}

/** Chooses rising ids. The last one is `first`-`second`. */
export class IdClock {
  /** Increases each time the first half changes. */
  version = 0;
  second = 0;
  readonly #format: TimestampFormat;
  #first = 0n;
  #time = -1; // the last whole millisecond that is not after the first half
  #started = false;

  constructor(format: TimestampFormat) {
    this.#format = format;
  }

  /** Whether the end of the stream is known, so that ids can be chosen. */
  get started(): boolean {
    return this.#started;
  }

  get first(): bigint {
    return this.#first;
  }

  /** The last id. */
  get last(): MessageId {
    return `${this.#first}-${this.second}`;
  }

  /** A clock that continues after this id, in the same unit. */
  after(id: MessageId): IdClock {
    const clock = new IdClock(this.#format);
    clock.startAbove(id);
    return clock;
  }

  /** The first half of a time in milliseconds. */
  unitsOf(time: number): bigint {
    return this.#format === "nanoseconds" ? BigInt(time) * NANOSECONDS_A_MILLISECOND : BigInt(time);
  }

  /** The end of the stream has to be asked for again before the next id is chosen. */
  stop(): void {
    this.#started = false;
  }

  /** All further ids are above this one. Returns false if there are none. */
  startAbove(id: MessageId): boolean {
    this.#started = true;
    const { first, second } = halves(id);
    const fits = second < BigInt(MAX_SECOND);
    if (!fits && first === MAX_HALF) return false;
    this.#raise(fits ? first : first + 1n, fits ? Number(second) : 0);
    return true;
  }

  /** Chooses the next id of a message that is sent at this time, in milliseconds. The id never goes back. */
  advance(time: number): void {
    if (time > this.#time) this.#set(this.unitsOf(time), 0, time);
    else if (this.second < MAX_SECOND) this.second++;
    else this.#set(this.#first + 1n, 0);
  }

  /** The same for a message with an own timestamp. Returns false if that is before the last one. */
  advanceTo(own: bigint): boolean {
    if (own < this.#first) return false;
    if (own > this.#first) this.#set(own, 0);
    else if (this.second < MAX_SECOND) this.second++;
    else return false;
    return true;
  }

  /**
   * Chooses the id of a waiting message again, unless it is above the last one, and writes it in its old length. That is impossible if
   * an own timestamp is too early, or if the first half has more digits now.
   *
   * If the second half does not fit, the first half is incremented. This happens at most once for the messages of one millisecond.
   */
  rewrite(written: WrittenId, { isOwn }: { readonly isOwn: boolean }): "kept" | "changed" | "impossible" {
    const [first, second] = textOf(written).split("-");
    const time = BigInt(first);
    if (second.charCodeAt(0) !== OPEN && this.#isBelow(time, Number(second))) {
      this.#set(time, Number(second));
      return "kept";
    }
    if (isOwn || time > this.#first) {
      if (!this.advanceTo(time)) return "impossible";
    } else this.advance(-1);
    if (String(this.second).length > second.length) this.#set(this.#first + 1n, 0);
    const text = String(this.#first).padStart(first.length, "0");
    if (text.length > first.length) return "impossible";
    const id = `${text}-${String(this.second).padStart(second.length, "0")}`;
    for (let i = 0; i < id.length; i++) written.bytes[written.at + i] = id.charCodeAt(i);
    return "changed";
  }

  #isBelow(first: bigint, second: number): boolean {
    return this.#first < first || (this.#first === first && this.second < second);
  }

  /** Goes to an id, unless the last one is above it. */
  #raise(first: bigint, second: number): void {
    if (this.#isBelow(first, second)) this.#set(first, second);
  }

  #set(first: bigint, second: number, time?: number): void {
    const nanoseconds = this.#format === "nanoseconds";
    this.#first = first;
    this.#time = time ?? Number(nanoseconds ? first / NANOSECONDS_A_MILLISECOND : first);
    this.second = second;
    this.version++;
  }
}
