// The nodes of a cluster, or the one server, as a table. Pure: figures in, lines out.

import { escapeControls } from "../../../resp/errors.ts";
import { count } from "./figures.ts";
import { painted, shortened } from "./table.ts";

/** A node and its figures. */
export interface NodeRow {
  readonly name: string;
  readonly slots: number;
  readonly connections: number;
}

const TITLES = ["slots", "connections"] as const;
const GAP = 2;

/** Formats nodes as lines. */
export function nodeTable(
  nodes: readonly NodeRow[],
  { columns, color }: { readonly columns: number; readonly color: boolean },
): string[] {
  const cells = nodes.map(({ slots, connections }) => [count(slots), count(connections)]);
  const widths = TITLES.map((title, at) => Math.max(title.length, ...cells.map((row) => row[at].length)));
  const names = nodes.map(({ name }) => escapeControls(name));
  const used = widths.reduce((sum, width) => sum + GAP + width, 0);
  const nameWidth = Math.max(
    1,
    Math.min(Math.max("node".length, ...names.map(({ length }) => length)), columns - used),
  );
  const line = (name: string, row: readonly string[]) =>
    shortened(name, nameWidth).padEnd(nameWidth) + row.map((text, at) => text.padStart(GAP + widths[at])).join("");
  const title = line("node", TITLES);
  return [color ? painted(title, "dim") : title, ...names.map((name, at) => line(name, cells[at]))];
}
