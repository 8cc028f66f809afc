// Summarises samples: medians, and ratios that are computed within a round first.

import type { Sample } from "./contenders/contend.ts";
import { type Figure, FIGURES } from "./plan.ts";
import type { Series } from "./rounds.ts";

/** The medians of one contender on one runtime. */
export interface Summary {
  readonly name: string;
  readonly figure: Figure;
  /** Rounds with a sample. */
  readonly rounds: number;
  /** Messages per second. */
  readonly rate: number;
  /** The share of the yardstick of the same round; null without one. */
  readonly ofLimit: number | null;
  readonly clientUs: number | null;
  readonly serverUs: number | null;
  /** In microseconds. */
  readonly p50: number | null;
  readonly p99: number | null;
  readonly residentMiB: number | null;
  readonly growthMiB: number | null;
  /** Megabytes of files per second. */
  readonly megabytes: number | null;
}

/** Summarises each series that has a sample. */
export function summarise(all: readonly Series[]): Summary[] {
  return all.flatMap((series) => {
    const { name, samples } = series;
    const figure = FIGURES.find((figure) => name.startsWith(figure + "/"));
    const rate = median(samples.map(rateOf));
    if (figure === undefined || rate === null) return [];
    const of = (read: (sample: Sample) => number | null | undefined) =>
      median(samples.map((sample) => sample && (read(sample) ?? null)));
    const limit = all.find((other) => other.name === series.limit);
    return [{
      name,
      figure,
      rounds: samples.filter((sample) => sample !== null).length,
      rate,
      // For latency, a ratio of rates has no meaning.
      ofLimit: limit && figure !== "latency" ? ratio(series, limit) : null,
      clientUs: of((sample) => sample.clientUs),
      serverUs: of((sample) => sample.serverUs),
      p50: of((sample) => sample.p50),
      p99: of((sample) => sample.p99),
      residentMiB: of((sample) => sample.residentMiB),
      growthMiB: of((sample) => sample.growthMiB),
      megabytes: of(({ bytes, seconds }) => bytes === undefined ? null : bytes / seconds / 1e6),
    }];
  });
}

/** The median over the rounds of the ratio of two rates in the same round. */
export function ratio(one: Series, other: Series): number | null {
  return median(one.samples.map((sample, round) => {
    const mine = rateOf(sample), theirs = rateOf(other.samples[round]);
    return mine === null || theirs === null ? null : mine / theirs;
  }));
}

/** The median of the values that are not null; null without any. */
export function median(values: readonly (number | null)[]): number | null {
  const sorted = values.filter((value) => value !== null).sort((a, b) => a - b);
  if (sorted.length === 0) return null;
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function rateOf(sample: Sample | null | undefined): number | null {
  return sample ? sample.messages / sample.seconds : null;
}
