// The help: of the whole, and of each command. It must not know what commands do.

import type { CommandSpec, OptionSpec } from "./arguments.ts";

const WIDTH = 100;

/** The help of the program. */
export function programHelp(commands: readonly CommandSpec[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  return `Streams of messages in Redis, on the command line.

  sea-streamer COMMAND [OPTION …] WORD …      sea-streamer COMMAND --help

Commands
${commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`).join("\n")}

Where streams are
  redis://host:port/orders,payments    a server and streams; rediss:// for TLS; redis://host:port/2/orders for database 2
  orders,payments                      streams of the server that --url or REDIS_URL names, else redis://localhost:6379
  A password need not stand on the command line: REDIS_URL may hold it, or --password-file name a file with it. It is never shown.

${EXIT_CODES}

  sea-streamer --version
`;
}

const EXIT_CODES = `Exit codes
    0  all was done; also when the reader of stdout had enough (as head), after a clean end
    1  it failed; one line on stderr tells why, with --verbose its causes too
    2  a mistake in the call
    3  a .ss file cannot hold an entry; its id is told (dump)
  130  stopped by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP, after a clean end: what was read is flushed, what was written is
       acknowledged. A second signal ends it at once`;

/** The help of a command. */
export function commandHelp(spec: CommandSpec): string {
  const groups = [{ title: "Options", options: spec.options }, ...spec.shared].filter(({ options }) =>
    options.length > 0
  );
  const names = new Map(groups.flatMap(({ options }) => options.map((option) => [option, nameOf(option)])));
  const width = Math.min(28, Math.max(...[...names.values()].map((name) => name.length)));
  const parts = [
    `sea-streamer ${spec.synopsis}`,
    wrap(spec.about, ""),
    ...groups.map(({ title, options }) =>
      `${title}\n${options.map((option) => describe(names.get(option) ?? "", option.help, width)).join("\n")}`
    ),
    `Examples\n${spec.examples.map(([line, what]) => `  ${line}\n      ${what}`).join("\n")}`,
    EXIT_CODES,
  ];
  return `${parts.join("\n\n")}\n`;
}

function nameOf({ name, short, value, unsaid }: OptionSpec): string {
  const behind = value === undefined ? "" : unsaid === undefined ? ` ${value}` : `[=${value}]`;
  return `${short === undefined ? "    " : `-${short}, `}--${name}${behind}`;
}

function describe(name: string, help: string, width: number): string {
  const indent = " ".repeat(width + 4);
  const text = wrap(help, indent);
  return name.length > width ? `  ${name}\n${text}` : `  ${name.padEnd(width)}  ${text.trimStart()}`;
}

/** Breaks text into lines; an empty line stays one. */
function wrap(text: string, indent: string): string {
  return text.split("\n").map((paragraph) => {
    const lines: string[] = [];
    let line = indent;
    for (const word of paragraph.split(" ")) {
      if (line.length + word.length + 1 > WIDTH && line.trim() !== "") {
        lines.push(line.trimEnd());
        line = indent;
      }
      line += `${word} `;
    }
    lines.push(line.trimEnd());
    return lines.join("\n");
  }).join("\n");
}
