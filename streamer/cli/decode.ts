// `decode`: what a SeaStreamer file holds, as text. It must not know how the file is laid out.

import { type FileMessage, MessageSource } from "../file/mod.ts";
import type { CommandSpec } from "./arguments.ts";
import { Chunk } from "./chunk.ts";
import { type BeaconLine, BeaconReader } from "./beacons.ts";
import { textOf } from "./json.ts";
import { progressOf, type Task } from "./session.ts";
import { TELLING } from "./shared_options.ts";

export const DECODE: CommandSpec = {
  name: "decode",
  summary: "prints a .ss file, as text or JSON",
  synopsis: "decode FILE",
  about:
    "Prints what a SeaStreamer file (.ss) holds. As log: the header and the beacons as lines that begin with #, and [time | stream | " +
    "sequence | shard] payload for each message, or <BINARY BLOB> where that is not UTF-8. As ndjson: " +
    '{"header": {"stream_key", "shard_id", "sequence", "timestamp"}, "payload": …} a line, the payload as JSON where it is JSON, else as a ' +
    "string, else as an array of bytes; a sequence has more digits than many readers of JSON keep exact.\n\n" +
    "Of a file that is corrupt or torn everything in front of that is printed, what is wrong and at which byte is told, and it exits with 1.",
  words: { least: 1, most: 1 },
  options: [
    { name: "format", value: "FORMAT", help: "log (default) or ndjson" },
    { name: "header-only", help: "Print the header and no more" },
  ],
  shared: [TELLING],
  examples: [
    ["sea-streamer decode orders.ss", "To read"],
    ["sea-streamer decode orders.ss --format ndjson | jq .payload", "For machines"],
  ],
};

/** Bytes that are written at once. */
const PIECE = 128 * 1024;

/** Runs it. */
export async function runDecode(task: Task): Promise<void> {
  const { system, given } = task;
  const format = given.choice("format", ["log", "ndjson"]) ?? "log";
  const [path] = given.words;
  using progress = progressOf(task, "message", { lines: true });
  await using source = await MessageSource.open(path, { signal: system.signal });
  const lines = new Chunk(2 * PIECE);
  const log = format === "log";
  if (log || given.flag("header-only")) lines.text(`${log ? "# " : ""}${headerText(source)}\n`);
  const write = async () => {
    const bytes = lines.taken;
    const taken = await system.stdout.write(bytes, system.signal);
    system.signal.throwIfAborted();
    lines.clear();
    return taken === bytes.length;
  };
  if (given.flag("header-only")) return void await write();
  await using beacons = log ? await BeaconReader.open(path, source.beaconInterval) : undefined;
  const { tally } = progress;
  let position = 0;
  let more = true;
  try {
    for await (const message of source) {
      // What has been crossed since the last message stands behind it, and this one's is not known until the next.
      if (beacons !== undefined) writeBeacons(lines, await beacons.between(position, message.offset));
      position = message.offset;
      if (log) writeLog(lines, message);
      else writeJson(lines, message);
      tally.count++;
      tally.bytes += message.payload.length;
      if (lines.length >= PIECE && !(more = await write())) return;
    }
    if (beacons !== undefined) writeBeacons(lines, await beacons.between(position, Infinity));
  } finally {
    if (more && !system.signal.aborted) await write();
  }
  progress.end("Decoded", source.ended ? ["the stream has ended"] : []);
}

function headerText({ fileName, createdAt, beaconInterval }: MessageSource): string {
  const created = Number.isFinite(createdAt.getTime()) ? createdAt.toISOString() : null;
  return JSON.stringify({ file_name: fileName, created_at: created, beacon_interval: beaconInterval });
}

function writeBeacons(out: Chunk, beacons: readonly BeaconLine[]): void {
  for (const { markers } of beacons) out.text(`# ${markers}\n`);
}

function writeLog(out: Chunk, message: FileMessage): void {
  const { streamKey, sequence, shardId, payload } = message;
  out.ascii(`[${timeOf(message)} | ${streamKey} | ${sequence} | ${shardId}] `);
  const text = textOf(payload);
  if (text === undefined) out.ascii("<BINARY BLOB>");
  else out.append(payload);
  out.ascii("\n");
}

function writeJson(out: Chunk, message: FileMessage): void {
  const { streamKey, sequence, shardId, payload } = message;
  out.ascii(`{"header":{"stream_key":"${streamKey}","shard_id":${shardId},"sequence":${sequence},`);
  out.ascii(`"timestamp":"${timeOf(message)}"},"payload":`);
  out.text(payloadText(payload));
  out.ascii("}\n");
}

/** JSON stays as it was written, on one line: numbers would lose digits, and names their order. */
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

/** Years that Date does not hold are told as milliseconds. */
function timeOf({ timestamp, timestampMs }: FileMessage): string {
  return Number.isFinite(timestamp.getTime()) ? timestamp.toISOString() : `${timestampMs}`;
}
