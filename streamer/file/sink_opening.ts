// Opens the file of a sink: a new file, or an existing one whose end is found and checked first.

import { FileReading } from "./disk/reading.ts";
import { findEnd } from "./disk/recovery.ts";
import type { FilePort, OpenFile } from "./disk/port.ts";
import { flawed, refused } from "./error.ts";
import { BeaconSummary } from "./format/beacon_summary.ts";
import { type FileHeader, HEADER_BYTES, startsLikeHeader } from "./format/layout.ts";
import type { SinkSettings } from "./sink_options.ts";

/**
 * An incomplete message or beacon that was removed from the end of a file.
 *
 * @category Files
 */
export interface TornEnd {
  /** The byte offset at which it began, after the last complete message. */
  readonly offset: number;
  /** The number of bytes that were removed. */
  readonly bytes: number;
}

/** The parts of a sink. */
export interface SinkParts {
  readonly port: FilePort;
  readonly path: string;
  readonly header: FileHeader;
  readonly settings: SinkSettings;
  /** Where the sink writes next; 0 if the file has no header yet. */
  readonly offset: number;
  readonly summary: BeaconSummary;
  readonly torn?: TornEnd;
  readonly now: () => number;
}

/** The system's files and clock, as ports. */
export interface SinkPorts {
  readonly open: OpenFile;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** Opens a new file. */
export async function openNew({ open, now }: SinkPorts, path: string, settings: SinkSettings): Promise<SinkParts> {
  settings.signal?.throwIfAborted();
  const port = await opened(open, path, settings.overwrite ? "replace" : "new");
  return { port, path, settings, now, header: settings, offset: 0, summary: new BeaconSummary() };
}

/** Opens a file to append to it, and removes an incomplete end if the settings allow it. */
export async function openToAppend(
  { open, now }: SinkPorts,
  path: string,
  settings: SinkSettings,
): Promise<SinkParts> {
  settings.signal?.throwIfAborted();
  const port = await opened(open, path, "append");
  try {
    const parts = await partsOf(port, { path, settings, now });
    settings.signal?.throwIfAborted();
    if (parts.torn !== undefined || parts.offset > 0) await truncated(port, path, parts.offset);
    return { port, ...parts };
  } catch (error) {
    await port.close().catch(() => {}); // the first error counts
    throw error;
  }
}

/** Finds the end of a file without changing it. */
async function partsOf(
  port: FilePort,
  given: Pick<SinkParts, "path" | "settings" | "now">,
): Promise<Omit<SinkParts, "port">> {
  const { path, settings } = given;
  const reading = new FileReading(port, path);
  const size = await reading.size();
  const cuts = settings.onTorn === "truncate";
  const fresh = { ...given, header: settings, offset: 0, summary: new BeaconSummary() };
  if (size === 0) return fresh;
  if (size < HEADER_BYTES && cuts && startsLikeHeader(await reading.beginning(size))) {
    return { ...fresh, torn: { offset: 0, bytes: size } };
  }
  const header = await reading.header();
  const { offset, summary, torn } = await findEnd(reading, { size, interval: header.beaconInterval });
  if (torn !== undefined && !cuts) throw flawed(path, torn);
  return {
    ...given,
    header,
    offset,
    summary,
    ...(torn === undefined ? {} : { torn: { offset, bytes: size - offset } }),
  };
}

async function opened(open: OpenFile, path: string, mode: "new" | "replace" | "append"): Promise<FilePort> {
  try {
    return await open(path, mode);
  } catch (cause) {
    throw refused(path, "open", cause);
  }
}

async function truncated(port: FilePort, path: string, length: number): Promise<void> {
  try {
    await port.truncate(length);
  } catch (cause) {
    throw refused(path, "write", cause);
  }
}
