// Runs `deno task prose [PATH …]`: prints every breach of the prose rules in the paths named, or in all. Runs on Deno.

import { allProse } from "./project.ts";
import { judgeProse, statisticsOf } from "./rules.ts";

const chosen = Deno.args.map((path) => path.replace(/^\.\//, ""));
let breaches = 0;
let clean = 0;
for (const prose of await allProse()) {
  if (chosen.length > 0 && !chosen.some((path) => prose.path.startsWith(path))) continue;
  const found = judgeProse(prose);
  if (found.length === 0) clean++;
  breaches += found.length;
  for (const { path, line, sentence, rule } of found) {
    console.log(`${path}:${line}  ${rule}${sentence === "" ? "" : `\n    ${sentence}`}`);
  }
  const { counted, mean, long } = statisticsOf(prose.sentences);
  if (found.length === 0 && chosen.length === 0) continue;
  console.log(
    `${prose.path}: ${found.length} breaches; ${counted} sentences, ${
      mean.toFixed(1)
    } words on average, ${long} long\n`,
  );
}
console.log(`${breaches} breaches, ${clean} files without any`);
Deno.exit(breaches > 0 ? 1 : 0);
