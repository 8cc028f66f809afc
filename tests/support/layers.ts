// Owns the judgement of the house's order: which file may know which. Pure: sources in, violations out.
// Must not read files.

import { type Import, referencesOf } from "./imports.ts";

/** Sources by their path in the project. */
export type Sources = ReadonlyMap<string, string>;

interface Storey {
  readonly folder: string;
  readonly number: number;
}

/** The first that fits counts. */
const STOREYS: readonly Storey[] = [
  { folder: "resp/transport/", number: 2 },
  { folder: "resp/connection/", number: 3 },
  { folder: "resp/", number: 1 },
  { folder: "streamer/model/", number: 4 },
  { folder: "streamer/commands/", number: 5 },
  { folder: "streamer/cluster/", number: 6 },
  { folder: "streamer/producer/", number: 7 },
  { folder: "streamer/consumer/", number: 7 },
  { folder: "streamer/manager/", number: 7 },
  { folder: "streamer/file/", number: 7 },
  { folder: "streamer/", number: 8 },
  { folder: "", number: 8 },
];

const ROOF = 8;

/** Where the runtimes' built-ins may be used; `host.ts` is where the host's identity is read. */
const BUILT_INS = [/^resp\/transport\//, /^streamer\/file\//, /^cli\.ts$/, /^streamer\/(.*\/)?host\.ts$/];

/** What a lower storey must not know although it lies below: “never knows” in ARCHITECTURE.md. */
const BLIND: readonly {
  readonly of: RegExp;
  readonly to: RegExp;
  readonly except: RegExp;
  /** Whether types, which leave nothing behind at run time, may be taken. */
  readonly types: boolean;
  readonly why: string;
}[] = [
  {
    of: /^resp\/transport\//,
    to: /^resp\/[^/]+$/,
    except: /^resp\/errors\.ts$/,
    types: false,
    why: "a transport knows no RESP",
  },
  {
    of: /^streamer\/model\//,
    to: /^resp\/(connection|transport)\//,
    except: /^$/,
    types: false,
    why: "the nouns know no connections",
  },
  {
    of: /^streamer\/commands\//,
    to: /^resp\/(connection|transport)\//,
    except: /^resp\/connection\/command\.ts$/,
    types: true,
    why: "a command knows what a command is, and no connections",
  },
  {
    of: /^streamer\/[^/]+\//,
    to: /^resp\/transport\//,
    except: /^$/,
    types: false,
    why: "only resp/connection/ lets bytes meet sockets",
  },
];

/** Every violation, as a sentence with its place; none for a house in order. */
export function judge(sources: Sources): string[] {
  const violations: string[] = [];
  const graph = new Map<string, Set<string>>();
  for (const [path, source] of sources) {
    const { imports, globals } = referencesOf(source);
    const targets = new Set<string>();
    graph.set(path, targets);
    const mayUseBuiltIns = BUILT_INS.some((place) => place.test(path));
    for (const one of imports) {
      const verdict = judgeImport(path, one, sources, mayUseBuiltIns);
      if (verdict.target) targets.add(verdict.target);
      if (verdict.why) {
        violations.push(`${path}:${one.line} imports ${one.specifier ?? "a computed name"}: ${verdict.why}`);
      }
    }
    for (const { name, line } of globals) {
      if (name === "console" ? path === "cli.ts" : mayUseBuiltIns) continue;
      const why = name === "console" ? "the library prints nothing" : "a runtime's own, in a place for all of them";
      violations.push(`${path}:${line} uses ${name}: ${why}`);
    }
  }
  return [...violations, ...cyclesOf(graph).map((cycle) => `a cycle: ${cycle.join(" → ")}`)];
}

interface Verdict {
  readonly target?: string;
  readonly why?: string;
}

function judgeImport(path: string, one: Import, sources: Sources, mayUseBuiltIns: boolean): Verdict {
  const { specifier } = one;
  if (specifier === undefined) return { why: "nobody can tell what that is" };
  if (specifier.startsWith("node:") || specifier === "bun") {
    return mayUseBuiltIns ? {} : { why: "a runtime's built-in, in a place for all of them" };
  }
  if (!specifier.startsWith("./") && !specifier.startsWith("../")) {
    return { why: "what is published imports no package" };
  }
  const target = resolvePath(path, specifier);
  if (target === undefined || !sources.has(target)) return { why: "that is no published file" };
  return { target, ...judgeStoreys(path, target, one.typeOnly) };
}

function judgeStoreys(path: string, target: string, typeOnly: boolean): Verdict {
  const [from, to] = [storeyOf(path), storeyOf(target)];
  if (to.number > from.number) return { why: `storey ${to.number} lies above storey ${from.number}` };
  const roof = from.number === ROOF && to.number === ROOF;
  if (to.number === from.number && to.folder !== from.folder && !roof) {
    return { why: `siblings on storey ${from.number} do not know one another` };
  }
  for (const { of, to, except, types, why } of BLIND) {
    if (of.test(path) && to.test(target) && !except.test(target) && !(types && typeOnly)) return { why };
  }
  return {};
}

function storeyOf(path: string): Storey {
  // The last one fits everything.
  return STOREYS.find(({ folder }) => path.startsWith(folder)) ?? STOREYS[STOREYS.length - 1];
}

function resolvePath(from: string, specifier: string): string | undefined {
  const parts = from.split("/").slice(0, -1);
  for (const part of specifier.split("/")) {
    if (part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined) return undefined;
  }
  return parts.join("/");
}

/** One way round for each knot; type-only imports count. */
function cyclesOf(graph: ReadonlyMap<string, ReadonlySet<string>>): string[][] {
  const cycles: string[][] = [];
  const done = new Set<string>();
  for (const start of graph.keys()) {
    const path: string[] = [];
    const onPath = new Set<string>();
    const pending: (string | undefined)[] = [start];
    // Depth first; `undefined` marks the way back up.
    for (let next = pending.pop(); next !== undefined || path.length > 0; next = pending.pop()) {
      if (next === undefined) {
        const left = path.pop() ?? "";
        onPath.delete(left);
        done.add(left);
      } else if (onPath.has(next)) {
        cycles.push([...path.slice(path.indexOf(next)), next]);
      } else if (!done.has(next)) {
        path.push(next);
        onPath.add(next);
        pending.push(undefined, ...(graph.get(next) ?? []));
      }
    }
  }
  return cycles;
}
