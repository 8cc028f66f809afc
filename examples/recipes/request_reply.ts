// Request and reply. Requests go to a stream that a pool of servers shares. A reply goes to the stream that the request
// names in `reply-to`, with the id of the request, so that many requests can wait at the same time.
//
//   deno run -A examples/recipes/request_reply.ts serve
//   deno run -A examples/recipes/request_reply.ts ask one two three

import process from "node:process";
import { connect, processMessages } from "@sea/streamer-redis";

const TIMEOUT = 3_000; // milliseconds
const [role, ...words] = process.argv.slice(2);

await using streamer = await connect();
await (role === "serve" ? serve() : ask(words));

async function serve(): Promise<void> {
  const consumer = await streamer.createConsumer("requests", {
    mode: "load-balanced",
    group: "servers",
    autoCommit: "rolling",
    autoClaimInterval: 1_000, // the others answer what a stopping server has prefetched
    maxDeliveries: 3, // a request that fails three times is dropped
  });
  process.once("SIGTERM", () => consumer.end({ drain: TIMEOUT }));
  const replies = await streamer.createGenericProducer({ maxLength: 10_000 });
  console.log("Ready");
  await processMessages(consumer, async (message) => {
    const [replyTo, id] = ["reply-to", "request-id"].map((name) => message.headers.get(name));
    if (!replyTo || !id || Date.now() - message.timestamp.getTime() > TIMEOUT) return; // nobody waits for a reply
    await replies.sendTo(replyTo, message.text().toUpperCase(), { headers: { "request-id": id } });
  });
}

async function ask(questions: readonly string[]): Promise<void> {
  const replyTo = `replies-${crypto.randomUUID()}`;
  const waiting = new Map<string, (reply: string) => void>();
  const requests = await streamer.createProducer("requests", { maxLength: 10_000 });
  const consumer = await streamer.createConsumer(replyTo, { mode: "real-time" });

  async function request(question: string): Promise<string> {
    const id = crypto.randomUUID();
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    AbortSignal.timeout(TIMEOUT).addEventListener("abort", () => reject(new Error(`No reply to ${question}`)));
    waiting.set(id, resolve);
    requests.send(question, { headers: { "reply-to": replyTo, "request-id": id } }).catch(reject);
    return await promise.finally(() => waiting.delete(id));
  }

  const replies = Promise.all(questions.map(request)).finally(() => consumer.end()); // ends the loop
  replies.catch(() => {}); // thrown by the last line
  for await (const message of consumer) waiting.get(message.headers.get("request-id") ?? "")?.(message.text());
  await (await streamer.createManager()).deleteStream(replyTo);
  console.log((await replies).join("\n"));
}
