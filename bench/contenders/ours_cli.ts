// Drives the command line of this library in this process: dumps a stream to a file, or restores one.

import { stat } from "node:fs/promises";
import { join } from "node:path";
import { main } from "../../cli.ts";
import { contend, type Form, type Job } from "./contend.ts";

type Format = "ndjson" | "ss";

async function run(...args: string[]): Promise<void> {
  const code = await main(args);
  if (code !== 0) throw new Error(`sea-streamer ${args[0]} ended with code ${code}`);
}

async function dump({ url, folder }: Job, key: string, format: Format): Promise<string> {
  const file = join(folder, `${key}.${format}`);
  await run("dump", `${url}/${key}`, "--output", file, "--quiet");
  return file;
}

function dumping(format: Format): Form {
  return async (job, measure) => {
    await dump(job, job.warmKey, format);
    await measure(async () => {
      await dump(job, job.key, format);
      return job.messages;
    });
    return { bytes: (await stat(join(job.folder, `${job.key}.${format}`))).size };
  };
}

function restoring(format: Format): Form {
  return async (job, measure) => {
    await run("restore", await dump(job, job.warmKey, format), `${job.url}/${job.warmSink}`, "--quiet");
    const file = await dump(job, job.key, format);
    await measure(async () => {
      await run("restore", file, `${job.url}/${job.sink}`, "--quiet");
      return job.messages;
    });
    return { bytes: (await stat(file)).size };
  };
}

await contend({
  "dump-ndjson": dumping("ndjson"),
  "dump-ss": dumping("ss"),
  "restore-ndjson": restoring("ndjson"),
  "restore-ss": restoring("ss"),
});
