// Runs the whole example: starts a cluster on this machine, streams numbers through twelve shards, moves a slot and kills a primary
// meanwhile, and checks that every number arrives.

import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "../../mod.ts";
import { slotOfKey } from "../../streamer/cluster/topology/slot.ts";
import { type Cluster, startCluster } from "../../tests/support/servers/cluster.ts";
import { UsageError } from "../usage.ts";
import { HELP, type Options, readOptions } from "./options.ts";
import { Reception, Transmission } from "./stream.ts";

const STREAM = "numbers";
const SHARDS = 12;
/** Milliseconds to wait for the last numbers after all were sent. */
const PATIENCE = 30_000;

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options === undefined) {
    process.stdout.write(HELP);
    return 0;
  }
  const { promise: interrupted, reject: interrupt } = Promise.withResolvers<never>();
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => interrupt(new Interrupted(name)));
  interrupted.catch(() => {}); // handled below
  say("starts three primaries and three replicas");
  const cluster = await startCluster({ primaries: 3, replicas: 1 });
  try {
    return await Promise.race([run(cluster, options), interrupted]);
  } finally {
    await cluster.stop();
  }
}

/** Streams the numbers; returns the exit code, which is 0 if none is missing. */
async function run(cluster: Cluster, { seconds, rate }: Options): Promise<number> {
  await using streamer = await connect(cluster.url); // one node is enough
  for (const { name, slots } of streamer.stats().nodes) say(`${name} owns ${slots} slots`);
  streamer.addEventListener("moved", ({ detail: { slots, from, to } }) => {
    const count = slots.reduce((sum, [first, last]) => sum + last - first + 1, 0);
    say(`moved: ${count === 1 ? "1 slot" : `${count} slots`} from ${from} to ${to}`);
  });
  const transmission = await Transmission.open(streamer, { streamKey: STREAM, shards: SHARDS, rate });
  const reception = await Reception.open(streamer, { streamKey: STREAM, shards: SHARDS });
  const sending = transmission.send(seconds * rate);

  await sleep(seconds * 1_000 * 0.25);
  const slot = slotOfKey(`${STREAM}:0`);
  const owner = await cluster.ownerOf(slot);
  const [other] = cluster.primaries.filter((node) => node !== owner);
  say(`moves the slot of ${STREAM}:0 from ${owner.name} to ${other.name}`);
  await cluster.moveSlot(slot, other, { askWindow: 200 });

  await sleep(seconds * 1_000 * 0.25);
  const victim = await cluster.ownerOf(slotOfKey(`${STREAM}:1`));
  say(`kills the primary ${victim.name}`);
  await cluster.kill(victim);
  const elected = await cluster.untilElected(victim);
  say(`${elected.name} has taken its place`);

  await sending;
  await reception.complete(transmission.sent, AbortSignal.timeout(PATIENCE)).catch(() => {});
  const { missing, repeated, disordered } = reception.compare(transmission.sent);
  const { resent, longestGap } = transmission;
  process.stdout.write(
    `\n${transmission.sent} numbers sent over ${SHARDS} shards, ${transmission.rejected} rejected, ${resent} sent again\n` +
      `${missing} missing, ${repeated} repeated, ${disordered} out of order\n` +
      `longest time without an acknowledgement: ${Math.round(longestGap)} ms\n`,
  );
  await reception.end();
  return missing + disordered + transmission.rejected === 0 ? 0 : 1;
}

function say(text: string): void {
  process.stderr.write(`${(performance.now() / 1_000).toFixed(1).padStart(5)} s  ${text}\n`);
}

class Interrupted extends Error {
  constructor(signal: string) {
    super(`Stopped by ${signal}`);
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof UsageError || error instanceof Interrupted)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = error instanceof UsageError ? 2 : 130;
}
