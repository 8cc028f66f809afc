// Options that several commands have in common.

import type { OptionGroup, OptionSpec } from "./arguments.ts";

/** How to reach the server. */
export const CONNECTION: OptionGroup = {
  title: "Server",
  options: [
    {
      name: "url",
      value: "URL",
      help: "Server of streams that are given by name (default: REDIS_URL, else redis://localhost:6379)",
    },
    { name: "username", value: "NAME", help: "ACL user; takes precedence over the URL" },
    {
      name: "password-file",
      value: "FILE",
      help: "File whose first line is the password; takes precedence over the URL",
    },
    { name: "db", value: "N", help: "Database number; takes precedence over the URL" },
    { name: "ca", value: "FILE", help: "Trusted certificates (PEM) instead of the system's, with rediss://" },
    { name: "cert", value: "FILE", help: "Client certificate (PEM), together with --key" },
    { name: "key", value: "FILE", help: "Private key (PEM) of the client certificate" },
    { name: "insecure", help: "Do not verify the server's certificate" },
    { name: "timestamp-format", value: "UNIT", help: "Unit of the time in ids: milliseconds (default) or nanoseconds" },
    { name: "message-field", value: "NAME", help: "Entry field that holds the payload (default: msg)" },
  ],
};

const HELP: OptionSpec = { name: "help", short: "h", help: "Print this text" };
const QUIET: OptionSpec = { name: "quiet", short: "q", help: "Print neither progress nor a summary, only errors" };
const VERBOSE: OptionSpec = { name: "verbose", short: "v", help: "Print causes of errors, and all connection events" };

/** What a long-running command prints on stderr. */
export const OUTPUT: OptionGroup = {
  title: "Output",
  options: [
    { name: "progress", help: "Print progress on stderr even if stderr is not a terminal" },
    QUIET,
    VERBOSE,
    HELP,
  ],
};

/** What a short command prints on stderr. */
export const SHORT_OUTPUT: OptionGroup = { title: "Output", options: [VERBOSE, HELP] };

/** A part of a stream. */
export const RANGE: readonly OptionSpec[] = [
  { name: "since", value: "TIME|ID", help: "Start with the first entry at or after this position" },
  { name: "until", value: "TIME|ID", help: "Stop after the last entry at or before this position" },
];

/** How to distribute messages over shards. */
export const SHARDING: readonly OptionSpec[] = [
  { name: "shards", value: "N", help: "Split the stream into N shards (the Redis keys NAME:0, NAME:1, …)" },
  { name: "sharder", value: "HOW", help: "With --shards: round-robin (default), random or key-hash" },
];

/** The longest line to read. */
export const MAX_LINE: OptionSpec = {
  name: "max-line",
  value: "BYTES",
  help: "Longest line to read (default: 64M, at most 512M)",
};
/** The default of `--max-line`. */
export const DEFAULT_MAX_LINE: number = 64 * 1024 * 1024;
