// Draws the chart of the README: throughput as a share of the server's own limit.

import { init } from "echarts";
import { type Contender, CONTENDERS, type Figure, nameOf, OURS } from "./plan.ts";
import { type Runtime, RUNTIMES } from "./runtimes.ts";
import type { Summary } from "./statistics.ts";

const PANELS: readonly { readonly figure: Figure; readonly title: string }[] = [
  { figure: "produce", title: "Produce: XADD, 1 = the server's limit" },
  { figure: "consume", title: "Consume: XREAD 1000, 1 = the server's limit" },
  { figure: "group", title: "Group: XREADGROUP and XACK, 1 = the server's limit" },
];
const COLOURS: Readonly<Record<Runtime, string>> = { deno: "#1a9c8c", bun: "#e0a458", node: "#5b7fbd" };
const WIDTH = 1_000, COLUMNS = 2, LABELS = 200, LEGEND = 40, TITLE = 50, ROW = 42, GAP = 30, BOTTOM = 40;
const PANEL_WIDTH = WIDTH / COLUMNS;

/** Draws the medians as an SVG document. */
export function drawChart(summaries: readonly Summary[]): string {
  const { panels, height } = placePanels(summaries);
  const chart = init(null, null, { renderer: "svg", ssr: true, width: WIDTH, height });
  chart.setOption(optionsOf(panels));
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg + "\n";
}

interface Panel {
  readonly title: string;
  readonly rows: readonly Row[];
  readonly left: number;
  readonly top: number;
}

/** The panels with rows, two in a line. */
function placePanels(summaries: readonly Summary[]): { readonly panels: readonly Panel[]; readonly height: number } {
  const measured = PANELS
    .map(({ figure, title }) => ({ title, rows: rowsOf(figure, summaries) }))
    .filter(({ rows }) => rows.length > 0);
  let height = LEGEND;
  const panels: Panel[] = [];
  for (let i = 0; i < measured.length; i += COLUMNS) {
    const line = measured.slice(i, i + COLUMNS);
    panels.push(...line.map((panel, column) => ({ ...panel, left: column * PANEL_WIDTH, top: height })));
    height += TITLE + ROW * Math.max(...line.map(({ rows }) => rows.length)) + BOTTOM;
  }
  return { panels, height };
}

function optionsOf(panels: readonly Panel[]) {
  // One scale for all panels, in quarters, including the limit.
  const shares = panels.flatMap(({ rows }) => rows.flatMap((row) => Object.values(row.shares)));
  const max = Math.ceil(Math.max(1, ...shares) * 4) / 4;
  return {
    animation: false,
    backgroundColor: "#ffffff",
    textStyle: { fontFamily: "sans-serif" },
    color: RUNTIMES.map((runtime) => COLOURS[runtime]),
    legend: { data: [...RUNTIMES], top: 10 },
    title: panels.map(({ title, left, top }) => ({
      text: title,
      left: left + 10,
      top,
      textStyle: { fontSize: 15 },
    })),
    grid: panels.map(({ rows, left, top }) => ({
      left: left + LABELS,
      width: PANEL_WIDTH - LABELS - GAP,
      top: top + TITLE,
      height: rows.length * ROW,
    })),
    xAxis: panels.map((_, i) => ({ type: "value" as const, gridIndex: i, min: 0, max, interval: 0.25 })),
    yAxis: panels.map(({ rows }, i) => ({
      type: "category" as const,
      gridIndex: i,
      inverse: true,
      axisTick: { show: false },
      data: rows.map(({ contender }) => ({
        value: `${contender.client}, ${contender.form}`,
        textStyle: { fontWeight: contender.client === OURS ? "bold" as const : "normal" as const },
      })),
    })),
    series: panels.flatMap(({ rows }, i) => RUNTIMES.map((runtime) => barsOf(rows, runtime, i))),
  };
}

/** The bars of a runtime in a panel. */
function barsOf(rows: readonly Row[], runtime: Runtime, panel: number) {
  return {
    type: "bar" as const,
    name: runtime,
    xAxisIndex: panel,
    yAxisIndex: panel,
    barMaxWidth: 10,
    data: rows.map(({ shares }) => shares[runtime] ?? "-"),
    markLine: {
      silent: true,
      symbol: "none",
      label: { show: false },
      lineStyle: { color: "#444444", type: "dashed" as const },
      data: [{ xAxis: 1 }],
    },
  };
}

interface Row {
  readonly contender: Contender;
  readonly shares: Partial<Record<Runtime, number>>;
}

function rowsOf(figure: Figure, summaries: readonly Summary[]): Row[] {
  return CONTENDERS.filter((contender) => contender.figure === figure).flatMap((contender) => {
    const shares: Partial<Record<Runtime, number>> = {};
    for (const runtime of RUNTIMES) {
      const share = summaries.find(({ name }) => name === nameOf(contender, runtime))?.ofLimit;
      if (share) shares[runtime] = Math.round(share * 100) / 100;
    }
    return Object.keys(shares).length === 0 ? [] : [{ contender, shares }];
  });
}
