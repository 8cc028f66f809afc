// The help texts: of the program, and of each command.

import type { CommandSpec, OptionSpec } from "./arguments.ts";

/** The width of a help text that is not printed on a terminal, and the bounds on a terminal. */
const WIDTH = 80;
const NARROWEST = 60;
const WIDEST = 100;
/** The widest column of option names; a longer name gets a line of its own. */
const NAMES = 27;

/** The width of a help text for a terminal of so many columns; `undefined` for a pipe or a file. */
export function helpWidth(columns: number | undefined): number {
  return columns === undefined ? WIDTH : Math.max(NARROWEST, Math.min(WIDEST, columns));
}

/** The help of the program. */
export function programHelp(commands: readonly CommandSpec[], width: number): string {
  const parts = [
    "Redis streams on the command line.",
    "  sea-streamer COMMAND [OPTION …] ARGUMENT …\n  sea-streamer COMMAND --help",
    section("Commands", commands.map(({ name, summary }) => [name, summary]), width),
    section("Streams", STREAMS, width),
    wrap(PASSWORDS, "", width),
    section("Exit codes", EXIT_CODES, width),
    "  sea-streamer --version",
  ];
  return `${parts.join("\n\n")}\n`;
}

type Entry = readonly [string, string];

const STREAMS: readonly Entry[] = [
  [
    "redis://host:port/orders,payments",
    "a server and streams on it; rediss:// for TLS, redis://host:port/2/orders for database 2",
  ],
  ["redis://node-1,node-2/orders", "a cluster, by one or several of its nodes"],
  ["orders,payments", "streams on the server of --url or REDIS_URL, by default redis://localhost:6379"],
];

const PASSWORDS = "Avoid passwords on the command line: put them in REDIS_URL, or in a file for --password-file. " +
  "Passwords are never printed.";

const EXIT_CODES: readonly Entry[] = [
  ["  0", "success, also if the reader of stdout stops early (as head does)"],
  ["  1", "failure: stderr says why in one line, with --verbose also the causes"],
  ["  2", "usage error"],
  ["  3", "dump: an entry does not fit into a .ss file; stderr names its id"],
  [
    "130",
    "stopped by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP. Lines that were read are sent, and messages that were written are " +
    "acknowledged. A second signal ends the process at once",
  ],
];

/** The help of a command. */
export function commandHelp(spec: CommandSpec, width: number): string {
  const groups = [{ title: "Options", options: spec.options }, ...spec.shared].filter(({ options }) =>
    options.length > 0
  );
  const names = groups.flatMap(({ options }) => options.map(nameOf));
  const column = Math.min(NAMES, Math.max(...names.map((name) => name.length)));
  const parts = [
    `sea-streamer ${spec.synopsis}`,
    wrap(spec.about, "", width),
    ...groups.map(({ title, options }) =>
      section(title, options.map((option) => [nameOf(option), option.help]), width, column)
    ),
    `Examples\n${spec.examples.map(([line, what]) => `  ${line}\n      ${what}`).join("\n")}`,
    section("Exit codes", EXIT_CODES, width),
  ];
  return `${parts.join("\n\n")}\n`;
}

function nameOf({ name, short, value, implied }: OptionSpec): string {
  const after = value === undefined ? "" : implied === undefined ? ` ${value}` : `[=${value}]`;
  return `${short === undefined ? "    " : `-${short}, `}--${name}${after}`;
}

/** A heading, then a name and a text for each entry. Names longer than `column` get a line of their own. */
function section(
  title: string,
  entries: readonly Entry[],
  width: number,
  column: number = Math.max(...entries.map(([name]) => name.length)),
): string {
  const indent = " ".repeat(column + 4);
  return [
    title,
    ...entries.map(([name, text]) => {
      const wrapped = wrap(text, indent, width);
      return name.length > column ? `  ${name}\n${wrapped}` : `  ${name.padEnd(column)}  ${wrapped.trimStart()}`;
    }),
  ].join("\n");
}

/** Breaks text into lines of at most `width` characters; an empty line stays empty. */
function wrap(text: string, indent: string, width: number): string {
  return text.split("\n").map((paragraph) => {
    const lines: string[] = [];
    let line = indent;
    for (const word of paragraph.split(" ")) {
      if (line.length + word.length > width && line.trim() !== "") {
        lines.push(line.trimEnd());
        line = indent;
      }
      line += `${word} `;
    }
    lines.push(line.trimEnd());
    return lines.join("\n");
  }).join("\n");
}
