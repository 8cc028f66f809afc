// Finds the end of a reply or a command in a stream of bytes, in RESP2 and RESP3. Must not use the library under test.

import { joinBytes } from "../servers/raw_client.ts";

const decoder = new TextDecoder();
const CR = 13;

/** Cuts a stream of bytes into whole replies or commands. */
export class Frames {
  #bytes = new Uint8Array();
  #at = 0; // read so far of the frame that begins at 0
  #missing = 1; // values that are missing of it

  /** The frames that are whole with these bytes. */
  feed(chunk: Uint8Array): Uint8Array[] {
    this.#bytes = this.#bytes.length === 0 ? chunk.slice() : joinBytes([this.#bytes, chunk]);
    const frames: Uint8Array[] = [];
    let from = 0;
    while (this.#skip()) {
      frames.push(this.#bytes.subarray(from, this.#at));
      from = this.#at;
      this.#missing = 1;
    }
    this.#bytes = this.#bytes.subarray(from);
    this.#at -= from;
    return frames;
  }

  /** Reads until the end of the frame. Returns false if the end is missing. Bytes that were read are not read again. */
  #skip(): boolean {
    while (this.#missing > 0) {
      const end = this.#bytes.indexOf(CR, this.#at);
      if (end < 0 || end + 2 > this.#bytes.length) return false;
      const kind = String.fromCharCode(this.#bytes[this.#at]);
      const length = "*~>%|$=!".includes(kind) ? Number(decoder.decode(this.#bytes.subarray(this.#at + 1, end))) : 0;
      if (!Number.isSafeInteger(length)) throw new Error(`These bytes are not RESP: ${decoder.decode(this.#bytes)}`);
      let next = end + 2;
      if ("$=!".includes(kind) && length >= 0) next += length + 2;
      if (next > this.#bytes.length) return false;
      this.#at = next;
      this.#missing += inside(kind, Math.max(0, length)) - 1;
    }
    return true;
  }
}

/** How many values follow the header of one. */
function inside(kind: string, length: number): number {
  if ("*~>".includes(kind)) return length;
  if (kind === "%") return 2 * length;
  return kind === "|" ? 2 * length + 1 : 0;
}

/** The words of a command, which is an array of bulk strings. */
export function wordsOf(command: Uint8Array): string[] {
  const words: string[] = [];
  let at = command.indexOf(CR) + 2;
  while (at < command.length) {
    const end = command.indexOf(CR, at);
    const length = Number(decoder.decode(command.subarray(at + 1, end)));
    words.push(decoder.decode(command.subarray(end + 2, end + 2 + length)));
    at = end + 2 + length + 2;
  }
  return words;
}

/** Whether a reply says nothing: null, or an empty array. */
export function isNothing(reply: Uint8Array): boolean {
  return ["_", "$-1", "*-1", "*0"].includes(lineOf(reply));
}

/** The text of an error reply; `undefined` of any other. */
export function errorOf(reply: Uint8Array): string | undefined {
  const line = lineOf(reply);
  return line.startsWith("-") ? line.slice(1) : undefined;
}

function lineOf(reply: Uint8Array): string {
  return decoder.decode(reply.subarray(0, reply.indexOf(CR)));
}
