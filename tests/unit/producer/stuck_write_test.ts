// Tests that bytes a socket has not taken yet are never changed, whatever happens to their messages meanwhile.

import { assert, assertEquals } from "@std/assert";
import { systemClock } from "../../../resp/connection/clock.ts";
import type { Dial, Transport, TransportSink } from "../../../resp/transport/transport.ts";
import { connectWith } from "../../../streamer/connect.ts";
import { until } from "../../support/events.ts";
import { HELLO3 } from "../../support/network/fake_server.ts";
import { test } from "../../support/runner.ts";
import { endingsOf } from "../../support/producer/stream_checks.ts";

const INFO = "$26\r\nid=9 addr=127.0.0.1:9 db=0\r\n";

/** A socket with a small Redis at its other end. While it is stuck it takes nothing and checks the bytes later. */
class StuckWire implements Transport {
  /** The commands that the server has read. */
  readonly payloads: string[] = [];
  /** Bytes written while stuck, and their content then. */
  readonly kept: { readonly bytes: Uint8Array; readonly then: Uint8Array; readonly taken: () => void }[] = [];
  stuck = false;
  #sink: TransportSink;
  #closed = false;

  constructor(sink: TransportSink) {
    this.#sink = sink;
  }

  write(bytes: Uint8Array): Promise<void> | undefined {
    if (!this.stuck) {
      this.#read(bytes);
      return undefined;
    }
    return new Promise((resolve) => this.kept.push({ bytes, then: bytes.slice(), taken: resolve }));
  }

  close(): void {
    this.#closed = true;
    for (const { taken } of this.kept) taken();
  }

  /** Whether the recorded bytes are unchanged. */
  untouched(): boolean {
    return this.kept.every(({ bytes, then }) => bytes.every((byte, i) => byte === then[i]));
  }

  /** Takes the written bytes, with their content now. */
  free(): void {
    this.stuck = false;
    for (const { bytes, taken } of this.kept) {
      this.#read(bytes);
      taken();
    }
  }

  /** The other side has left. */
  cut(): void {
    this.#sink.closed(new Error("cut"));
    this.close();
  }

  /** Complete commands. A strict parser shows changed bytes. */
  #read(bytes: Uint8Array): void {
    const text = new TextDecoder("latin1").decode(bytes);
    let replies = "";
    for (let at = 0; at < text.length;) {
      const header = /^\*(\d+)\r\n/.exec(text.slice(at, at + 20));
      assert(header, `no command at ${at}`);
      at += header[0].length;
      const words: string[] = [];
      for (let left = Number(header[1]); left > 0; left--) {
        const size = /^\$(\d+)\r\n/.exec(text.slice(at, at + 20));
        assert(size, `no word at ${at}`);
        at += size[0].length;
        words.push(text.slice(at, at + Number(size[1])));
        at += Number(size[1]) + 2;
      }
      replies += this.#answer(words);
    }
    queueMicrotask(() => this.#say(replies));
  }

  #answer([name, sub, ...rest]: string[]): string {
    if (name === "HELLO") return HELLO3;
    if (name === "CLIENT") return sub === "INFO" ? INFO : sub === "KILL" ? ":0\r\n" : "+OK\r\n";
    this.payloads.push(rest[rest.length - 1]);
    const id = `1-${this.payloads.length}`;
    return `$${id.length}\r\n${id}\r\n`;
  }

  #say(text: string): void {
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length && !this.#closed;) {
      const room = this.#sink.space();
      const count = Math.min(room.length, bytes.length - at);
      room.set(bytes.subarray(at, at + count));
      this.#sink.received(count);
      at += count;
    }
  }
}

async function stuckProducer(sendTimeout: number) {
  const wires: StuckWire[] = [];
  const dial: Dial = (_, { sink }) => {
    const wire = new StuckWire(sink);
    wires.push(wire);
    return Promise.resolve(wire);
  };
  const streamer = await connectWith({ dial, clock: systemClock }, "redis://nowhere", {
    reconnect: { initialDelay: 1 },
  });
  const producer = await streamer.createProducer("k", { sendTimeout });
  await producer.send("warm");
  const wire = wires[wires.length - 1];
  wire.stuck = true;
  return { streamer, producer, wire, wires };
}

/** More than one buffer full. */
const many = (letter: string, count: number) =>
  Array.from({ length: count }, (_, i) => `${letter}${i} `.padEnd(1_000, letter));

test("messages that time out while the socket is stuck are read completely when it continues, and later ones after them", async () => {
  const { streamer, producer, wire } = await stuckProducer(30);
  const old = many("a", 150);
  const endings = await endingsOf(old.map((payload) => [payload, producer.send(payload)] as const));
  assert(endings.every((ending) => "error" in ending));
  const unknown = endings.flatMap((ending) =>
    "error" in ending && ending.outcome === "unknown" ? [ending.payload] : []
  );
  assert(unknown.length > 10, "some had been given to the socket");
  const patient = await streamer.createProducer("other");
  const later = many("b", 300);
  const sends = later.map((payload) => producer.send(payload));
  assert(wire.untouched(), "the bytes are as they were");
  wire.free();
  await Promise.allSettled(sends);
  // Messages with unknown outcomes are stored, complete and in order, and later ones that were in time.
  assertEquals(wire.payloads.slice(1, 1 + unknown.length), unknown);
  const stored = wire.payloads.slice(1 + unknown.length);
  assertEquals(stored, later.filter((payload) => stored.includes(payload)));
  await patient.end();
  await streamer.disconnect().catch(() => {});
});

test("messages cut off while the socket is stuck are sent again, and the old socket's bytes stay as they were", async () => {
  const { streamer, producer, wire, wires } = await stuckProducer(10_000);
  const old = many("a", 150);
  const sends = old.map((payload) => producer.send(payload));
  await until(() => wire.kept.length > 0);
  wire.cut();
  await Promise.all(sends);
  const later = many("b", 300);
  await Promise.all(later.map((payload) => producer.send(payload)));
  assert(wire.untouched(), "the bytes are as they were");
  assertEquals(wires[wires.length - 1].payloads, [...old, ...later]);
  await streamer.disconnect();
});

test("messages given up while the socket is stuck leave its bytes as they were", async () => {
  const { streamer, producer, wire } = await stuckProducer(10_000);
  const clone = producer.clone();
  for (const payload of many("a", 150)) producer.send(payload);
  await until(() => wire.kept.length > 0);
  await producer.end({ timeout: 0 }).catch(() => {});
  const later = many("b", 300);
  const sends = later.map((payload) => clone.send(payload));
  assert(wire.untouched(), "the bytes are as they were");
  wire.free();
  await Promise.all(sends);
  assertEquals(wire.payloads.slice(-300), later);
  await streamer.disconnect();
});
