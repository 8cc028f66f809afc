// Reads the transcripts of real servers: a line is `COMMAND => bytes, escaped`.

import { readFileSync } from "node:fs";
import { wire } from "./drive.ts";

/** The replies of a server to a command: several if it pushed some. */
export interface Capture {
  readonly server: string;
  readonly command: string;
  readonly bytes: Uint8Array;
}

const SERVERS = ["redis-7.0.15", "redis-8.0.6", "redis-unstable-2026-06", "valkey-9.1.2"];

/** All transcripts. */
export function readCaptures(): Capture[] {
  return SERVERS.flatMap((server) => {
    const text = readFileSync(new URL(`../../fixtures/captures/${server}.txt`, import.meta.url), "utf8");
    const lines = text.split(/\r?\n/).filter((line) => line !== "" && !line.startsWith("#"));
    return lines.map((line) => {
      const arrow = line.indexOf(" => ");
      return { server, command: line.slice(0, arrow), bytes: wire(unescape(line.slice(arrow + 4))) };
    });
  });
}

function unescape(text: string): string {
  return text.replace(/\\(x[0-9a-f]{2}|.)/g, (_, code: string) => {
    if (code.startsWith("x")) return String.fromCharCode(parseInt(code.slice(1), 16));
    return code === "r" ? "\r" : code === "n" ? "\n" : code;
  });
}
