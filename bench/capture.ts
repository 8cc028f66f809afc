// Captures the replies of a server to XREAD, byte for byte, as input for decoders.

import { createWriteStream } from "node:fs";
import { Buffer } from "node:buffer";
import { connect } from "node:net";
import { finished } from "node:stream/promises";
import { idOf, PAGE } from "./yardstick.ts";

/** A bulk string at which no reply to XREAD ends. */
const MARK = "$4\r\nMARK\r\n";

/** Writes the RESP3 replies to `pages` reads of a filled stream into a file. */
export async function capture(port: number, key: string, pages: number, file: string): Promise<void> {
  const socket = connect(port, "127.0.0.1");
  await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  socket.write("HELLO 3\r\nECHO MARK\r\n");
  const chunks = socket.iterator({ destroyOnReturn: false });
  let head = "";
  while (!head.endsWith(MARK)) head += (await chunks.next()).value.toString("latin1");

  for (let page = 0; page < pages; page++) {
    const after = page === 0 ? "0-0" : idOf(page * PAGE - 1);
    socket.write(`XREAD COUNT ${PAGE} STREAMS ${key} ${after}\r\n`);
  }
  socket.write("ECHO MARK\r\n");
  const out = createWriteStream(file);
  let tail = Buffer.alloc(0);
  while (!tail.toString("latin1").endsWith(MARK)) {
    const { value, done } = await chunks.next();
    if (done) throw new Error("The server closed the connection during the capture");
    // The last bytes are not written yet: they may be the mark, which is not part of the capture.
    const bytes = Buffer.concat([tail, value]);
    out.write(bytes.subarray(0, -MARK.length));
    tail = bytes.subarray(-MARK.length);
  }
  socket.destroy();
  out.end();
  await finished(out);
}
