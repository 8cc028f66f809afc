// A program with one consumer of a group. It reports its calls and events as lines of JSON, and obeys the lines of its
// stdin. It is killed and suspended, so it must not use the test runner.

import process from "node:process";
import { createInterface } from "node:readline";
import { connect, type DisabledOptions, type LoadBalanced, type Message } from "../../../mod.ts";

const [, , url, key, name, text] = process.argv;
const tell = (what: string, detail: object = {}) => process.stdout.write(`${JSON.stringify({ what, ...detail })}\n`);
// A checked border: the value comes from a test.
const options = JSON.parse(text) as Pick<LoadBalanced, "autoClaimIdle" | "autoClaimInterval" | "prefetch">;

const streamer = await connect(url, { reconnect: { initialDelay: 1, maxDelay: 50 } });
for (const type of ["claimed", "lost", "gap", "released"] as const) {
  streamer.addEventListener(type, ({ detail }) => tell(type, detail));
}
const settings: DisabledOptions = {
  mode: "load-balanced",
  group: "g",
  consumerId: name,
  autoCommit: "disabled",
  batchSize: 5,
  ...options,
};
const consumer = await streamer.createConsumer(key, settings);
const held = new Map<string, Message>();
const commands: Record<string, (argument: string) => unknown> = {
  /** Takes so many messages. */
  async take(count) {
    for (let i = 0; i < Number(count); i++) {
      const message = await consumer.next();
      held.set(message.id, message);
      tell("message", { id: message.id, deliveries: message.deliveries });
    }
    tell("took", consumer.stats());
  },
  /** Takes all messages and acknowledges them. */
  async drain() {
    for await (const message of consumer) {
      consumer.ack(message);
      tell("message", { id: message.id, deliveries: message.deliveries });
      if (consumer.stats().queued === 0) consumer.commit().then(() => tell("committed"), () => {});
    }
  },
  ack() {
    for (const message of held.values()) consumer.ack(message);
    tell("acked", consumer.stats());
  },
  nack(delay) {
    for (const message of held.values()) consumer.nack(message, { delay: Number(delay) });
    tell("nacked", consumer.stats());
  },
  async commit() {
    await consumer.commit();
    tell("committed");
  },
  stats: () => tell("stats", consumer.stats()),
  async end() {
    await streamer.disconnect();
    tell("end");
    lines.close();
  },
};
const lines = createInterface({ input: process.stdin });
lines.on("line", async (line) => {
  const [command, argument = ""] = line.split(" ");
  try {
    await commands[command](argument);
  } catch (error) {
    tell("error", { code: Object(error).code, message: Object(error).message });
  }
});
tell("ready");
