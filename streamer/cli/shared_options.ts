// Options that several commands have. It must not know what they lead to.

import type { OptionGroup, OptionSpec } from "./arguments.ts";

/** How the server is reached. */
export const CONNECTION: OptionGroup = {
  title: "Server",
  options: [
    {
      name: "url",
      value: "URL",
      help: "The server of streams that are given by name. Else REDIS_URL, else redis://localhost:6379",
    },
    { name: "username", value: "NAME", help: "ACL user; wins over the url's" },
    { name: "password-file", value: "FILE", help: "The password is the file's first line; wins over the url's" },
    { name: "db", value: "N", help: "Number of the database; wins over the url's" },
    { name: "ca", value: "FILE", help: "Certificates (PEM) to trust in place of the system's, with rediss://" },
    { name: "cert", value: "FILE", help: "This client's certificate (PEM), with --key" },
    { name: "key", value: "FILE", help: "This client's private key (PEM)" },
    { name: "insecure", help: "Do not verify the server's certificate" },
    { name: "timestamp-format", value: "UNIT", help: "What ids hold: milliseconds (default) or nanoseconds" },
    { name: "message-field", value: "NAME", help: "The field that holds the payload; msg by default" },
  ],
};

const HELP: OptionSpec = { name: "help", short: "h", help: "This text" };
const QUIET: OptionSpec = { name: "quiet", short: "q", help: "No progress, no summary; only mistakes are told" };
const VERBOSE: OptionSpec = { name: "verbose", short: "v", help: "Tell causes, and what happens to the connection" };

/** What is told on stderr, of a command that takes a while. */
export const TELLING: OptionGroup = {
  title: "Telling",
  options: [
    { name: "progress", help: "Show progress on stderr also where that is no terminal" },
    QUIET,
    VERBOSE,
    HELP,
  ],
};

/** The same of one that does not. */
export const TELLING_LITTLE: OptionGroup = { title: "Telling", options: [VERBOSE, HELP] };

/** A part of a stream. */
export const RANGE: readonly OptionSpec[] = [
  { name: "since", value: "TIME|ID", help: "Begin with the first entry at or after this, itself included" },
  { name: "until", value: "TIME|ID", help: "End with the last entry at or before this, itself included" },
];

/** How messages are spread over shards. */
export const SHARDING: readonly OptionSpec[] = [
  { name: "shards", value: "N", help: "Split the stream in N shards (the Redis keys NAME:0, NAME:1, …)" },
  { name: "sharder", value: "HOW", help: "round-robin (default), random or key-hash, with --shards" },
];

/** Bounds of a line. */
export const MAX_LINE: OptionSpec = {
  name: "max-line",
  value: "BYTES",
  help: "Longest line that is read; 64M by default, 512M at most",
};
/** What `--max-line` is by default. */
export const DEFAULT_MAX_LINE: number = 64 * 1024 * 1024;
