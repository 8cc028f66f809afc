// One connection through a node's filter: commands are judged in sequence, as a server runs them, and replies keep
// their order, from the server or the filter. Must not use the library under test.

import { connect, type Socket } from "node:net";
import { type Address, encodeCommand, joinBytes } from "../servers/raw_client.ts";
import { blocks } from "./command_keys.ts";
import { errorOf, Frames, isNothing, wordsOf } from "./frames.ts";
import type { Ruling } from "./slot_table.ts";

/** The judge of a connection's commands. */
export interface Judge {
  /** The fate of a command. `asking`: an ASKING preceded it. */
  rule(words: readonly string[], asking: boolean): Ruling & { readonly slots: readonly number[] };
  /** It was passed on to the server. */
  passed(command: PassedCommand): void;
  /** It was answered, or never will be. */
  over(command: PassedCommand): void;
  /** Whether pushes of the server reach the client. */
  pushes(): boolean;
}

/** A command that the server has not answered. */
export class PassedCommand {
  readonly name: string;
  readonly slots: readonly number[];
  readonly blocks: boolean;
  readonly #over = Promise.withResolvers<void>();
  #isOver = false;
  /** The reply in place of one without content. */
  instead: string | undefined;
  readonly connection: FilterConnection;

  constructor(words: readonly string[], slots: readonly number[], connection: FilterConnection) {
    this.name = words[0].toUpperCase();
    this.slots = slots;
    this.blocks = blocks(words);
    this.connection = connection;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Resolves when it is answered, or never will be. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  end(): void {
    this.#isOver = true;
    this.#over.resolve();
  }
}

/** The next in line for a reply: the server's, or one that is given here. */
type Turn = PassedCommand | string;

const encoder = new TextEncoder();

/** One connection. */
export class FilterConnection {
  /** Resolves when both sides are closed. */
  readonly closed: Promise<unknown>;
  /** The id by which the server knows it; undefined until that has been answered. */
  clientId: number | undefined;
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #judge: Judge;
  readonly #commands = new Frames();
  readonly #replies = new Frames();
  #inbox: Uint8Array[] = [];
  #turns: Turn[] = [];
  #asking = false;
  #waiting = false; // for a slot
  #blocking: PassedCommand | undefined; // commands after it are not read, as by a server
  readonly #fail: (error: unknown) => void;

  constructor(client: Socket, upstream: Address, judge: Judge, fail: (error: unknown) => void) {
    this.#client = client;
    this.#judge = judge;
    this.#fail = fail;
    this.#server = connect({ host: upstream.host, port: upstream.port, noDelay: true });
    this.#server.on("error", () => this.#server.destroy());
    this.#server.write(encodeCommand(["CLIENT", "ID"]));
    this.#server.on("data", (chunk: Uint8Array) => this.#guard(() => this.#replied(chunk)));
    client.on("data", (chunk: Uint8Array) => this.#guard(() => this.#commanded(chunk)));
    client.on("end", () => this.cut());
    this.closed = Promise.all(
      [client, this.#server].map((socket) =>
        new Promise<void>((resolve) =>
          socket.once("close", () => {
            this.cut();
            resolve();
          })
        )
      ),
    );
    this.closed.then(() => this.#forget());
  }

  /** Closes both sides. Forwarded commands may still be executed. */
  cut(): void {
    this.#inbox = [];
    this.#client.destroy();
    // Not while it connects: on Deno the socket may then be opened after it was closed.
    if (this.#server.connecting) this.#server.once("connect", () => this.#server.destroy());
    else this.#server.destroy();
  }

  #guard(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#fail(error);
      this.cut();
    }
  }

  #commanded(chunk: Uint8Array): void {
    const commands = this.#commands.feed(chunk);
    this.#inbox = this.#inbox.length === 0 ? commands : this.#inbox.concat(commands);
    this.#goOn();
  }

  /** Judges the commands received, until one has to wait. */
  #goOn(): void {
    const passed: Uint8Array[] = [];
    let at = 0;
    while (at < this.#inbox.length && !this.#waiting && this.#blocking === undefined) {
      const command = this.#inbox[at];
      const words = wordsOf(command);
      const ruling = this.#judge.rule(words, this.#asking);
      if (ruling.kind === "wait") {
        this.#waiting = true;
        ruling.until.then(() => {
          this.#waiting = false;
          this.#guard(() => this.#goOn());
        });
        break;
      }
      at++;
      this.#asking = words[0].toUpperCase() === "ASKING";
      if (ruling.kind === "answer") {
        this.#turns.push(ruling.text);
        continue;
      }
      const turn = new PassedCommand(words, ruling.slots, this);
      this.#turns.push(turn);
      this.#judge.passed(turn);
      if (turn.blocks) this.#blocking = turn;
      passed.push(command);
    }
    this.#inbox = this.#inbox.slice(at);
    if (passed.length > 0 && !this.#server.destroyed) this.#server.write(joinBytes(passed));
    this.#answer([]);
  }

  #replied(chunk: Uint8Array): void {
    const out: Uint8Array[] = [];
    let freed = false;
    for (const reply of this.#replies.feed(chunk)) {
      if (this.clientId === undefined) {
        this.clientId = Number(new TextDecoder().decode(reply.subarray(1, -2)));
        continue;
      }
      if (reply[0] === 0x3e) { // a push answers nothing
        if (this.#judge.pushes()) out.push(reply);
        continue;
      }
      const turn = this.#turns.shift();
      if (!(turn instanceof PassedCommand)) throw new Error("The server has sent a reply without a command");
      this.#over(turn);
      freed ||= turn === this.#blocking;
      if (freed) this.#blocking = undefined;
      const instead = turn.instead !== undefined && saysNothing(reply) ? turn.instead : undefined;
      out.push(instead === undefined ? reply : encoder.encode(`-${instead}\r\n`));
      this.#takeGiven(out);
    }
    this.#answer(out);
    if (freed) this.#goOn();
  }

  /** Sends these, and the answers given here whose turn it is. */
  #answer(out: Uint8Array[]): void {
    this.#takeGiven(out);
    if (out.length > 0 && !this.#client.destroyed) this.#client.write(joinBytes(out));
  }

  #takeGiven(out: Uint8Array[]): void {
    for (let text = this.#turns[0]; typeof text === "string"; text = this.#turns[0]) {
      this.#turns.shift();
      const isWhole = text.endsWith("\r\n"); // the bytes of a reply, and no error's text
      out.push(encoder.encode(isWhole ? text : `${text === "OK" ? "+" : "-"}${text}\r\n`));
    }
  }

  #over(turn: PassedCommand): void {
    turn.end();
    this.#judge.over(turn);
  }

  #forget(): void {
    for (const turn of this.#turns) if (turn instanceof PassedCommand) this.#over(turn);
    this.#turns = [];
  }
}

/** Whether a read that was ended has given nothing, so that another answer may take its place. */
function saysNothing(reply: Uint8Array): boolean {
  return isNothing(reply) || /^(UNBLOCKED|NOGROUP)/.test(errorOf(reply) ?? "");
}
