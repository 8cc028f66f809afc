// Tests the recipe of a worker pool: a rolling restart under load, and a crash.

import { assert, assertEquals } from "@std/assert";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, type Producer } from "@sea/streamer-redis";
import { until } from "../../support/events.ts";
import { ignore, Recipe } from "../../support/recipes/recipe.ts";
import { test } from "../../support/runner.ts";
import { startServer } from "../../support/servers/server.ts";

/** The recipe's. */
const AUTO_CLAIM_INTERVAL = 1_000;

interface Done {
  readonly id: string;
  readonly ms: number;
}

function done(workers: readonly Recipe[]): Done[] {
  return workers.flatMap(({ stdout }) =>
    [...stdout.matchAll(/^Done (\S+) after (-?\d+) ms$/gm)].map(([, id, ms]) => ({ id, ms: Number(ms) }))
  );
}

/** 200 jobs a second; three workers can do 480. */
class Load implements AsyncDisposable {
  readonly #ids: Promise<string>[] = [];
  readonly #sending: Promise<void>;
  #stopped = false;

  constructor(producer: Producer) {
    this.#sending = this.#send(producer);
  }

  /** Resolves to the ids of all jobs. */
  async stop(): Promise<string[]> {
    this.#stopped = true;
    await this.#sending;
    return await Promise.all(this.#ids);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #send(producer: Producer): Promise<void> {
    for (; !this.#stopped; await sleep(20)) {
      for (let i = 0; i < 4; i++) this.#ids.push(producer.send("job").then(({ id }) => id));
    }
  }
}

async function startWorker(url: string): Promise<Recipe> {
  const worker = new Recipe("worker_pool.ts", { url });
  await worker.says(/is ready/);
  return worker;
}

test("recipe worker_pool: a rolling restart under load loses no job, repeats none and delays none", async () => {
  await using server = await startServer();
  await using stack = new AsyncDisposableStack();
  const start = async () => stack.use(await startWorker(server.url));
  const old = await Promise.all([start(), start(), start()]);
  const workers = [...old];

  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer("jobs");
  await using load = new Load(producer);

  for (const worker of old) {
    workers.push(await start());
    await sleep(200); // under load
    assertEquals(await worker.stop(), 0, worker.output);
    assert(/Stopped: \d+ jobs handled, 0 failed/.test(worker.stdout), worker.output);
  }
  await sleep(200);
  const ids = await load.stop();
  await until(() => done(workers).length >= ids.length, { what: "all jobs are done" });
  const results = done(workers);
  assertEquals(results.map(({ id }) => id).sort(), ids.sort());
  const slowest = Math.max(...results.map(({ ms }) => ms));
  assert(slowest <= AUTO_CLAIM_INTERVAL + 1_000, `a job took ${slowest} ms`);
  for (const worker of workers.slice(-3)) assertEquals(await worker.stop(), 0, worker.output);
}, { ignore, timeout: 60_000 });

test("recipe worker_pool: the jobs of a worker that crashes are done by the others", async () => {
  await using server = await startServer();
  await using doomed = await startWorker(server.url);
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer("jobs");
  const ids = await Promise.all(Array.from({ length: 60 }, () => producer.send("job").then(({ id }) => id)));
  await doomed.says(/Done/);
  await using other = await startWorker(server.url);
  doomed.signal("SIGKILL");
  await until(() => new Set(done([doomed, other]).map(({ id }) => id)).size === ids.length, { timeout: 20_000 });
  assertEquals([...new Set(done([doomed, other]).map(({ id }) => id))].sort(), ids.sort());
}, { ignore });
