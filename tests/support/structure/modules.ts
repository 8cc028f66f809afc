// The rules between the modules of one folder: of the consumer, of files, of the command line. Pure.

import { referencesOf, resolvePath, type Sources } from "./imports.ts";

/** The rule of a folder that is divided into modules. */
interface Rule {
  readonly folder: string;
  /** From left to right: a module imports only modules to its left. Modules at the same place do not import each other. */
  readonly order: readonly (readonly string[])[];
  /** Files beside the modules. `open`: import no module, imported by all. `top`: import all, imported by no module. */
  readonly open: readonly string[];
  readonly top: readonly string[];
  /** Files beside the modules that count as part of one. */
  readonly members?: Readonly<Record<string, string>>;
}

const RULES: readonly Rule[] = [
  {
    folder: "streamer/consumer/",
    order: [["server"], ["shards"], ["delivery"], ["reading", "pending"], ["lifecycle"], ["group"]],
    open: ["options.ts", "group_options.ts", "consumer.ts", "events.ts"],
    top: ["real_time.ts", "group_consumer.ts"],
  },
  {
    folder: "streamer/file/",
    order: [["format"], ["disk"]],
    open: ["error.ts"],
    members: { "message.ts": "format" }, // public, and the return type of the format's decoder
    top: [
      ...["cursor.ts", "poll_wait.ts", "source.ts", "source_options.ts", "mod.ts"],
      ...["sink.ts", "sink_opening.ts", "sink_options.ts", "sink_capacity.ts"],
    ],
  },
  {
    folder: "streamer/cli/",
    order: [["args"], ["screen"], ["formats"], ["verbs"]],
    open: ["failure.ts", "system.ts", "byte_builder.ts"],
    top: ["main.ts"],
  },
];

/** Why an import between two files breaks a rule; undefined if it breaks none. */
export function judgeModules(from: string, to: string): string | undefined {
  for (const rule of RULES) {
    if (!from.startsWith(rule.folder)) continue;
    const known = [placeOf(rule, from), placeOf(rule, to)];
    if (known[0] === undefined) return `${from} belongs to no module of ${rule.folder}`;
    if (!to.startsWith(rule.folder)) return undefined;
    if (known[1] === undefined) return `${to} belongs to no module of ${rule.folder}`;
    const [importer, imported] = [known[0], known[1]];
    if (imported.rank < importer.rank || imported.name === importer.name) return undefined;
    if (importer.rank === imported.rank && (importer.rank === OPEN || importer.rank === TOP)) return undefined;
    return `module ${importer.name} must not import ${imported.name}`;
  }
  return undefined;
}

const OPEN = -1;
const TOP = Number.MAX_SAFE_INTEGER;

interface ModulePlace {
  readonly name: string;
  readonly rank: number;
}

function placeOf({ folder, order, open, top, members }: Rule, path: string): ModulePlace | undefined {
  const [first, inside] = path.slice(folder.length).split("/");
  const name = inside === undefined ? members?.[first] ?? first : first;
  if (inside === undefined && open.includes(name)) return { name, rank: OPEN };
  if (inside === undefined && top.includes(name)) return { name, rank: TOP };
  const rank = order.findIndex((modules) => modules.includes(name));
  return rank === -1 ? undefined : { name, rank };
}

/** How many imports lead from one module of a folder into another; files beside the modules do not count. */
export function countCrossImports(sources: Sources, folder: string): number {
  const moduleOf = (path: string) => {
    const [name, inside] = path.slice(folder.length).split("/");
    return path.startsWith(folder) && inside !== undefined ? name : undefined;
  };
  let count = 0;
  for (const [path, source] of sources) {
    const from = moduleOf(path);
    if (from === undefined) continue;
    for (const { specifier } of referencesOf(source).imports) {
      if (specifier === undefined || !specifier.startsWith(".")) continue;
      const to = moduleOf(resolvePath(path, specifier) ?? "");
      if (to !== undefined && to !== from) count++;
    }
  }
  return count;
}
