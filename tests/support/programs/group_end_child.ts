// A program that runs the scenario of its first argument with the server of the second. It shows whether a process
// exits by itself, and the default names of groups and consumers, so it must not use the test runner.

import { argv } from "node:process";
import { connect, StreamerError } from "../../../mod.ts";

const [, , scene, url, key, group = "g"] = argv;
await using streamer = await connect(url);

switch (scene) {
  case "read": {
    await using consumer = await streamer.createConsumer(key, { mode: "load-balanced", group, autoCommit: "rolling" });
    for (let i = 0; i < 3; i++) {
      const message = await consumer.next();
      console.log(message.text());
      consumer.ack(message);
    }
    consumer.next().catch(() => {});
    console.log("end");
    break;
  }
  case "names": {
    for (const mode of ["resumable", "load-balanced", "load-balanced"] as const) {
      const options = { mode, autoCommit: "delayed", mkstream: true } as const;
      await using consumer = await streamer.createConsumer(key, options);
      console.log(consumer.groupId, consumer.consumerId);
    }
    break;
  }
  case "bare": {
    for (const mode of ["resumable", "load-balanced"] as const) {
      try {
        await streamer.createConsumer(key, { mode, autoCommit: "delayed" });
      } catch (error) {
        if (!(error instanceof StreamerError)) throw error;
        if (mode === "resumable") console.log(error.code, error.message.includes("group"));
        else if (error.code !== "INVALID_OPTION") throw error;
      }
    }
    const consumer = await streamer.createConsumer(key, { mode: "load-balanced", group });
    console.log((await consumer.next()).text());
    console.log("end");
    break;
  }
}
