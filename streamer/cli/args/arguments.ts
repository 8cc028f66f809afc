// Describes commands and their options, and parses and checks the arguments of a command.

import { UsageError } from "../failure.ts";
import type { ParsedOption, System } from "../system.ts";

/** One option. */
export interface OptionSpec {
  /** Its name, without dashes. */
  readonly name: string;
  /** Its one-letter form. */
  readonly short?: string;
  /** The placeholder of its value in the help, such as `FILE`. A flag has none. */
  readonly value?: string;
  /** The value of an option that is given without one. If this is left out, the option requires a value. */
  readonly implied?: string;
  /** Whether it may be repeated. */
  readonly multiple?: boolean;
  /** Its line in the help. */
  readonly help: string;
}

/** One command. */
export interface CommandSpec {
  readonly name: string;
  /** A short description. */
  readonly summary: string;
  /** The form of a call, without the program's name. */
  readonly synopsis: string;
  /** What it does, in a few paragraphs. */
  readonly about: string;
  /** The number of its arguments that are not options. */
  readonly positionals: { readonly least: number; readonly most: number };
  readonly options: readonly OptionSpec[];
  /** Options that several commands have in common. */
  readonly shared: readonly OptionGroup[];
  /** Whole command lines, each with a description. */
  readonly examples: readonly (readonly [string, string])[];
}

/** Options with a heading. */
export interface OptionGroup {
  readonly title: string;
  readonly options: readonly OptionSpec[];
}

/** The parsed options and arguments. */
export class Given {
  readonly positionals: readonly string[];
  readonly #values: Readonly<Record<string, unknown>>;

  constructor(values: Readonly<Record<string, unknown>>, positionals: readonly string[]) {
    this.#values = values;
    this.positionals = positionals;
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

  /** One of several fixed values. */
  choice<T extends string>(name: string, allowed: readonly T[]): T | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const found = allowed.find((one) => one === text);
    if (found !== undefined) return found;
    const near = nearest(text, allowed);
    throw new UsageError(`${ruleOf(name, oneOf(allowed), text)}${near === undefined ? "" : `. Did you mean ${near}?`}`);
  }

  /** A whole number within bounds. */
  integer(name: string, { min, max = Number.MAX_SAFE_INTEGER }: { readonly min: number; readonly max?: number }):
    | number
    | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
    if (value >= min && value <= max) return value;
    const bounds = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
    throw invalidValue(name, `a whole number ${bounds}`, text);
  }

  /** A number of seconds, as milliseconds. */
  seconds(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = /^\d{1,7}(\.\d{1,3})?$/.test(text) ? Number(text) : 0;
    if (value > 0) return value * 1000;
    throw invalidValue(name, "a number of seconds above 0", text);
  }

  /** A number of bytes, optionally with the suffix k, M or G. */
  bytes(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const match = /^(\d{1,12})([kMG]?)$/.exec(text);
    const value = match === null ? 0 : Number(match[1]) * FACTORS[match[2]];
    if (value >= 1 && value <= MAX_BYTES) return value;
    throw invalidValue(name, `a number of bytes from 1 to ${MAX_BYTES}, such as 64M`, text);
  }
}

const FACTORS: Readonly<Record<string, number>> = { "": 1, k: 1024, M: 1024 ** 2, G: 1024 ** 3 };
/** The largest value that Redis stores. */
const MAX_BYTES = 512 * 1024 * 1024;

/** The error for an invalid option value. */
export function invalidValue(name: string, rule: string, value: string): UsageError {
  return new UsageError(ruleOf(name, rule, value));
}

function ruleOf(name: string, rule: string, value: string): string {
  return `--${name} must be ${rule}, got ${JSON.stringify(value)}`;
}

/** Names as a list for people: `a, b or c`. */
function oneOf(names: readonly string[]): string {
  return [names.slice(0, -1).join(", "), ...names.slice(-1)].filter(Boolean).join(" or ");
}

/** Parses the arguments after a command's name. */
export function readArguments(system: System, spec: CommandSpec, args: readonly string[]): Given {
  const options = [...spec.options, ...spec.shared.flatMap((group) => group.options)];
  const parsed = parseArguments(system, fillIn(args, options), options);
  const given = new Given(parsed.values, parsed.positionals);
  if (given.flag("help")) return given;
  const { least, most } = spec.positionals;
  if (parsed.positionals.length < least) throw new UsageError(`Missing argument: ${spec.synopsis}`);
  if (parsed.positionals.length > most) throw new UsageError(`Too many arguments: ${spec.synopsis}`);
  return given;
}

/** Adds the implied value to options that are given without one. */
function fillIn(args: readonly string[], options: readonly OptionSpec[]): string[] {
  const end = args.indexOf("--");
  return args.map((arg, at) => {
    const option = options.find(({ name, implied }) => implied !== undefined && arg === `--${name}`);
    if (option === undefined || (end >= 0 && at > end)) return arg;
    return /^\d+(\.\d+)?$/.test(args[at + 1] ?? "") ? arg : `${arg}=${option.implied}`;
  });
}

function parseArguments(system: System, args: readonly string[], options: readonly OptionSpec[]) {
  const table = Object.fromEntries(options.map(({ name, short, value, multiple }): [string, ParsedOption] => [name, {
    type: value === undefined ? "boolean" : "string",
    ...(short === undefined ? {} : { short }),
    ...(multiple === undefined ? {} : { multiple }),
  }]));
  try {
    return system.parse(args, table);
  } catch (cause) {
    throw new UsageError(mistakeIn(args, options) ?? firstSentence(cause), { cause });
  }
}

/** The message for arguments that were refused. The messages of the runtimes differ. */
function mistakeIn(args: readonly string[], options: readonly OptionSpec[]): string | undefined {
  for (let at = 0; at < args.length; at++) {
    const arg = args[at];
    if (arg === "--") return undefined;
    const [, name, value] = /^--([^=]+)(=.*)?$/s.exec(arg) ?? [];
    if (name === undefined) continue;
    const option = options.find((option) => option.name === name);
    if (option === undefined) return unknownOption(name, options);
    if (option.value === undefined) {
      if (value !== undefined) return `--${name} takes no value`;
    } else if (value === undefined) {
      at++;
      if (args[at] === undefined || /^-./.test(args[at])) {
        return `--${name} requires a value: --${name} ${option.value}`;
      }
    }
  }
  return undefined;
}

function unknownOption(name: string, options: readonly OptionSpec[]): string {
  if (name === "password") {
    return "Unknown option --password: other users could see it. Use REDIS_URL or --password-file";
  }
  const near = nearest(name, options.map((option) => option.name));
  return `Unknown option --${name}${near === undefined ? "" : `. Did you mean --${near}?`}`;
}

function firstSentence(cause: unknown): string {
  const [sentence] = String(cause instanceof Error ? cause.message : cause).split(". ");
  return sentence;
}

/** The name in the list that is closest to a mistyped one, if it is close enough. */
export function nearest(name: string, list: readonly string[]): string | undefined {
  const ranked = list.map((one) => ({ one, away: distance(name, one) })).sort((a, b) => a.away - b.away);
  const [best] = ranked;
  return best !== undefined && best.away <= Math.min(2, Math.ceil(name.length / 3)) ? best.one : undefined;
}

/** The number of letters to insert, remove or replace. Both names are short. */
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
