// `decode`: prints a SeaStreamer file as text.

import { type FileMessage, MessageSource } from "../../file/mod.ts";
import type { CommandSpec } from "../args/arguments.ts";
import { ByteBuilder } from "../byte_builder.ts";
import { type BeaconLine, BeaconReader } from "../formats/beacons.ts";
import { textOf } from "../formats/json.ts";
import { progressOf, type Task } from "./session.ts";
import { OUTPUT } from "../args/shared_options.ts";
import { escapedJson, escapedText, escapedWriter } from "../screen/terminal.ts";

export const DECODE: CommandSpec = {
  name: "decode",
  summary: "prints a .ss file, as text or JSON",
  synopsis: "decode FILE",
  about: "Prints the content of a SeaStreamer file (.ss).\n\n" +
    "The log format has one line for each message: [time | stream | sequence | shard] payload. A payload that is not UTF-8 is " +
    "shown as <BINARY BLOB>. The header and the beacons are lines that start with #.\n\n" +
    "The ndjson format has a line of JSON for each message, with a header (stream_key, shard_id, sequence, timestamp) and a " +
    "payload. The payload is JSON if it parses as JSON, otherwise a string, otherwise an array of bytes. A sequence has more " +
    "digits than many JSON readers keep.\n\n" +
    "In a corrupt or truncated file, all messages before the error are printed. Then stderr names the error and its byte " +
    "offset, and the exit code is 1.",
  positionals: { least: 1, most: 1 },
  options: [
    { name: "format", value: "FORMAT", help: "log (default) or ndjson" },
    { name: "header-only", help: "Print the header only" },
  ],
  shared: [OUTPUT],
  examples: [
    ["sea-streamer decode orders.ss", "For reading"],
    ["sea-streamer decode orders.ss --format ndjson | jq .payload", "For programs"],
  ],
};

/** Bytes that are written at once. */
const PIECE = 128 * 1024;

/** Runs the command. */
export async function runDecode(task: Task): Promise<void> {
  const { system, given } = task;
  const format = given.choice("format", ["log", "ndjson"]) ?? "log";
  const [path] = given.positionals;
  using progress = progressOf(task, "message", { lines: true });
  await using source = await MessageSource.open(path, { signal: system.signal });
  const lines = new ByteBuilder(2 * PIECE);
  const log = format === "log";
  const terminal = system.stdout.isTerminal;
  const putLine = terminal ? escapedWriter(writeText, escapedJson) : writeText;
  const plain = log ? writeLog : writeJson;
  const putMessage = terminal ? escapedWriter(plain, log ? escapedText : escapedJson) : plain;
  if (log || given.flag("header-only")) putLine(lines, `${log ? "# " : ""}${headerText(source)}\n`);
  const write = async () => {
    const bytes = lines.content;
    const taken = await system.stdout.write(bytes, system.signal);
    system.signal.throwIfAborted();
    lines.clear();
    return taken === bytes.length;
  };
  if (given.flag("header-only")) return void await write();
  await using beacons = log ? await BeaconReader.open(path, source.beaconInterval) : undefined;
  const putBeacons = (some: readonly BeaconLine[]) => {
    for (const { markers } of some) putLine(lines, `# ${markers}\n`);
  };
  const { counts } = progress;
  let position = 0;
  let more = true;
  try {
    for await (const message of source) {
      // Beacons between the last message and this one. Those inside this message are printed before the next one.
      if (beacons !== undefined) putBeacons(await beacons.between(position, message.offset));
      position = message.offset;
      putMessage(lines, message);
      counts.count++;
      counts.bytes += message.payload.length;
      if (lines.length >= PIECE && !(more = await write())) return;
    }
    if (beacons !== undefined) putBeacons(await beacons.between(position, Infinity));
  } finally {
    if (more && !system.signal.aborted) await write();
  }
  progress.end("Decoded", source.ended ? ["the stream is complete"] : []);
}

function headerText({ fileName, createdAt, beaconInterval }: MessageSource): string {
  const created = Number.isFinite(createdAt.getTime()) ? createdAt.toISOString() : null;
  return JSON.stringify({ file_name: fileName, created_at: created, beacon_interval: beaconInterval });
}

function writeText(out: ByteBuilder, text: string): void {
  out.text(text);
}

function writeLog(out: ByteBuilder, message: FileMessage): void {
  const { streamKey, sequence, shardId, payload } = message;
  out.ascii(`[${timeOf(message)} | ${streamKey} | ${sequence} | ${shardId}] `);
  const text = textOf(payload);
  if (text === undefined) out.ascii("<BINARY BLOB>");
  else out.append(payload);
  out.ascii("\n");
}

function writeJson(out: ByteBuilder, message: FileMessage): void {
  const { streamKey, sequence, shardId, payload } = message;
  out.ascii(`{"header":{"stream_key":"${streamKey}","shard_id":${shardId},"sequence":${sequence},`);
  out.ascii(`"timestamp":"${timeOf(message)}"},"payload":`);
  out.text(payloadText(payload));
  out.ascii("}\n");
}

/** A JSON payload is copied, on one line: parsing would lose digits of numbers and the order of names. */
function payloadText(payload: Uint8Array): string {
  const text = textOf(payload);
  if (text === undefined) return `[${payload.join(",")}]`;
  try {
    JSON.parse(text);
    return text.replace(/[\r\n]+/g, " ").trim();
  } catch {
    return JSON.stringify(text);
  }
}

/** A time outside of Date's range is printed as milliseconds. */
function timeOf({ timestamp, timestampMs }: FileMessage): string {
  return Number.isFinite(timestamp.getTime()) ? timestamp.toISOString() : `${timestampMs}`;
}
