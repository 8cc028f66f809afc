// A program of its own: dials the endpoint given as JSON and prints how that ended, the kind of error or "open".
// Must not end by force, nor use the test runner; it shows what flags and environment of a process decide.

import { argv } from "node:process";
import { nativeDial } from "../../../resp/transport/dial.ts";
import { type Endpoint, TransportError } from "../../../resp/transport/transport.ts";

const endpoint: Endpoint = JSON.parse(argv[2] ?? "");
const sink = { space: () => new Uint8Array(1_024), received: () => {}, closed: () => {} };
try {
  const transport = await nativeDial()(endpoint, { sink });
  transport.close();
  console.log("open");
} catch (error) {
  console.log(error instanceof TransportError ? error.kind : `no TransportError: ${error}`);
}
