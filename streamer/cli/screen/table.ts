// Streams, groups and consumers as a table that fits a width. Pure: figures in, lines out.

import { escapeControls } from "../../../resp/errors.ts";
import type { StreamConsumerInfo, StreamGroupInfo } from "../../manager/options.ts";
import { count, duration, rate } from "./figures.ts";
import type { Rates, ShardPlace, StreamRow } from "./rates.ts";

/** How the table is drawn. */
export interface TableOptions {
  /** The width in characters. */
  readonly columns: number;
  readonly color: boolean;
  /** Rates between samples, if there were several. */
  readonly rates?: Rates | undefined;
}

/** A style of text. */
export type Style = "plain" | "bold" | "dim" | "green" | "yellow" | "red";

interface Cell {
  readonly text: string;
  readonly style?: Style;
}

interface Line {
  /** Lines before the name that connect it with its stream or group. */
  readonly tree: string;
  readonly name: Cell;
  readonly cells: Readonly<Partial<Record<ColumnName, Cell>>>;
}

type ColumnName = "entries" | "rate" | "trend" | "lag" | "pending" | "oldest" | "idle" | "inactive" | "node";

/** The columns. If the table is too wide, those of `WHEN_NARROW` are dropped in their order. */
const COLUMNS: readonly (readonly [ColumnName, string])[] = [
  ["entries", "entries"],
  ["rate", "msgs/s"],
  ["trend", ""],
  ["lag", "lag"],
  ["pending", "pending"],
  ["oldest", "oldest"],
  ["idle", "idle"],
  ["inactive", "inactive"],
  ["node", "node"],
];
const WHEN_NARROW: readonly ColumnName[] = ["trend", "inactive", "idle", "oldest", "rate", "entries", "node"];
const GAP = 2;
const NAME_LEAST = 12;

/** Formats streams, groups and consumers as lines. */
export function infoTable(rows: readonly StreamRow[], options: TableOptions): string[] {
  if (rows.length === 0) return ["No streams"];
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

function linesOf({ name, info, places = [] }: StreamRow, rates: Rates | undefined): Line[] {
  const speed = rates?.of(name);
  const trend = rates?.trend(name);
  const plain = places.find(({ shard }) => shard === undefined);
  const stream: Line = {
    tree: "",
    name: { text: escapeControls(name), style: "bold" },
    cells: {
      entries: { text: count(info.length) },
      ...(rates === undefined
        ? {}
        : { rate: { text: speed === undefined ? "" : rate(speed), style: speed ? "green" : "dim" } }),
      ...(trend === undefined ? {} : { trend: { text: trend, style: "green" } }),
      ...(plain === undefined ? {} : { node: { text: escapeControls(plain.node) } }),
    },
  };
  const shards = places.filter(({ shard }) => shard !== undefined);
  const shardLines = shards.map((place, i) => placeLine(place, i === shards.length - 1 && info.groups.length === 0));
  const groups = info.groups.flatMap((group, i) => groupLines(group, i === info.groups.length - 1));
  return [stream, ...shardLines, ...groups];
}

function placeLine({ shard, length, node }: ShardPlace, last: boolean): Line {
  return {
    tree: last ? "└ " : "├ ",
    name: { text: `shard ${shard}`, style: "dim" },
    cells: { entries: { text: count(length) }, node: { text: escapeControls(node) } },
  };
}

function groupLines(group: StreamGroupInfo, last: boolean): Line[] {
  const { lag, pending, oldestPendingAge: age, consumers } = group;
  const line: Line = {
    tree: last ? "└ " : "├ ",
    name: { text: escapeControls(group.name) },
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
    name: { text: escapeControls(name) },
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

/** Shortens text in its middle, since names often differ at their ends. */
export function shortened(text: string, width: number): string {
  if (text.length <= width) return text;
  if (width <= 1) return "…".slice(0, Math.max(0, width));
  const front = Math.ceil((width - 1) / 2);
  return `${text.slice(0, front)}…${text.slice(text.length - (width - 1 - front))}`;
}

const CODES: Readonly<Record<Style, number>> = { plain: 0, bold: 1, dim: 2, red: 31, green: 32, yellow: 33 };

/** Text in a style, for a terminal. */
export function painted(text: string, style: Style): string {
  return style === "plain" || text === "" ? text : `\x1b[${CODES[style]}m${text}\x1b[0m`;
}
