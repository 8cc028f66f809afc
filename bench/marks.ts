// The marks: goals for the library, and whether it reaches them.

import { type Contender, CONTENDERS, type Figure, nameOf, OURS } from "./plan.ts";
import type { Series } from "./rounds.ts";
import { type Runtime, RUNTIMES } from "./runtimes.ts";
import { ratio, type Summary } from "./statistics.ts";

/** A mark on one runtime, compared with the measurement. */
export interface Verdict {
  readonly name: string;
  readonly runtime: Runtime;
  readonly what: string;
  readonly value: number;
  /** The current goal. */
  readonly first?: Bound;
  /** The final goal. */
  readonly full?: Bound;
}

/** A bound, and whether it is reached. */
export interface Bound {
  readonly text: string;
  readonly reached: boolean;
}

type Limit = number | Readonly<Record<Runtime, number>>;

/** A goal for one of our forms. */
interface Mark {
  readonly figure: Figure;
  readonly form: string;
  readonly what: string;
  readonly value: (summary: Summary) => number | null;
  /** Whether higher is better. */
  readonly rising: boolean;
  readonly first?: Limit;
  readonly full?: Limit;
}

/** A goal relative to all forms of a peer, or to one of them, in the same figure. */
interface PeerMark {
  readonly figure: Figure;
  readonly form: string;
  readonly peer: string;
  readonly peerForm?: string;
  readonly first?: Limit;
  readonly full?: Limit;
}

const asked = (first?: Limit, full?: Limit): Pick<Mark, "first" | "full"> => ({
  ...(first === undefined ? {} : { first }),
  ...(full === undefined ? {} : { full }),
});

const ofLimit = (figure: Figure, form: string, first?: Limit, full?: Limit): Mark => ({
  figure,
  form,
  what: "of the limit",
  value: (summary) => summary.ofLimit,
  rising: true,
  ...asked(first, full),
});

const clientUs = (figure: Figure, form: string, first?: Limit, full?: Limit): Mark => ({
  figure,
  form,
  what: "client CPU µs",
  value: (summary) => summary.clientUs,
  rising: false,
  ...asked(first, full),
});

const decoded = (form: string): Mark[] => [
  { figure: "decode", form, what: "M messages/s", value: (summary) => summary.rate / 1e6, rising: true, first: 2 },
  {
    figure: "decode",
    form,
    what: "CPU ns",
    value: ({ clientUs }) => clientUs && clientUs * 1_000,
    rising: false,
    full: 110,
  },
];

const MARKS: readonly Mark[] = [
  ofLimit("produce", "not awaited", 0.85, { node: 1, deno: 0.95, bun: 1 }),
  ofLimit("produce", "awaited", 0.75, { node: 0.95, deno: 0.85, bun: 0.95 }),
  clientUs("produce", "not awaited", 1.7, { node: 0.9, deno: 1, bun: 0.75 }),
  clientUs("produce", "awaited", 1.7, { node: 1.5, deno: 1.7, bun: 1.05 }),
  ofLimit("consume", "batches", 0.75, 0.9),
  ofLimit("consume", "one by one", 0.6, 0.75),
  ofLimit("consume", "default page", undefined, 0.9),
  clientUs("consume", "batches", undefined, { node: 0.28, deno: 0.28, bun: 0.32 }),
  clientUs("consume", "one by one", undefined, { node: 0.45, deno: 0.42, bun: 0.45 }),
  ofLimit("group", "pages of 100", 0.85, { node: 0.95, deno: 0.9, bun: 0.95 }),
  clientUs("group", "pages of 100", 2),
  // At 10 µs a message, one core of the client relays 100,000 per second.
  clientUs("relay", "process", 10),
  ...decoded("values"),
  ...decoded("pages"),
  {
    figure: "latency",
    form: "end to end",
    what: "p50 µs",
    value: (summary) => summary.p50,
    rising: false,
    full: { node: 280, deno: 400, bun: 225 },
  },
  {
    figure: "memory",
    form: "respects ready",
    what: "resident MiB",
    value: (summary) => summary.residentMiB,
    rising: false,
    first: 250,
  },
  {
    figure: "memory",
    form: "respects ready",
    what: "MiB over base",
    value: (summary) => summary.growthMiB,
    rising: false,
    full: 15,
  },
];

const PEER_MARKS: readonly PeerMark[] = [
  { figure: "produce", form: "over 8 shards", peer: OURS, peerForm: "not awaited", full: 0.85 },
  { figure: "produce", form: "not awaited", peer: "node-redis", first: 4, full: { node: 12, deno: 4, bun: 4 } },
  { figure: "produce", form: "not awaited", peer: "ioredis", first: 4, full: 4 },
  { figure: "produce", form: "not awaited", peer: "Bun's own", first: 1.2, full: 1.6 },
  { figure: "consume", form: "batches", peer: "node-redis", first: 2, full: 2.5 },
  { figure: "consume", form: "batches", peer: "ioredis", first: 2, full: 2.5 },
  { figure: "consume", form: "batches", peer: "Bun's own", first: 1.1, full: 1.6 },
  { figure: "group", form: "pages of 100", peer: "node-redis", first: 2, full: 3 },
  { figure: "group", form: "pages of 100", peer: "ioredis", first: 2 },
  { figure: "group", form: "pages of 100", peer: "Bun's own", full: 1.3 },
];

/** Compares every mark with its samples, if there are any. */
export function judge(series: readonly Series[], summaries: readonly Summary[]): Verdict[] {
  const own = MARKS.flatMap((mark) =>
    RUNTIMES.flatMap((runtime) => {
      const name = ourName(mark.figure, mark.form, runtime);
      const summary = summaries.find((summary) => summary.name === name);
      const value = summary ? mark.value(summary) : null;
      return value === null ? [] : [verdict({ name, runtime, what: mark.what, value }, mark)];
    })
  );
  const against = PEER_MARKS.flatMap((mark) =>
    CONTENDERS.filter((peer) => isHeldAgainst(peer, mark)).flatMap((peer) =>
      RUNTIMES.flatMap((runtime) => {
        const name = ourName(mark.figure, mark.form, runtime);
        const ours = series.find((entry) => entry.name === name);
        const theirs = series.find((entry) => entry.name === nameOf(peer, runtime));
        const value = ours && theirs ? ratio(ours, theirs) : null;
        const what = `× ${peer.client}, ${peer.form}`;
        return value === null ? [] : [verdict({ name, runtime, what, value }, { ...mark, rising: true })];
      })
    )
  );
  return [...own, ...against];
}

function isHeldAgainst(
  { figure, client, form }: Contender,
  { figure: same, peer, peerForm = form }: PeerMark,
): boolean {
  return figure === same && client === peer && form === peerForm;
}

function ourName(figure: Figure, form: string, runtime: Runtime): string {
  return nameOf({ figure, client: OURS, form, script: "", job: "" }, runtime);
}

function verdict(
  measured: Pick<Verdict, "name" | "runtime" | "what" | "value">,
  { rising, first, full }: Pick<Mark, "rising" | "first" | "full">,
): Verdict {
  const { runtime, value } = measured;
  const bound = (limit: Limit): Bound => {
    const number = typeof limit === "number" ? limit : limit[runtime];
    return { text: `${rising ? "≥" : "≤"} ${number}`, reached: rising ? value >= number : value <= number };
  };
  return {
    ...measured,
    ...(first === undefined ? {} : { first: bound(first) }),
    ...(full === undefined ? {} : { full: bound(full) }),
  };
}
