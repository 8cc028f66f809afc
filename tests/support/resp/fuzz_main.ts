// The decoder's fuzzer as a command: --inputs N (default: a million) and --seed N (default: random).

import process from "node:process";
import { parseArgs } from "node:util";
import { fuzzCorpus } from "./corpus.ts";
import { freshSeed } from "./drive.ts";
import { fuzz } from "./fuzz.ts";

const { values } = parseArgs({ options: { inputs: { type: "string" }, seed: { type: "string" } } });
const inputs = wholeNumber("inputs", values.inputs) ?? 1_000_000;
const seed = wholeNumber("seed", values.seed) ?? freshSeed();

process.stdout.write(`seed ${seed}, ${inputs} inputs\n`);
const progress = process.stdout.isTTY ? (done: number) => process.stdout.write(`\r${done} of ${inputs}`) : undefined;
const report = fuzz({ inputs, seed, corpus: fuzzCorpus(), progress });
const { whole, unfinished, refused, replies } = report;
process.stdout.write(
  `\n${whole} whole, ${unfinished} unfinished, ${refused} refused; ${replies} replies; no difference found\n`,
);

function wholeNumber(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const number = Number(text.replaceAll("_", ""));
  if (!Number.isSafeInteger(number) || number < 0) {
    throw new RangeError(`Cannot fuzz as --${name} must be a whole number: current value is ${text}`);
  }
  return number;
}
