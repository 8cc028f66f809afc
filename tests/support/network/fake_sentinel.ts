// A scripted Sentinel, which says what a test sets. Must not use the library under test.

import { type FakeServer, type Peer, startFakeServer } from "./fake_server.ts";

const HELLO = "%3\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n$4\r\nmode\r\n$8\r\nsentinel\r\n";

/** Where something listens. */
export interface Place {
  readonly host: string;
  readonly port: number;
}

/** What a Sentinel says. `undefined` as an answer: nothing at all. */
export interface SentinelScript {
  /** The primary; `null`: the name is unknown. */
  primary: Place | null;
  /** The other Sentinels. */
  peers?: readonly Place[];
  /** Of the last failover it knows. */
  epoch?: number;
  /** Nothing is answered. */
  isFrozen?: boolean;
  /** In place of the friendly answers, by command and subcommand. */
  answers?: Readonly<Record<string, string>>;
}

/** A Sentinel that a test controls. */
export class FakeSentinel implements AsyncDisposable {
  /** What it says from now on. */
  script: SentinelScript;
  /** Commands so far, each as one text. */
  readonly commands: string[] = [];
  readonly #subscribers = new Set<Peer>();
  #server: FakeServer | undefined;

  private constructor(script: SentinelScript) {
    this.script = script;
  }

  /** Starts one. */
  static async start(script: SentinelScript): Promise<FakeSentinel> {
    const sentinel = new FakeSentinel(script);
    sentinel.#server = await startFakeServer(async (peer) => {
      for (;;) {
        const words = await peer.command();
        if (words === undefined) return;
        const answer = sentinel.#answer(words, peer);
        if (answer !== undefined) await peer.send(answer);
      }
    });
    return sentinel;
  }

  get host(): string {
    return this.server.host;
  }

  get port(): number {
    return this.server.port;
  }

  get place(): string {
    return `${this.host}:${this.port}`;
  }

  get server(): FakeServer {
    if (this.#server === undefined) throw new Error("It has not started");
    return this.#server;
  }

  /** How often it was asked for the primary. */
  get asked(): number {
    return this.commands.filter((command) => command.includes("GET-MASTER-ADDR-BY-NAME")).length;
  }

  /** Names another primary, and announces that to whoever has subscribed. */
  async switchTo(primary: Place, epoch?: number): Promise<void> {
    const { primary: old } = this.script;
    this.script = { ...this.script, primary, ...(epoch === undefined ? {} : { epoch }) };
    const text = `mymaster ${old?.host} ${old?.port} ${primary.host} ${primary.port}`;
    const push = `>3\r\n${bulk("message")}${bulk("+switch-master")}${bulk(text)}`;
    for (const peer of this.#subscribers) await peer.send(push);
  }

  /** Closes the connections to it. */
  async cut(): Promise<void> {
    await Promise.all(this.server.peers.map((peer) => peer.cut()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.server.stop();
  }

  #answer(words: readonly string[], peer: Peer): string | undefined {
    const { primary, peers = [], epoch = 0, isFrozen, answers = {} } = this.script;
    this.commands.push(words.join(" "));
    if (isFrozen) return undefined;
    const [name, sub = ""] = words.map((word) => word.toUpperCase());
    const scripted = answers[`${name} ${sub}`] ?? answers[name];
    if (scripted !== undefined) return scripted;
    switch (name) {
      case "HELLO":
        return HELLO;
      case "PING":
        return "+PONG\r\n";
      case "SUBSCRIBE":
        this.#subscribers.add(peer);
        return `>3\r\n${bulk("subscribe")}${bulk(words[1])}:1\r\n`;
    }
    switch (sub) {
      case "GET-MASTER-ADDR-BY-NAME":
        return primary === null ? "_\r\n" : `*2\r\n${bulk(primary.host)}${bulk(String(primary.port))}`;
      case "MASTER":
        return primary === null ? "-ERR No such master with that name\r\n" : map({ "config-epoch": String(epoch) });
      case "SENTINELS":
        return `*${peers.length}\r\n${peers.map(({ host, port }) => map({ ip: host, port: String(port) })).join("")}`;
    }
    return `-ERR unknown command '${words[0]}'\r\n`;
  }
}

function bulk(text: string): string {
  return `$${new TextEncoder().encode(text).length}\r\n${text}\r\n`;
}

function map(fields: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(fields);
  return `%${pairs.length}\r\n${pairs.map(([name, value]) => bulk(name) + bulk(value)).join("")}`;
}

/** A URL that names these Sentinels and the primary `mymaster`. */
export function sentinelUrl(...sentinels: readonly (FakeSentinel | string)[]): string {
  const places = sentinels.map((one) => typeof one === "string" ? one : one.place);
  return `redis+sentinel://${places.join(",")}/mymaster`;
}
