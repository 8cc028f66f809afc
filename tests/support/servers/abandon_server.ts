// The program that servers_test.ts kills: it starts a server, reports it, and never stops it.

import { startServer } from "./server.ts";

const { pid, address } = await startServer();
console.log(JSON.stringify({ pid, unixSocket: address.unixSocket }));
// Only a signal ends this.
setInterval(() => {}, 60_000);
