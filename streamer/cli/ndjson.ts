// An entry as a line of JSON and back, without loss: its key, its id, all of its fields in their order. It must not know where
// lines come from, nor where entries go.

import { parseId } from "../model/id.ts";
import { checkStreamKey } from "../model/key.ts";
import type { Chunk } from "./chunk.ts";
import { CommandError } from "./failure.ts";
import { readValue, writeValue } from "./json.ts";

/** An entry of a Redis stream. */
export interface Entry {
  readonly stream: string;
  readonly shard: number;
  /** The Redis key it lives in: the stream's name, with the shard's number behind it where it has shards. */
  readonly key: string;
  readonly id: string;
  /** Names and values in turn. */
  readonly fields: readonly (string | Uint8Array)[];
}

const encoder = new TextEncoder();

/** Writes the entries of one Redis key: what is the same in all of them is encoded once. */
export class EntryWriter {
  readonly #head: Uint8Array;

  constructor({ stream, shard, key }: Pick<Entry, "stream" | "shard" | "key">) {
    this.#head = encoder.encode(`${JSON.stringify({ stream, shard, key }).slice(0, -1)},"id":"`);
  }

  /** Writes one line. */
  write(out: Chunk, id: string, fields: readonly Uint8Array[]): void {
    out.append(this.#head);
    out.ascii(id);
    out.ascii(`","fields":[`);
    for (let i = 0; i < fields.length; i += 2) {
      out.ascii(i === 0 ? "[" : ",[");
      writeValue(out, fields[i]);
      out.ascii(",");
      writeValue(out, fields[i + 1]);
      out.ascii("]");
    }
    out.ascii("]}\n");
  }
}

/** Reads a line, `undefined` for one that is no UTF-8; its number is for what is wrong with it. */
export function parseEntry(text: string | undefined, number: number): Entry {
  const refuse = (rule: string, cause?: unknown) =>
    new CommandError(`Cannot restore line ${number} as ${rule}`, cause === undefined ? {} : { cause });
  if (text === undefined) throw refuse("it must be UTF-8");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw refuse("it must be JSON", cause);
  }
  if (typeof value !== "object" || value === null) throw refuse("it must be an object");
  // A checked border: what follows looks at each.
  const { stream, shard, key, id, fields } = value as Record<string, unknown>;
  if (typeof id !== "string" || parseId(id) === undefined) throw refuse("its id must be two numbers with a dash");
  if (typeof shard !== "number" || !Number.isSafeInteger(shard) || shard < 0) {
    throw refuse("its shard must be a number");
  }
  const read = readFields(fields);
  if (read === undefined) throw refuse("its fields must be an array of [name, value]");
  const name = checkedKey(stream);
  if (name === undefined) throw refuse("its stream must be a stream's name");
  if (key !== undefined && key !== name && key !== `${name}:${shard}`) {
    throw refuse("its key must be the stream's, or that of its shard");
  }
  return { stream: name, shard, key: key ?? (shard === 0 ? name : `${name}:${shard}`), id, fields: read };
}

function checkedKey(stream: unknown): string | undefined {
  try {
    return checkStreamKey(stream);
  } catch {
    return undefined;
  }
}

function readFields(pairs: unknown): (string | Uint8Array)[] | undefined {
  if (!Array.isArray(pairs) || pairs.length === 0) return undefined;
  const fields: (string | Uint8Array)[] = [];
  for (const pair of pairs) {
    if (!Array.isArray(pair) || pair.length !== 2) return undefined;
    const [name, value] = [readValue(pair[0]), readValue(pair[1])];
    if (name === undefined || value === undefined) return undefined;
    fields.push(name, value);
  }
  return fields;
}
