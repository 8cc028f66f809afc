// The first words on a connection: protocol, user, names, database, and who the server says we are. It must not know
// how the connection was opened, nor when it is opened again.

import { RedisError, StreamerError } from "../errors.ts";
import { pairsOf, type RespValue, textOf } from "../value.ts";
import { type Command, valueCommand, wrongShape } from "./command.ts";
import type { Pipeline } from "./pipeline.ts";

/** What a connection introduces itself with. */
export interface Credentials {
  readonly username?: string;
  readonly password?: string;
  readonly db: number;
  readonly clientName?: string;
  readonly libraryName: string;
  readonly libraryVersion: string;
}

/** What the server said of itself and of this connection. */
export interface ServerInfo {
  /** The protocol spoken from now on. */
  readonly protocol: 2 | 3;
  /** `"standalone"`, `"cluster"` or `"sentinel"`; `undefined` where the server does not tell. */
  readonly mode: string | undefined;
  /** The server's name and version, as in `"redis 8.0.6"`; `undefined` where it does not tell. */
  readonly server: string | undefined;
  /** This connection as the server names it, by which it can be killed; `undefined` where it does not tell. */
  readonly identity: ConnectionIdentity | undefined;
}

/** A connection as its server names it: the number alone may be a stranger's after a restart. */
export interface ConnectionIdentity {
  readonly id: string;
  readonly address: string;
}

/** Why a connection could not be made ready. `final` means that trying again cannot help. */
export class ConnectError extends StreamerError {
  readonly final: boolean;

  constructor(code: "CONNECT" | "AUTH" | "TIMEOUT" | "UNSUPPORTED", message: string, final: boolean, cause: unknown) {
    super(code, message, { cause });
    this.final = final;
  }
}

/**
 * Makes a fresh connection ready, in one round trip where the server knows HELLO.
 *
 * @throws {ConnectError} what the server refused; the pipeline's own end where it ended.
 */
export async function handshake(pipeline: Pipeline, credentials: Credentials): Promise<ServerInfo> {
  const { username, password, clientName, db } = credentials;
  const hello = ["HELLO", "3"];
  // A user without a password is asked for all the same: to go on as another one would be worse than to be refused.
  if (username !== undefined || password !== undefined) hello.push("AUTH", username ?? "default", password ?? "");
  if (clientName !== undefined) hello.push("SETNAME", clientName);
  const [greeting, , , ...rest] = await settle(pipeline, [
    { ...valueCommand(hello), secret: true },
    valueCommand(["CLIENT", "SETINFO", "LIB-NAME", credentials.libraryName]),
    valueCommand(["CLIENT", "SETINFO", "LIB-VER", credentials.libraryVersion]),
    ...selection(db),
    valueCommand(["CLIENT", "INFO"]),
  ]);
  if (greeting instanceof RedisError) {
    if (!isUnknownHello(greeting)) throw refusal(greeting);
    return await oldHandshake(pipeline, credentials);
  }
  const { mode, server } = readGreeting(greeting);
  checkSelected(db, rest[0]);
  return { protocol: 3, mode, server, identity: await identify(pipeline, rest.at(-1)) };
}

/** The server's mode, name and version, out of pairs that tell at least the protocol we asked for. */
function readGreeting(greeting: RespValue): Pick<ServerInfo, "mode" | "server"> {
  const pairs = new Map(pairsOf(greeting)?.map(([name, value]) => [textOf(name), value]));
  if (pairs.get("proto") !== 3) throw wrongShape("HELLO", "pairs with the protocol 3");
  const [name, version] = [textOf(pairs.get("server")), textOf(pairs.get("version"))];
  return { mode: textOf(pairs.get("mode")), server: name && version ? `${name} ${version}` : undefined };
}

/** For servers before 6.0, or behind something that knows no HELLO: RESP2, one step at a time. */
async function oldHandshake(pipeline: Pipeline, credentials: Credentials): Promise<ServerInfo> {
  const { username, password, clientName, db } = credentials;
  if (username !== undefined || password !== undefined) {
    const args = username === undefined ? ["AUTH", password ?? ""] : ["AUTH", username, password ?? ""];
    const [answer] = await settle(pipeline, [{ ...valueCommand(args), secret: true }]);
    if (answer instanceof RedisError) throw refusal(answer);
  }
  const named = clientName === undefined ? [] : [valueCommand(["CLIENT", "SETNAME", clientName])];
  const [info, ...rest] = await settle(pipeline, [valueCommand(["CLIENT", "INFO"]), ...selection(db), ...named]);
  if (info instanceof RedisError && info.code === "NOAUTH") throw refusal(info);
  checkSelected(db, rest[0]);
  return { protocol: 2, mode: undefined, server: undefined, identity: await identify(pipeline, info) };
}

