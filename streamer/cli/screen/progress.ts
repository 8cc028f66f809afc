// Progress on stderr: a line that is redrawn on a terminal, notes, and a summary.

import { clock, count, duration, plural, rate, size } from "./figures.ts";
import type { Screen } from "../system.ts";
import { writeLine } from "./terminal.ts";

/** The figures of a running command. */
export interface ProgressCounts {
  count: number;
  bytes: number;
  /** The count at the end; `undefined` if unknown. */
  total?: number | undefined;
  /** Bytes of the input that have been read, and all of its bytes. */
  read?: number;
  size?: number | undefined;
}

/** Options of {@linkcode Progress}. */
export interface ProgressOptions {
  readonly screen: Screen;
  /** Whether progress is printed, not only notes and the summary. */
  readonly shown: boolean;
  /** Whether nothing is printed. */
  readonly quiet: boolean;
  /** The noun for the count: `message`, `entry`. */
  readonly noun: string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** Milliseconds between redraws; and between lines if the output is not a terminal. */
const REDRAW = 200;
const LINE = 2_000;
/** Samples from which the rate is computed. */
const SAMPLES = 15;
const BAR = 20;

/** Prints progress until it is stopped. */
export class Progress implements Disposable {
  readonly counts: ProgressCounts = { count: 0, bytes: 0 };
  readonly #options: ProgressOptions;
  readonly #started: number;
  #samples: { readonly at: number; readonly count: number }[] = [];
  #timer: ReturnType<typeof setInterval> | undefined;
  #drawn = false;

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#started = options.now();
    this.#sample();
    if (!options.shown || options.quiet) return;
    this.#timer = setInterval(() => this.#draw(), options.screen.isTerminal ? REDRAW : LINE);
  }

  /** Prints a sentence, unless it is quiet. */
  note(text: string): void {
    if (this.#options.quiet) return;
    this.#erase();
    writeLine(this.#options.screen, text);
  }

  /** Stops, and prints a summary: `Dumped 12 entries, 1.2 kB in 0.1 s (1,200/s)`, then further remarks. */
  end(verb: string, more: readonly string[] = []): void {
    this[Symbol.dispose]();
    if (this.#options.quiet) return;
    const { count: done, bytes } = this.counts;
    const took = Math.max(1, this.#options.now() - this.#started);
    const speed = done > 0 ? ` (${rate(done / took * 1000)}/s)` : "";
    const figures = `${plural(done, this.#options.noun)}, ${size(bytes)} in ${duration(took)}${speed}`;
    writeLine(this.#options.screen, [`${verb} ${figures}`, ...more].join("; "));
  }

  /** Stops. A second call does nothing. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#erase();
  }

  #draw(): void {
    this.#sample();
    const { screen, now } = this.#options;
    const text = progressText(this.counts, {
      noun: this.#options.noun,
      speed: this.#speed(),
      took: now() - this.#started,
    });
    if (!screen.isTerminal) return screen.write(`${text}\n`);
    screen.write(`\r${text.slice(0, Math.max(10, screen.columns - 1))}\x1b[K`);
    this.#drawn = true;
  }

  #sample(): void {
    this.#samples.push({ at: this.#options.now(), count: this.counts.count });
    if (this.#samples.length > SAMPLES) this.#samples.splice(0, 1);
  }

  #speed(): number {
    const [first] = this.#samples;
    const last = this.#samples[this.#samples.length - 1];
    return last.at > first.at ? (last.count - first.count) / (last.at - first.at) * 1000 : 0;
  }

  #erase(): void {
    if (this.#drawn) this.#options.screen.write("\r\x1b[K");
    this.#drawn = false;
  }
}

/** The text of the progress line. */
export function progressText(
  counts: ProgressCounts,
  { noun, speed, took }: { readonly noun: string; readonly speed: number; readonly took: number },
): string {
  const parts = [plural(counts.count, noun), size(counts.bytes), `${rate(speed)}/s`];
  const share = shareOf(counts);
  if (share !== undefined) {
    const full = Math.round(share * BAR);
    parts.push(`${"█".repeat(full)}${"░".repeat(BAR - full)} ${count(share * 100)} %`);
    if (share > 0) parts.push(`${clock(took / share * (1 - share))} left`);
  } else {
    parts.push(clock(took));
  }
  return parts.join("  ");
}

/** The finished share, from 0 to 1; `undefined` if unknown. */
function shareOf({ count: done, total, read, size: all }: ProgressCounts): number | undefined {
  if (total !== undefined && total > 0) return Math.min(1, done / total);
  return read !== undefined && all !== undefined && all > 0 ? Math.min(1, read / all) : undefined;
}
