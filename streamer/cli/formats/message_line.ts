// A message as a line: its payload only, or JSON with all parts.

import type { MessageId, TimestampFormat } from "../../model/id.ts";
import { type Message, messageFields } from "../../model/message.ts";
import type { ByteBuilder } from "../byte_builder.ts";
import { textOf, writeValue } from "./json.ts";

const NEWLINE = 10;

/** Writes a message as a line. */
export type WriteMessage = (out: ByteBuilder, message: Message) => void;

/** Writes the payload. */
export function writePayload(out: ByteBuilder, message: Message): void {
  out.append(message.bytes());
  out.byte(NEWLINE);
}

/** Options of {@linkcode jsonWriter}. */
export interface JsonOptions {
  /** The name of the field that holds the payload. */
  readonly field: Uint8Array;
  readonly format: TimestampFormat;
}

/** Writes all parts as JSON. */
export function jsonWriter({ field, format }: JsonOptions): WriteMessage {
  return (out, message) => {
    const { id } = message;
    out.ascii(`{"stream":"${message.streamKey}","shard":${message.shardId},"id":"${id}"`); // keys and ids need no escapes
    const sequence = sequenceText(id);
    if (sequence !== undefined) out.ascii(`,"sequence":"${sequence}"`);
    const time = timeText(id, format);
    out.ascii(time === undefined ? `,"timestamp":null` : `,"timestamp":"${time}"`);
    const fields = messageFields(message);
    const at = payloadAt(fields, field);
    out.ascii(`,"headers":{`);
    if (fields.length > (at < 0 ? 0 : 2)) writeHeaders(out, fields, at);
    out.ascii(`},"payload":`);
    writeValue(out, message.bytes());
    out.ascii("}\n");
  };
}

const MAX_SEQUENCE_HALF = 65_535;

/** The sequence in decimal; `undefined` if the id has none. */
function sequenceText(id: string): string | undefined {
  const dash = id.indexOf("-");
  const second = Number(id.slice(dash + 1));
  return second > MAX_SEQUENCE_HALF ? undefined : String((BigInt(id.slice(0, dash)) << 16n) | BigInt(second));
}

/** The time in an id as text, with the precision of the stream's unit; `undefined` if it is out of range. */
function timeText(id: MessageId, format: TimestampFormat): string | undefined {
  const first = id.slice(0, id.indexOf("-"));
  if (format === "milliseconds") return isoText(Number(first));
  const units = BigInt(first);
  const text = isoText(Number(units / 1_000_000n));
  return text?.replace("Z", `${String(units % 1_000_000n).padStart(6, "0")}Z`);
}

const MAX_DATE = 8.64e15;

function isoText(milliseconds: number): string | undefined {
  return milliseconds <= MAX_DATE ? new Date(milliseconds).toISOString() : undefined;
}

/** The index of the payload's name among names and values; -1 if it is missing. */
export function payloadAt(fields: readonly Uint8Array[], field: Uint8Array): number {
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i];
    if (name.length === field.length && name.every((byte, at) => byte === field[at])) return i;
  }
  return -1;
}

/** A repeated name has an array of values. */
function writeHeaders(out: ByteBuilder, fields: readonly Uint8Array[], payload: number): void {
  const headers = new Map<string, Uint8Array[]>();
  for (let i = 0; i < fields.length; i += 2) {
    if (i === payload) continue;
    const name = textOf(fields[i]) ?? new TextDecoder().decode(fields[i]);
    const values = headers.get(name);
    if (values === undefined) headers.set(name, [fields[i + 1]]);
    else values.push(fields[i + 1]);
  }
  let comma = "";
  for (const [name, values] of headers) {
    out.text(`${comma}${JSON.stringify(name)}:`);
    comma = ",";
    if (values.length === 1) writeValue(out, values[0]);
    else writeAll(out, values);
  }
}

function writeAll(out: ByteBuilder, values: readonly Uint8Array[]): void {
  values.forEach((value, i) => {
    out.ascii(i === 0 ? "[" : ",");
    writeValue(out, value);
  });
  out.ascii("]");
}
