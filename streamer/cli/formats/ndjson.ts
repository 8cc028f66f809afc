// An entry as a line of JSON and back, without loss: its key, its id, and all fields in order.

import { parseId } from "../../model/id.ts";
import { checkStreamKey } from "../../model/key.ts";
import type { ByteBuilder } from "../byte_builder.ts";
import { CommandError } from "../failure.ts";
import { readValue, writeValue } from "./json.ts";

/** An entry of a Redis stream. */
export interface Entry {
  readonly stream: string;
  readonly shard: number;
  /** Its Redis key: the name of the stream, followed by the number of the shard if the stream has shards. */
  readonly key: string;
  readonly id: string;
  /** Names and values, alternating. */
  readonly fields: readonly (string | Uint8Array)[];
}

const encoder = new TextEncoder();

/** Writes the entries of one Redis key. Their common part is encoded once. */
export class EntryWriter {
  readonly #head: Uint8Array;

  constructor({ stream, shard, key }: Pick<Entry, "stream" | "shard" | "key">) {
    this.#head = encoder.encode(`${JSON.stringify({ stream, shard, key }).slice(0, -1)},"id":"`);
  }

  /** Writes one line. */
  write(out: ByteBuilder, id: string, fields: readonly Uint8Array[]): void {
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

/** Parses a line; `undefined` stands for invalid UTF-8. The number of the line is for error messages. */
export function parseEntry(text: string | undefined, number: number): Entry {
  const refuse = (rule: string, cause?: unknown) =>
    new CommandError(`Invalid line ${number}: ${rule}`, cause === undefined ? {} : { cause });
  if (text === undefined) throw refuse("it must be UTF-8");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw refuse("it must be JSON", cause);
  }
  if (typeof value !== "object" || value === null) throw refuse("it must be an object");
  // A checked border: each property is checked below.
  const { stream, shard, key, id, fields } = value as Record<string, unknown>;
  if (typeof id !== "string" || parseId(id) === undefined) throw refuse("the id must be two numbers with a dash");
  if (typeof shard !== "number" || !Number.isSafeInteger(shard) || shard < 0) {
    throw refuse("the shard must be a number");
  }
  const read = readFields(fields);
  if (read === undefined) throw refuse("the fields must be an array of [name, value]");
  const name = checkedKey(stream);
  if (name === undefined) throw refuse("the stream must be the name of a stream");
  if (key !== undefined && key !== name && key !== `${name}:${shard}`) {
    throw refuse("the key must be that of the stream or of its shard");
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
