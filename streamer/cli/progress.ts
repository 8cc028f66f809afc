// What is told on stderr while something takes a while: one line that is drawn again on a terminal, notes beside it, and a
// sentence at the end. It must not know what is counted.

import { clock, count, duration, plural, rate, size } from "./figures.ts";
import type { Screen } from "./system.ts";

/** What is counted. */
export interface Tally {
  count: number;
  bytes: number;
  /** How many there will be; `undefined` where nobody knows. */
  total?: number | undefined;
  /** How much of the input has been read, and how much there is, in bytes. */
  read?: number;
  size?: number | undefined;
}

/** How it is told. */
export interface ProgressOptions {
  readonly screen: Screen;
  /** Whether progress is shown, not only notes and the end. */
  readonly shown: boolean;
  /** Whether only mistakes are told. */
  readonly quiet: boolean;
  /** What is counted: `message`, `entry`. */
  readonly noun: string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** Five times a second; where every look is a line of its own, every two seconds. */
const REDRAW = 200;
const LINE = 2_000;
/** Looks over which the rate is reckoned. */
const LOOKS = 15;
const BAR = 20;

/** Shows a tally until it is stopped. */
export class Progress implements Disposable {
  readonly tally: Tally = { count: 0, bytes: 0 };
  readonly #options: ProgressOptions;
  readonly #started: number;
  #looks: { readonly at: number; readonly count: number }[] = [];
  #timer: ReturnType<typeof setInterval> | undefined;
  #drawn = false;

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#started = options.now();
    this.#look();
    if (!options.shown || options.quiet) return;
    this.#timer = setInterval(() => this.#draw(), options.screen.isTerminal ? REDRAW : LINE);
  }

  /** Says something beside it, unless nothing but mistakes is told. */
  note(text: string): void {
    if (this.#options.quiet) return;
    this.#erase();
    this.#options.screen.write(`${text}\n`);
  }

  /** Stops, and says how it went: `Dumped 12 entries, 1.2 kB in 0.1 s (1,200/s)`, and what else there is. */
  end(verb: string, more: readonly string[] = []): void {
    this[Symbol.dispose]();
    if (this.#options.quiet) return;
    const { count: done, bytes } = this.tally;
    const took = Math.max(1, this.#options.now() - this.#started);
    const speed = done > 0 ? ` (${rate(done / took * 1000)}/s)` : "";
    const figures = `${plural(done, this.#options.noun)}, ${size(bytes)} in ${duration(took)}${speed}`;
    this.#options.screen.write(`${[`${verb} ${figures}`, ...more].join("; ")}\n`);
  }

  /** Stops; a second time does nothing. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#erase();
  }

  #draw(): void {
    this.#look();
    const { screen, now } = this.#options;
    const text = progressText(this.tally, {
      noun: this.#options.noun,
      speed: this.#speed(),
      took: now() - this.#started,
    });
    if (!screen.isTerminal) return screen.write(`${text}\n`);
    screen.write(`\r${text.slice(0, Math.max(10, screen.columns - 1))}\x1b[K`);
    this.#drawn = true;
  }

  #look(): void {
    this.#looks.push({ at: this.#options.now(), count: this.tally.count });
    if (this.#looks.length > LOOKS) this.#looks.splice(0, 1);
  }

  #speed(): number {
    const [first] = this.#looks;
    const last = this.#looks[this.#looks.length - 1];
    return last.at > first.at ? (last.count - first.count) / (last.at - first.at) * 1000 : 0;
  }

  #erase(): void {
    if (this.#drawn) this.#options.screen.write("\r\x1b[K");
    this.#drawn = false;
  }
}

/** The line. */
export function progressText(
  tally: Tally,
  { noun, speed, took }: { readonly noun: string; readonly speed: number; readonly took: number },
): string {
  const parts = [plural(tally.count, noun), size(tally.bytes), `${rate(speed)}/s`];
  const share = shareOf(tally);
  if (share !== undefined) {
    const full = Math.round(share * BAR);
    parts.push(`${"█".repeat(full)}${"░".repeat(BAR - full)} ${count(share * 100)} %`);
    if (share > 0) parts.push(`${clock(took / share * (1 - share))} left`);
  } else {
    parts.push(clock(took));
  }
  return parts.join("  ");
}

/** How far it is, from 0 to 1; `undefined` where nobody knows. */
function shareOf({ count: done, total, read, size: all }: Tally): number | undefined {
  if (total !== undefined && total > 0) return Math.min(1, done / total);
  return read !== undefined && all !== undefined && all > 0 ? Math.min(1, read / all) : undefined;
}
