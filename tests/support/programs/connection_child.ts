// A program that runs the scenario of its first argument with the server of the second, and prints "end". It shows
// whether a process exits by itself, and with which complaints, so it must not use the test runner.

import { argv } from "node:process";
import process from "node:process";
import { connect, type RedisStreamer } from "../../../mod.ts";

const [, , scene, url, key = "k"] = argv;
process.on("unhandledRejection", (reason) => console.log("unhandled", reason));
process.on("uncaughtException", (error) => console.log("uncaught", error));

const streamer = await connect(url, { reconnect: { initialDelay: 20, maxDelay: 20 }, timeout: 1_000 }).catch(
  (error) => {
    if (scene !== "unanswered") throw error;
    console.log(error.code);
  },
);
if (streamer !== undefined) await play(streamer);
console.log("end");

async function play(streamer: RedisStreamer): Promise<void> {
  switch (scene) {
    case "disconnect": {
      const producer = await streamer.createProducer(key);
      for (let i = 0; i < 1_000; i++) producer.send(`${i}`);
      await streamer.createConsumer(key, { mode: "real-time" });
      await streamer.disconnect();
      break;
    }
    case "using": {
      await using scoped = streamer;
      const producer = await scoped.createProducer(key);
      producer.send("x");
      break;
    }
    case "ignore": { // every way to fail, without a handler
      const producer = await streamer.createProducer(key, { maxBuffered: 5_000, sendTimeout: 50 });
      for (let i = 0; i < 1_000; i++) producer.send("x".repeat(100));
      producer.sendTo("not a key", "x");
      producer.sendTo(`no-stream-${key}`, "x");
      producer.send("x", { headers: { msg: "" } });
      producer.send("x", { signal: AbortSignal.abort() });
      producer.send("x", { signal: AbortSignal.timeout(1) });
      producer.clone().send("x".repeat(6_000));
      await new Promise((resolve) => setTimeout(resolve, 150));
      await producer.end().catch((error) => console.log(error.code));
      producer.send("late");
      await streamer.disconnect().catch((error) => console.log(error.code));
      await new Promise((resolve) => setTimeout(resolve, 50)); // rejections are reported in a later turn
      break;
    }
    case "away": { // the server is gone for good
      const producer = await streamer.createProducer(key);
      await producer.send("x");
      console.log("ready");
      await new Promise<void>((resolve) => streamer.addEventListener("reconnect", () => resolve(), { once: true }));
      producer.send("never");
      await streamer.disconnect({ timeout: 50 }).catch((error) => console.log(error.code));
      break;
    }
    case "stuck": { // the server's host does not answer: one attempt to connect is given up, and another is in progress
      const producer = await streamer.createProducer(key);
      await producer.send("x");
      console.log("ready");
      const stuck = new Promise<void>((resolve) => {
        streamer.addEventListener("reconnect", ({ detail }) => detail.attempt === 2 && resolve());
      });
      const sending = setInterval(() => producer.send("never"), 100);
      await stuck;
      clearInterval(sending);
      await streamer.disconnect({ timeout: 50 }).catch((error) => console.log(error.code));
      break;
    }
    case "forget": {
      const producer = await streamer.createProducer(key);
      await producer.send("x");
      break;
    }
  }
}
