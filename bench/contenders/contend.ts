// The process of a contender: takes a job from the command line, measures the relevant part, and prints one line of JSON.

import { readdirSync, readFileSync, writeSync } from "node:fs";
import { argv, cpuUsage, exit } from "node:process";

/** The job of a process. */
export interface Job {
  /** The form to run. */
  readonly form: string;
  readonly url: string;
  /** The process id of the server, for its CPU time; 0 if unknown. */
  readonly serverPid: number;
  /** The stream to measure: empty for a producer, filled for a consumer. */
  readonly key: string;
  /** A stream of the same kind with `warmup` messages, for the warm-up. */
  readonly warmKey: string;
  /** The group to consume in, which does not exist yet. */
  readonly group: string;
  /** Empty streams as targets of a relay, and of its warm-up. */
  readonly sink: string;
  readonly warmSink: string;
  readonly messages: number;
  readonly warmup: number;
  /** Shards for the messages; 0 for the plain key. */
  readonly shards: number;
  /** The payload of every message. */
  readonly payload: string;
  /** Messages per second, if the form sends at a pace. */
  readonly rate: number;
  /** A file of captured replies, for decoders. */
  readonly capture: string;
  /** An empty folder for files. */
  readonly folder: string;
  /** The port of each shard's node, for clients that know no cluster. */
  readonly ports?: readonly number[];
}

/** The line that a process prints. */
export interface Sample {
  /** Messages that were handled. */
  readonly messages: number;
  readonly seconds: number;
  /** CPU time of the client's process per message, in microseconds. */
  readonly clientUs: number | null;
  /** CPU time of the server's process per message, in microseconds; null if unknown. */
  readonly serverUs: number | null;
  /** Bytes of the file that was written or read. */
  readonly bytes?: number;
  /** Microseconds from send to receipt. */
  readonly p50?: number;
  readonly p99?: number;
  /** Peak resident memory in MiB, and its growth since before the first send. */
  readonly residentMiB?: number;
  readonly growthMiB?: number;
  /** Connections for reading to the node that has most of them. */
  readonly connections?: number;
}

/** Runs the measured part once; `body` resolves to the number of handled messages. */
export type Measure = (body: () => Promise<number> | number) => Promise<void>;

/** One way of driving a client; returns additions to the sample. */
export type Form = (job: Job, measure: Measure) => Promise<Partial<Sample> | void>;

/** Runs the form of the command line, prints its sample, and ends the process. */
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

/** CPU time of the server's threads in nanoseconds; 0 if it cannot be read. */
function serverCpu(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/task`)
      .map((task) => Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]))
      .reduce((sum, ns) => sum + ns, 0);
  } catch {
    return 0;
  }
}
