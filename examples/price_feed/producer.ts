// Sends the ticks of all symbols at a steady pace, then the bell of each symbol.

import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "../../mod.ts";
import { BELL, streamsOf, SYMBOLS, type Tick } from "./feed.ts";
import { positive } from "../usage.ts";
import { readArguments, redisUrl } from "./program.ts";

const { feed, ticks, rate } = readArguments({ feed: "prices", ticks: "250", rate: "400" });
const count = positive("--ticks", ticks); // for each symbol
const pause = 1_000 / positive("--rate", rate); // milliseconds between two ticks

await using streamer = await connect(redisUrl);
const producer = await streamer.createProducer(streamsOf(feed).ticks);
console.error(`is ready: ${count} ticks of each of ${SYMBOLS.length} symbols, ${rate} a second`);

const prices = new Map(SYMBOLS.map((symbol) => [symbol, 50 + 100 * Math.random()]));
const startedAt = performance.now();
let sent = 0;
for (let number = 1; number <= count; number++) {
  for (const [symbol, price] of prices) {
    const dollars = price * (1 + (Math.random() - 0.5) / 100);
    prices.set(symbol, dollars);
    const tick: Tick = { number, dollars };
    producer.send(JSON.stringify(tick), { headers: { symbol } }); // not awaited: pipelined
    const early = startedAt + ++sent * pause - performance.now();
    if (early > 0) await sleep(early);
  }
}

await producer.flush(); // rejects if a tick was not stored: then no bell is sent
for (const symbol of SYMBOLS) producer.send("", { headers: { symbol, [BELL]: String(count) } });
await producer.end();
console.error(`has stored ${sent} ticks`);
