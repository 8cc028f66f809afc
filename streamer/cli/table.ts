// Streams, groups and consumers as a table of lines that fit a width. Pure: figures in, lines out. It must not know where it is
// shown.

import type { StreamConsumerInfo, StreamGroupInfo } from "../manager/options.ts";
import { count, duration, rate } from "./figures.ts";
import type { Rates, StreamRow } from "./rates.ts";

/** How it is drawn. */
export interface TableOptions {
  /** How wide it may be. */
  readonly columns: number;
  readonly color: boolean;
  /** What has come between looks, where there were several. */
  readonly rates?: Rates | undefined;
}

type Style = "plain" | "bold" | "dim" | "green" | "yellow" | "red";

interface Cell {
  readonly text: string;
  readonly style?: Style;
}

interface Line {
  /** What stands in front of the name, to show whose it is. */
  readonly tree: string;
  readonly name: Cell;
  readonly cells: Readonly<Partial<Record<ColumnName, Cell>>>;
}

type ColumnName = "entries" | "rate" | "trend" | "lag" | "pending" | "oldest" | "idle" | "inactive";

/** The first of `WHEN_NARROW` is left away first. */
const COLUMNS: readonly (readonly [ColumnName, string])[] = [
  ["entries", "entries"],
  ["rate", "msgs/s"],
  ["trend", ""],
  ["lag", "lag"],
  ["pending", "pending"],
  ["oldest", "oldest"],
  ["idle", "idle"],
  ["inactive", "inactive"],
];
const WHEN_NARROW: readonly ColumnName[] = ["trend", "inactive", "idle", "oldest", "rate", "entries"];
const GAP = 2;
const NAME_LEAST = 12;

/** The table. */
export function infoTable(rows: readonly StreamRow[], options: TableOptions): string[] {
  if (rows.length === 0) return ["There are no streams"];
  const lines = rows.flatMap((row) => linesOf(row, options.rates));
  const titles = new Map(COLUMNS);
  let shown = COLUMNS.map(([name]) => name).filter((name) => lines.some(({ cells }) => cells[name] !== undefined));
  const widthOf = (name: ColumnName) =>
    Math.max(titles.get(name)?.length ?? 0, ...lines.map(({ cells }) => cells[name]?.text.length ?? 0));
  const used = () => shown.reduce((sum, name) => sum + GAP + widthOf(name), 0);
  for (const name of WHEN_NARROW) {
    if (used() + NAME_LEAST <= options.columns) break;
    shown = shown.filter((one) => one !== name);
  }
  const longest = Math.max("stream".length, ...lines.map(({ tree, name }) => tree.length + name.text.length));
  const nameWidth = Math.max(1, Math.min(longest, options.columns - used()));
  const paint = (text: string, style: Style = "plain") => options.color ? painted(text, style) : text;
  const row = ({ tree, name, cells }: Line) => {
    const label = shortened(name.text, nameWidth - tree.length);
    const head = paint(tree, "dim") + paint(label, name.style) +
      " ".repeat(Math.max(0, nameWidth - tree.length - label.length));
    const rest = shown.map((column) => {
      const { text, style } = cells[column] ?? { text: "" };
      return " ".repeat(GAP + widthOf(column) - text.length) + paint(text, style);
    });
    return (head + rest.join("")).trimEnd();
  };
  const title: Line = {
    tree: "",
    name: { text: "stream", style: "dim" },
    cells: Object.fromEntries(COLUMNS.map(([name, text]) => [name, { text, style: "dim" }])),
  };
  return [title, ...lines].map(row);
}

function linesOf({ name, info }: StreamRow, rates: Rates | undefined): Line[] {
  const speed = rates?.of(name);
  const trend = rates?.trend(name);
  const stream: Line = {
    tree: "",
    name: { text: name, style: "bold" },
    cells: {
      entries: { text: count(info.length) },
      ...(rates === undefined
        ? {}
        : { rate: { text: speed === undefined ? "" : rate(speed), style: speed ? "green" : "dim" } }),
      ...(trend === undefined ? {} : { trend: { text: trend, style: "green" } }),
    },
  };
  const groups = info.groups.flatMap((group, i) => groupLines(group, i === info.groups.length - 1));
  return [stream, ...groups];
}

function groupLines(group: StreamGroupInfo, last: boolean): Line[] {
  const { lag, pending, oldestPendingAge: age, consumers } = group;
  const line: Line = {
    tree: last ? "└ " : "├ ",
    name: { text: group.name },
    cells: {
      lag: { text: lag === null ? "?" : count(lag), style: lag === null ? "dim" : lag > 0 ? "yellow" : "plain" },
      pending: { text: count(pending) },
      ...(age === null ? {} : { oldest: { text: duration(age), style: ageStyle(age) } }),
    },
  };
  const stem = last ? "  " : "│ ";
  return [line, ...consumers.map((one, i) => consumerLine(one, stem, i === consumers.length - 1))];
}

function consumerLine({ name, pending, idle, inactive }: StreamConsumerInfo, stem: string, last: boolean): Line {
  return {
    tree: `${stem}${last ? "└ " : "├ "}`,
    name: { text: name },
    cells: {
      pending: { text: count(pending) },
      idle: { text: duration(idle), style: "dim" },
      ...(inactive === null ? {} : { inactive: { text: duration(inactive), style: "dim" } }),
    },
  };
}

const LATE = 60_000;
const VERY_LATE = 600_000;

function ageStyle(age: number): Style {
  return age >= VERY_LATE ? "red" : age >= LATE ? "yellow" : "plain";
}

/** Cut in the middle: names differ at their ends, too. */
function shortened(text: string, width: number): string {
  // deno-lint-ignore no-control-regex -- a server's names must not steer the terminal
  const safe = text.replace(/[\u0000-\u001f\u007f-\u009f]/g, "\ufffd");
  if (safe.length <= width) return safe;
  if (width <= 1) return "…".slice(0, Math.max(0, width));
  const front = Math.ceil((width - 1) / 2);
  return `${safe.slice(0, front)}…${safe.slice(safe.length - (width - 1 - front))}`;
}

const CODES: Readonly<Record<Style, number>> = { plain: 0, bold: 1, dim: 2, red: 31, green: 32, yellow: 33 };

function painted(text: string, style: Style): string {
  return style === "plain" || text === "" ? text : `\x1b[${CODES[style]}m${text}\x1b[0m`;
}