type Answer = RespValue | RedisError;

/**
 * Sends all, and gives for each its value or the server's refusal. Where the connection ends in between, a refusal of
 * the first one is given all the same: it is why a server closes that is full, or protected.
 */
async function settle(pipeline: Pipeline, commands: readonly Command<RespValue>[]): Promise<Answer[]> {
  const outcomes = await Promise.allSettled(commands.map((command) => pipeline.call(command)));
  const answers: Answer[] = [];
  for (const outcome of outcomes) {
    if (outcome.status === "fulfilled") answers.push(outcome.value);
    else if (isRefusal(outcome.reason)) answers.push(outcome.reason);
    else if (answers[0] instanceof RedisError && !isUnknownHello(answers[0])) break;
    else throw outcome.reason;
  }
  return answers;
}

function isRefusal(error: unknown): error is RedisError {
  return error instanceof RedisError && error.command !== NO_COMMAND;
}

/** What {@linkcode Pipeline} names an error that answered nothing. */
const NO_COMMAND = "(no command)";

function selection(db: number): Command<RespValue>[] {
  return db === 0 ? [] : [valueCommand(["SELECT", db])];
}

function checkSelected(db: number, answer: Answer | undefined): void {
  if (db === 0) return;
  if (answer instanceof RedisError) throw refusal(answer);
  if (answer !== "OK") throw wrongShape("SELECT", "OK");
}

/** Whether HELLO itself is what the server does not know or cannot do. */
function isUnknownHello(error: RedisError): boolean {
  if (error.code === "NOPROTO") return true;
  return error.code === "ERR" && !error.message.startsWith("ERR max number of clients");
}

/** The server's refusal as what `connect` rejects with. */
export function refusal(error: RedisError): ConnectError {
  switch (error.code) {
    case "NOAUTH":
      return new ConnectError("AUTH", "Cannot connect as the server requires a password", true, error);
    case "WRONGPASS":
      return new ConnectError("AUTH", "Cannot connect as the server refuses the user name or password", true, error);
    case "NOPERM":
    case "DENIED":
    case "NOPROTO":
      return new ConnectError("CONNECT", `Cannot connect as the server answered ${error.code}`, true, error);
    case "LOADING":
    case "BUSY":
    case "MASTERDOWN":
    case "CLUSTERDOWN":
      return new ConnectError("CONNECT", `Cannot connect yet as the server answered ${error.code}`, false, error);
  }
  if (error.command === "AUTH") {
    return new ConnectError("AUTH", "Cannot connect as the server refuses the password", true, error);
  }
  const later = error.message.startsWith("ERR max number of clients");
  const what = error.command === "SELECT" ? "refuses the database" : "refuses the connection";
  return new ConnectError("CONNECT", `Cannot connect as the server ${what}`, !later, error);
}

/** Reads `id` and `addr` off CLIENT INFO; before Redis 6.2, off the line of CLIENT LIST with our id. */
async function identify(pipeline: Pipeline, info: Answer | undefined): Promise<ConnectionIdentity | undefined> {
  if (!(info instanceof RedisError)) return identityIn(textOf(info) ?? "");
  if (info.code !== "ERR") return undefined;
  const [id, list] = await settle(pipeline, [valueCommand(["CLIENT", "ID"]), valueCommand(["CLIENT", "LIST"])]);
  if (typeof id !== "number" || list instanceof RedisError) return undefined;
  const lines = (textOf(list) ?? "").split("\n");
  return identityIn(lines.find((line) => line.startsWith(`id=${id} `)) ?? "");
}

function identityIn(line: string): ConnectionIdentity | undefined {
  const fields = line.trim().split(" ");
  const id = fields.find((field) => field.startsWith("id="))?.slice(3);
  const address = fields.find((field) => field.startsWith("addr="))?.slice(5);
  return id && address ? { id, address } : undefined;
}
