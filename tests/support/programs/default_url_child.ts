// A program that connects without a URL and prints where it is connected, or why it is not.

import { argv } from "node:process";
import { connect } from "../../../mod.ts";

try {
  await using streamer = await connect(undefined, {
    timeout: 5_000,
    wait: argv[2] === "wait",
    reconnect: { maxAttempts: 2, initialDelay: 10 },
  });
  console.log(streamer.uri);
} catch (error) {
  const { code, message } = error as { code?: string; message: string }; // as: the errors of connect have both
  console.log(code, message);
}
