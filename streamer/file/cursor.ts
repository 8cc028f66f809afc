// The read position in a file: finds the next message, moves by beacons, and reports corrupt bytes.

import { FileDecoder, STEP } from "./format/decoder.ts";
import { type Flaw, flawed } from "./error.ts";
import { ENDS_INSIDE } from "./format/layout.ts";
import type { FileMessage } from "./message.ts";
import type { FileReading } from "./disk/reading.ts";
import { type Beacons, findBeacon, lastBeginning, type Wanted } from "./format/search.ts";
import type { SourceSettings } from "./source_options.ts";

/** The result of a read at the end of a file that is followed. */
export const WAIT = Symbol();

/** Throws if the caller no longer waits for the outcome. */
export type Check = () => void;

/** The parts of a cursor. */
export interface CursorParts {
  readonly reading: FileReading;
  /** Bytes between beacons. */
  readonly interval: number;
  readonly settings: SourceSettings;
}

/** Reads one file from a position. Calls must not overlap, except for {@linkcode FileCursor.close}. */
export class FileCursor {
  readonly #reading: FileReading;
  readonly #interval: number;
  readonly #settings: SourceSettings;
  readonly #decoder: FileDecoder;
  #messages = 0;
  #corrupt = 0;
  #ended = false;
  #closed = false;
  #tornAt = -1; // where a torn message was reported

  constructor({ reading, interval, settings }: CursorParts) {
    this.#reading = reading;
    this.#interval = interval;
    this.#settings = settings;
    this.#decoder = new FileDecoder({ interval, maxPayload: settings.maxPayload });
  }

  /** Messages returned. */
  get messages(): number {
    return this.#messages;
  }

  /** Corrupt or truncated places. */
  get corrupt(): number {
    return this.#corrupt;
  }

  /** Whether the end-of-stream message was read. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Makes {@linkcode FileCursor.read} return `undefined`, including a pending call. */
  close(): void {
    this.#closed = true;
  }

  /** The next message, if it is in memory. */
  step(): FileMessage | undefined {
    const decoder = this.#decoder;
    this.#settings.signal?.throwIfAborted();
    while (!this.#ended) {
      const step = decoder.locate();
      if (step === STEP.need) return undefined;
      if (step === STEP.flaw) {
        this.#report(decoder.flaw);
        continue;
      }
      const { special } = decoder.frame;
      const message = decoder.take();
      if (message === undefined) this.#report(decoder.flaw);
      else if (special === "end") this.#ended = true;
      else if (special === undefined) {
        this.#messages++;
        return message;
      }
    }
    return undefined;
  }

  /** The next message; `undefined` at the end, `WAIT` if the file may grow. */
  async read(): Promise<FileMessage | typeof WAIT | undefined> {
    while (!this.#closed) {
      const message = this.step();
      if (message !== undefined) return message;
      if (this.#ended) return undefined;
      if (await this.#reading.fill(this.#decoder, this.#decoder.need)) continue;
      if (await this.#isContradicted()) continue;
      const { position, page } = this.#decoder;
      const size = await this.#reading.size();
      if (this.#settings.follow) {
        if (size < position && position <= this.#reading.furthest) {
          const why = "the file became shorter while it was followed";
          throw flawed(this.#reading.path, { kind: "torn", offset: size, why });
        }
        page.drop(position); // read again later: a writer that appends first removes an incomplete end
        return WAIT;
      }
      if (position >= size || position === this.#tornAt) return undefined;
      this.#tornAt = position;
      this.#report({ kind: "torn", offset: position, why: ENDS_INSIDE });
      return undefined;
    }
    return undefined;
  }

  /** Whether a beacon contradicts the length of a message that exceeds the file; such a message is skipped. */
  async #isContradicted(): Promise<boolean> {
    const { expected } = this.#decoder;
    if (expected === undefined) return false;
    const beacon = await this.#reading.beacon(expected.boundary, this.#interval);
    if (beacon === undefined || beacon.remaining === expected.remaining) return false;
    this.#decoder.giveUp();
    this.#report(this.#decoder.flaw);
    return true;
  }

  #report(flaw: Flaw): void {
    this.#corrupt++;
    const { onCorrupt } = this.#settings;
    if (onCorrupt === "skip") return;
    const error = flawed(this.#reading.path, flaw);
    if (onCorrupt === "fail") throw error;
    onCorrupt(error);
  }

  /** Moves to the beginning of the file. */
  async toBeginning(check: Check): Promise<void> {
    await this.#move(check, () => {
      this.#decoder.moveToBeacon(0);
      return Promise.resolve();
    });
  }

  /** Moves after the last whole message. */
  async toEnd(check: Check): Promise<void> {
    await this.#move(check, () => this.#toEnd(check));
  }

  /** Moves to the first matching message, or to the end. */
  async toMessage(wanted: Wanted, check: Check): Promise<void> {
    await this.#move(check, () => this.#find(wanted, check));
  }

  /** Moves; a failure leaves the position unchanged. `check` is called before each read. */
  async #move(check: Check, find: () => Promise<void>): Promise<void> {
    const { state } = this.#decoder;
    const ended = this.#ended;
    try {
      this.#ended = false;
      await find();
      check();
      this.#tornAt = -1;
    } catch (error) {
      this.#decoder.restore(state);
      this.#ended = ended;
      throw error;
    }
  }

  async #beacons(check: Check): Promise<Beacons> {
    const interval = this.#interval;
    const size = await this.#reading.size();
    return {
      interval,
      last: Math.max(0, Math.floor((size - 1) / interval)),
      read: async (number) => {
        check();
        return await this.#reading.beacon(number * interval, interval);
      },
    };
  }

  async #find(wanted: Wanted, check: Check): Promise<void> {
    const decoder = this.#decoder;
    const { frame } = decoder;
    decoder.moveToBeacon(this.#interval * await findBeacon(await this.#beacons(check), wanted));
    await this.#scan(check, () =>
      (wanted.streamKey === undefined || wanted.streamKey === frame.streamKey) &&
      (wanted.shardId === undefined || wanted.shardId === frame.shardId) &&
      frame[wanted.by] > wanted.above);
    // The message around the last beacon is incomplete. Move to its beginning, where an appending writer removes it.
    const { resync, skip, position } = decoder.state;
    if (resync || skip > 0 || position > await this.#reading.size()) await this.#toEnd(check);
  }

  async #toEnd(check: Check): Promise<void> {
    const last = await lastBeginning(await this.#beacons(check), await this.#reading.size());
    this.#decoder.moveToBeacon(this.#interval * last);
    await this.#scan(check, () => false);
  }

  /** Skips messages until one is found. That message, or the end, is the next one then. */
  async #scan(check: Check, isFound: () => boolean): Promise<void> {
    const decoder = this.#decoder;
    for (;;) {
      const step = decoder.locate();
      if (step === STEP.flaw) this.#report(decoder.flaw);
      else if (step === STEP.frame) {
        const { special } = decoder.frame;
        if (special === "end" || (special === undefined && isFound())) return;
        decoder.pass();
      } else {
        check();
        if (!await this.#reading.fill(decoder, decoder.need) && !await this.#isContradicted()) return;
      }
    }
  }
}
