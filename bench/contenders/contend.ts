// Owns what every contender's process does: take a job from the command line, measure the part that counts, print one
// line of JSON. Must not know any client.

import { readdirSync, readFileSync, writeSync } from "node:fs";
import { argv, cpuUsage, exit } from "node:process";

/** What a process is asked to do. */
export interface Job {
  /** Which of the contender's forms runs. */
  readonly form: string;
  readonly url: string;
  /** The server's process, for its CPU time; 0 where it cannot be seen. */
  readonly serverPid: number;
  /** The stream that is measured: empty before a producer, filled before a consumer. */
  readonly key: string;
  /** Another one of the same kind, with `warmup` messages, for the time before. */
  readonly warmKey: string;
  /** The group to consume them in, which does not exist yet. */
  readonly group: string;
  /** Empty streams for what is passed on, and for the time before. */
  readonly sink: string;
  readonly warmSink: string;
  readonly messages: number;
  readonly warmup: number;
  /** Shards over which they are spread; 0 for the plain key. */
  readonly shards: number;
  /** The payload of every message. */
  readonly payload: string;
  /** Messages a second, where the form sends at a pace. */
  readonly rate: number;
  /** A file of captured replies, for decoders. */
  readonly capture: string;
  /** A folder for files, that is empty. */
  readonly folder: string;
}

/** The line that a process prints. */
export interface Sample {
  /** Messages that were really handled. */
  readonly messages: number;
  readonly seconds: number;
  /** CPU time of the client's process a message, in microseconds. */
  readonly clientUs: number | null;
  /** CPU time of the server's process a message, in microseconds; null where it cannot be seen. */
  readonly serverUs: number | null;
  /** Bytes of the file that was written or read. */
  readonly bytes?: number;
  /** Microseconds from send to receipt. */
  readonly p50?: number;
  readonly p99?: number;
  /** MiB of resident memory at its highest, and how much that is above the time before the first send. */
  readonly residentMiB?: number;
  readonly growthMiB?: number;
}

/** Runs the measured part, once; `body` resolves to the number of messages it handled. */
export type Measure = (body: () => Promise<number> | number) => Promise<void>;

/** One way of driving a client; what it adds to the sample it returns. */
export type Form = (job: Job, measure: Measure) => Promise<Partial<Sample> | void>;

/** Runs the form that the command line asks for, prints its sample and ends the process. */
export async function contend(forms: Readonly<Record<string, Form>>): Promise<void> {
  const job: Job = JSON.parse(argv[2]);
  let sample: Sample | undefined;
  const form = forms[job.form];
  if (form === undefined) throw new Error(`There is no form "${job.form}"`);
  const extra = await form(job, async (body) => {
    sample = await measured(job.serverPid, body);
  });
  writeSync(1, JSON.stringify({ ...sample, ...extra }) + "\n");
  exit(0);
}

async function measured(serverPid: number, body: () => Promise<number> | number): Promise<Sample> {
  const server = serverCpu(serverPid);
  const client = cpuUsage();
  const start = performance.now();
  const messages = await body();
  const seconds = (performance.now() - start) / 1_000;
  const { user, system } = cpuUsage(client);
  const serverUs = (serverCpu(serverPid) - server) / 1_000 / messages;
  return { messages, seconds, clientUs: (user + system) / messages, serverUs: serverUs > 0 ? serverUs : null };
}

/** Nanoseconds that the server's threads have spent on a CPU; 0 where that cannot be read. */
function serverCpu(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/task`)
      .map((task) => Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]))
      .reduce((sum, ns) => sum + ns, 0);
  } catch {
    return 0;
  }
}
