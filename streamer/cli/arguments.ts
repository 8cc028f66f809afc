// What can be written on the command line, and what was: options by their names, checked one by one. It must not know what any
// of them does.

import { UsageError } from "./failure.ts";
import type { ParsedOption, System } from "./system.ts";

/** One option. */
export interface OptionSpec {
  /** Its name, without dashes. */
  readonly name: string;
  /** One letter for it. */
  readonly short?: string;
  /** What stands behind it, such as `FILE`; a switch has nothing. */
  readonly value?: string;
  /** What is taken where nothing stands behind it, which then is no mistake. */
  readonly unsaid?: string;
  /** Whether it may be given several times. */
  readonly multiple?: boolean;
  /** What it is for. */
  readonly help: string;
}

/** One command. */
export interface CommandSpec {
  readonly name: string;
  /** In a few words. */
  readonly summary: string;
  /** How it is written, without the program's name. */
  readonly synopsis: string;
  /** What it does, in a paragraph or two. */
  readonly about: string;
  /** How many words it takes beside options. */
  readonly words: { readonly least: number; readonly most: number };
  readonly options: readonly OptionSpec[];
  /** Options that several commands have. */
  readonly shared: readonly OptionGroup[];
  /** Whole lines of the command line, each with what it does. */
  readonly examples: readonly (readonly [string, string])[];
}

/** Options with a heading. */
export interface OptionGroup {
  readonly title: string;
  readonly options: readonly OptionSpec[];
}

/** What was given. */
export class Given {
  readonly words: readonly string[];
  readonly #values: Readonly<Record<string, unknown>>;

  constructor(values: Readonly<Record<string, unknown>>, words: readonly string[]) {
    this.#values = values;
    this.words = words;
  }

  flag(name: string): boolean {
    return this.#values[name] === true;
  }

  text(name: string): string | undefined {
    const value = this.#values[name];
    return typeof value === "string" ? value : undefined;
  }

  list(name: string): readonly string[] {
    const value = this.#values[name];
    return Array.isArray(value) ? value.map(String) : [];
  }

  /** One of a few words. */
  choice<T extends string>(name: string, allowed: readonly T[]): T | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const found = allowed.find((word) => word === text);
    if (found === undefined) throw cannotUse(name, allowed.join(" or "), text);
    return found;
  }

  /** A whole number within its bounds. */
  integer(name: string, { min, max = Number.MAX_SAFE_INTEGER }: { readonly min: number; readonly max?: number }):
    | number
    | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
    if (value >= min && value <= max) return value;
    const bounds = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
    throw cannotUse(name, `a whole number ${bounds}`, text);
  }

  /** A number of seconds, as milliseconds. */
  seconds(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = /^\d{1,7}(\.\d{1,3})?$/.test(text) ? Number(text) : 0;
    if (value > 0) return value * 1000;
    throw cannotUse(name, "a number of seconds above 0", text);
  }

  /** A number of bytes, with k, M or G behind it or not. */
  bytes(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const match = /^(\d{1,12})([kMG]?)$/.exec(text);
    const value = match === null ? 0 : Number(match[1]) * FACTORS[match[2]];
    if (value >= 1 && value <= MOST_BYTES) return value;
    throw cannotUse(name, `a number of bytes from 1 to ${MOST_BYTES}, such as 64M`, text);
  }
}

const FACTORS: Readonly<Record<string, number>> = { "": 1, k: 1024, M: 1024 ** 2, G: 1024 ** 3 };
/** What a Redis value may have. */
const MOST_BYTES = 512 * 1024 * 1024;

/** The mistake of an option's value. */
export function cannotUse(name: string, allowed: string, value: string): UsageError {
  return new UsageError(`Cannot use --${name} as it must be ${allowed}: current value is ${JSON.stringify(value)}`);
}

/** Takes the words behind a command's name apart. */
export function readArguments(system: System, spec: CommandSpec, words: readonly string[]): Given {
  const options = [...spec.options, ...spec.shared.flatMap((group) => group.options)];
  const parsed = parseWords(system, fillIn(words, options), options);
  const given = new Given(parsed.values, parsed.positionals);
  if (given.flag("help")) return given;
  const { least, most } = spec.words;
  if (parsed.positionals.length < least) throw new UsageError(`Something is missing: ${spec.synopsis}`);
  if (parsed.positionals.length > most) {
    const many = most === 0 ? "no words" : most === 1 ? "one word" : `${most} words`;
    throw new UsageError(`Cannot take ${parsed.positionals.length} words as there can be ${many}: ${spec.synopsis}`);
  }
  return given;
}

/** Puts in what is meant where an option is written without its value. */
function fillIn(words: readonly string[], options: readonly OptionSpec[]): string[] {
  const end = words.indexOf("--");
  return words.map((word, at) => {
    const option = options.find(({ name, unsaid }) => unsaid !== undefined && word === `--${name}`);
    if (option === undefined || (end >= 0 && at > end)) return word;
    return /^\d+(\.\d+)?$/.test(words[at + 1] ?? "") ? word : `${word}=${option.unsaid}`;
  });
}

function parseWords(system: System, words: readonly string[], options: readonly OptionSpec[]) {
  const table = Object.fromEntries(options.map(({ name, short, value, multiple }): [string, ParsedOption] => [name, {
    type: value === undefined ? "boolean" : "string",
    ...(short === undefined ? {} : { short }),
    ...(multiple === undefined ? {} : { multiple }),
  }]));
  try {
    return system.parse(words, table);
  } catch (cause) {
    throw new UsageError(mistake(words, options) ?? firstSentence(cause), { cause });
  }
}

/** An option that there is not, by our own words: those of the runtimes differ. */
function mistake(words: readonly string[], options: readonly OptionSpec[]): string | undefined {
  for (const word of words) {
    if (word === "--") return undefined;
    const name = /^--([^=]+)/.exec(word)?.[1];
    if (name === undefined || options.some((option) => option.name === name)) continue;
    if (name === "password") return "There is no --password, which others could see: use REDIS_URL or --password-file";
    const near = nearest(name, options.map((option) => option.name));
    return `There is no option --${name}${near === undefined ? "" : `; is it --${near}?`}`;
  }
  return undefined;
}

function firstSentence(cause: unknown): string {
  const [sentence] = String(cause instanceof Error ? cause.message : cause).split(". ");
  return sentence;
}

/** The word of the list that is meant, if one is near enough. */
export function nearest(word: string, list: readonly string[]): string | undefined {
  const ranked = list.map((one) => ({ one, away: distance(word, one) })).sort((a, b) => a.away - b.away);
  const [best] = ranked;
  return best !== undefined && best.away <= Math.min(2, Math.ceil(word.length / 3)) ? best.one : undefined;
}

/** How many letters must be put in, left out or changed. Both words are short. */
function distance(one: string, other: string): number {
  const from = one.slice(0, 64);
  let row = Array.from({ length: other.length + 1 }, (_, i) => i);
  for (let i = 0; i < from.length; i++) {
    const next = [i + 1];
    for (let j = 0; j < other.length; j++) {
      next.push(Math.min(row[j] + (from[i] === other[j] ? 0 : 1), row[j + 1] + 1, next[j] + 1));
    }
    row = next;
  }
  return row[other.length];
}
