// Reads the tables of Markdown pages.

/** A table, with the heading above it. */
export interface Table {
  readonly heading: string;
  /** Each row by the names of the columns, without the Markdown's escapes. */
  readonly rows: readonly ReadonlyMap<string, string>[];
}

/** The tables of a page, in order. */
export function tablesOf(page: string): Table[] {
  const tables: Table[] = [];
  let heading = "";
  let columns: readonly string[] | undefined;
  let rows: ReadonlyMap<string, string>[] = [];
  const close = () => {
    if (columns !== undefined) tables.push({ heading, rows });
    columns = undefined;
    rows = [];
  };
  for (const line of page.split("\n")) {
    const cells = cellsOf(line);
    if (cells === undefined) {
      close();
      heading = /^#+\s+(.*)$/.exec(line)?.[1] ?? heading;
    } else if (columns === undefined) {
      columns = cells;
    } else if (!cells.every((cell) => /^:?-+:?$/.test(cell))) {
      rows.push(new Map(columns.map((column, i) => [column, cells[i] ?? ""])));
    }
  }
  close();
  return tables;
}

/** The code spans of a cell. */
export function codeIn(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code);
}

function cellsOf(line: string): string[] | undefined {
  if (!line.trimStart().startsWith("|")) return undefined;
  const inner = line.trim().replace(/^\||\|$/g, "");
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}
