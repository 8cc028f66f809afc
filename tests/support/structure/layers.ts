// The rules of layers and modules: which file may import which. Pure: sources in, violations out.

import { type Import, referencesOf, resolvePath, type Sources } from "./imports.ts";
import { judgeModules } from "./modules.ts";

interface Layer {
  readonly folder: string;
  readonly number: number;
}

/** The first that fits counts. */
const LAYERS: readonly Layer[] = [
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

/** Its folders may import each other. */
const TOP = 8;

/** Where the runtimes' built-ins may be used. `machine_id.ts` reads the host's identity, `environment.ts` variables. */
const BUILT_INS = [
  /^resp\/transport\//,
  /^streamer\/file\//,
  /^cli\.ts$/,
  /^streamer\/(.*\/)?machine_id\.ts$/,
  /^streamer\/model\/environment\.ts$/,
];

/** Imports from a lower layer that are forbidden all the same: “never knows” in ARCHITECTURE.md. */
const BLIND: readonly {
  readonly of: RegExp;
  readonly to: RegExp;
  readonly except: RegExp;
  /** Whether types may be imported, which leave nothing at run time. */
  readonly types: boolean;
  readonly why: string;
}[] = [
  {
    of: /^resp\/transport\//,
    to: /^resp\/(decoding\/)?[^/]+$/,
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
    except: /^resp\/connection\/(command|server_errors)\.ts$/,
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

/** Every violation, as a sentence with its place; none for a project in order. */
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
  if (specifier === undefined) return { why: "its target is unknown" };
  if (specifier.startsWith("node:") || specifier === "bun") {
    return mayUseBuiltIns ? {} : { why: "a runtime's built-in, in a place for all of them" };
  }
  if (!specifier.startsWith("./") && !specifier.startsWith("../")) {
    return { why: "published files import no package" };
  }
  const target = resolvePath(path, specifier);
  if (target === undefined || !sources.has(target)) return { why: "that is no published file" };
  return { target, ...judgeLayers(path, target, one.typeOnly) };
}

function judgeLayers(path: string, target: string, typeOnly: boolean): Verdict {
  const [from, to] = [layerOf(path), layerOf(target)];
  if (to.number > from.number) return { why: `layer ${to.number} lies above layer ${from.number}` };
  const top = from.number === TOP && to.number === TOP;
  if (to.number === from.number && to.folder !== from.folder && !top) {
    return { why: `siblings on layer ${from.number} do not import each other` };
  }
  for (const { of, to, except, types, why } of BLIND) {
    if (of.test(path) && to.test(target) && !except.test(target) && !(types && typeOnly)) return { why };
  }
  const why = judgeModules(path, target);
  return why === undefined ? {} : { why };
}

function layerOf(path: string): Layer {
  // The last one fits everything.
  return LAYERS.find(({ folder }) => path.startsWith(folder)) ?? LAYERS[LAYERS.length - 1];
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
