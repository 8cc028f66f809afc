// The first commands on a connection: protocol, user, names, database, role, and the connection's identity on the server.

import { RedisError } from "../../errors.ts";
import { pairsOf, type RespValue, textOf } from "../../value.ts";
import { type Command, valueCommand, wrongShape } from "../command.ts";
import { LISTING_REPLY } from "../../reply_limits.ts";
import { classOf, isUncoded } from "../server_errors.ts";
import { ConnectError } from "./connect_error.ts";
import { CLIENT_INFO, type ConnectionIdentity, identify } from "./identity.ts";
import type { Pipeline } from "../pipeline/pipeline.ts";

/** What a connection sends in the handshake. */
export interface Credentials {
  readonly username?: string;
  readonly password?: string;
  readonly db: number;
  readonly clientName?: string;
  readonly libraryName: string;
  readonly libraryVersion: string;
  /** `2` sends no HELLO. `3` refuses a server without RESP3. `"auto"` uses RESP3 if the server speaks it. */
  readonly protocol: 2 | 3 | "auto";
  /** Whether CLIENT commands may be sent. Without them the connection's identity is unknown. */
  readonly clientInfo: boolean;
  /** The role that the server must have. With another role the attempt fails, and a later attempt may succeed. @default {any} */
  readonly expectedRole?: "primary";
  /** The id that the server must have in its cluster. With another one, the attempt fails. @default {any} */
  readonly nodeId?: string | undefined;
}

/** What the server reported about itself and about this connection. */
export interface ServerInfo {
  /** The protocol of this connection. */
  readonly protocol: 2 | 3;
  /** `"standalone"`, `"cluster"` or `"sentinel"`. `undefined` if the server does not report it. */
  readonly mode: string | undefined;
  /** The server's name and version, as in `"redis 8.0.6"`. `undefined` if the server does not report it. */
  readonly server: string | undefined;
  /** The server's id of this connection, for CLIENT KILL. `undefined` if the server does not report it. */
  readonly identity: ConnectionIdentity | undefined;
  /** Whether CLIENT commands may be sent. */
  readonly clientInfo: boolean;
}

/**
 * Sends the handshake on a new connection. It takes one round trip if the server knows HELLO.
 *
 * RESP2 is used if the server answers HELLO 3 in RESP2 or does not know it, and if a proxy answers it with NOAUTH although it
 * contains a password: such proxies know AUTH only.
 *
 * @throws {ConnectError} if the server refuses. If the connection ends, the cause of its end.
 */
export async function handshake(pipeline: Pipeline, credentials: Credentials): Promise<ServerInfo> {
  const info = await introduce(pipeline, credentials);
  const { expectedRole, nodeId } = credentials;
  await Promise.all([
    expectedRole === undefined ? undefined : checkPrimary(pipeline),
    nodeId === undefined ? undefined : checkNodeId(pipeline, nodeId),
  ]);
  return info;
}

async function introduce(pipeline: Pipeline, credentials: Credentials): Promise<ServerInfo> {
  if (credentials.protocol === 2) return await plainHandshake(pipeline, credentials);
  const { clientInfo, db } = credentials;
  const [greeting, ...rest] = await settle(pipeline, [
    { ...valueCommand(helloWords(credentials)), secret: true },
    ...selection(db),
    ...announcement(credentials),
    ...(clientInfo ? [CLIENT_INFO] : []),
  ]);
  if (greeting instanceof RedisError) {
    const isOfProxy = classOf(greeting) === "unauthenticated" && hasCredentials(credentials) &&
      pipeline.ending === undefined;
    if (!isUnknownHello(greeting) && !isOfProxy) throw refusal(greeting);
    if (credentials.protocol === 3) throw noResp3(greeting);
    return await plainHandshake(pipeline, credentials);
  }
  const { protocol, mode, server } = readGreeting(greeting);
  if (protocol === 2 && credentials.protocol === 3) throw noResp3(undefined);
  checkSelected(db, rest[0]);
  const identity = clientInfo ? await identityOf(pipeline, rest.at(-1)) : undefined;
  return { protocol, mode, server, identity, clientInfo };
}

/** A user without a password is sent, too: to be refused is better than to continue as another user. */
function hasCredentials({ username, password }: Credentials): boolean {
  return username !== undefined || password !== undefined;
}

function helloWords(credentials: Credentials): string[] {
  const { username = "default", password = "", clientName } = credentials;
  const words = ["HELLO", "3"];
  if (hasCredentials(credentials)) words.push("AUTH", username, password);
  if (clientName !== undefined) words.push("SETNAME", clientName);
  return words;
}

/** The pairs in a reply to HELLO. */
function fieldsOf(greeting: RespValue): ReadonlyMap<string | undefined, RespValue> {
  return new Map(pairsOf(greeting)?.map(([name, value]) => [textOf(name), value]));
}

/** The server's protocol, mode, name and version. The pairs must contain at least the protocol. */
function readGreeting(greeting: RespValue): Pick<ServerInfo, "protocol" | "mode" | "server"> {
  const pairs = fieldsOf(greeting);
  const protocol = pairs.get("proto");
  if (protocol !== 2 && protocol !== 3) throw wrongShape("HELLO", "pairs with the protocol 2 or 3");
  const [name, version] = [textOf(pairs.get("server")), textOf(pairs.get("version"))];
  return { protocol, mode: textOf(pairs.get("mode")), server: name && version ? `${name} ${version}` : undefined };
}

/** Without HELLO: RESP2, and AUTH as a separate step. Mode and version of the server are then unknown. */
async function plainHandshake(pipeline: Pipeline, credentials: Credentials): Promise<ServerInfo> {
  const { clientName, clientInfo, db } = credentials;
  if (hasCredentials(credentials)) await authenticate(pipeline, credentials);
  const asked = [...selection(db), ...(clientInfo ? [CLIENT_INFO] : [])];
  if (asked.length === 0 && !hasCredentials(credentials)) asked.push(PING); // a reply shows that a server is there
  const named = clientName === undefined ? [] : [valueCommand(["CLIENT", "SETNAME", clientName])];
  const answers = await settle(pipeline, [...asked, ...named, ...announcement(credentials)]);
  const [first] = answers;
  if (first instanceof RedisError && isTurnedAway(first)) throw refusal(first);
  checkSelected(db, first);
  const info = db === 0 ? first : answers[1];
  return {
    protocol: 2,
    mode: undefined,
    server: undefined,
    identity: clientInfo ? await identityOf(pipeline, info) : undefined,
    clientInfo,
  };
}

/** Servers before Redis 6 and some proxies have only one user, without a name. */
async function authenticate(pipeline: Pipeline, { username, password = "" }: Credentials): Promise<void> {
  const forms = username === undefined
    ? [[password]]
    : username === "default"
    ? [[username, password], [password]]
    : [[username, password]];
  let refused: RedisError | undefined;
  for (const form of forms) {
    if (refused !== undefined && (!isUncoded(refused) || isFull(refused) || pipeline.ending !== undefined)) break;
    const [answer] = await settle(pipeline, [{ ...valueCommand(["AUTH", ...form]), secret: true }]);
    if (answer instanceof RedisError) refused = answer;
    else if (textOf(answer) === "OK") return;
    else throw wrongShape("AUTH", "OK");
  }
  if (refused !== undefined) throw refusal(refused);
}

function identityOf(pipeline: Pipeline, info: Answer | undefined): Promise<ConnectionIdentity | undefined> {
  return identify(info ?? null, (command) => pipeline.call(command));
}

type Answer = RespValue | RedisError;

/**
 * Sends all commands, and returns the value or the server's refusal of each. If the connection ends in between, a refusal of
 * the first command is still returned: it is the reason why a full or protected server closes.
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

/** The command name that {@linkcode Pipeline} gives to an error which answers no command. */
const NO_COMMAND = "(no command)";

const PING = valueCommand(["PING"]);

function announcement({ clientInfo, libraryName, libraryVersion }: Credentials): Command<RespValue>[] {
  if (!clientInfo) return [];
  return [
    valueCommand(["CLIENT", "SETINFO", "LIB-NAME", libraryName]),
    valueCommand(["CLIENT", "SETINFO", "LIB-VER", libraryVersion]),
  ];
}

function selection(db: number): Command<RespValue>[] {
  return db === 0 ? [] : [valueCommand(["SELECT", db])];
}

function checkSelected(db: number, answer: Answer | undefined): void {
  if (db === 0) return;
  if (answer instanceof RedisError) throw refusal(answer);
  if (answer !== "OK") throw wrongShape("SELECT", "OK");
}

const ROLE = valueCommand(["ROLE"], { limits: LISTING_REPLY }); // a primary lists its replicas

/**
 * Reports the role, too, and every user may run it. ROLE counts as a dangerous command. Without arguments it changes nothing. Redis 6.2.
 */
const HELLO = valueCommand(["HELLO"]);

/** Rejects if the server is not a primary, as can happen during a failover. Redis 2.8.12. */
async function checkPrimary(pipeline: Pipeline): Promise<void> {
  if (await roleOf(pipeline) !== "master") {
    throw new ConnectError("CONNECT", "the server is not the primary", { final: false });
  }
}

async function roleOf(pipeline: Pipeline): Promise<string> {
  const [answer] = await settle(pipeline, [ROLE]);
  if (answer instanceof RedisError) {
    const kind = classOf(answer);
    const [greeting] = kind === "forbidden" || kind === "unavailable" ? await settle(pipeline, [HELLO]) : [answer];
    const role = greeting instanceof RedisError ? undefined : textOf(fieldsOf(greeting).get("role"));
    if (role === undefined) throw refusal(answer);
    return role;
  }
  const role = Array.isArray(answer) ? textOf(answer[0]) : undefined;
  if (role === undefined) throw wrongShape("ROLE", "a list that begins with a role");
  return role;
}

const MY_ID = valueCommand(["CLUSTER", "MYID"]);

/**
 * Rejects if the server is another node than the one that is meant: addresses are used again, and the next node at this one may
 * belong to another cluster. A server that does not tell its id passes. Redis 3.0.
 */
async function checkNodeId(pipeline: Pipeline, expected: string): Promise<void> {
  const [answer] = await settle(pipeline, [MY_ID]);
  if (answer instanceof RedisError) {
    if (!answer.message.includes("cluster support disabled")) return;
    throw new ConnectError("CONNECT", "another server has this address now: a server without cluster support", {
      final: false,
    });
  }
  const id = textOf(answer);
  if (id === undefined) throw wrongShape("CLUSTER MYID", "an id");
  if (id === expected) return;
  throw new ConnectError("CONNECT", "another node has this address now", { final: false });
}

/** Whether the server does not know HELLO, or not this protocol. */
function isUnknownHello(error: RedisError): boolean {
  return classOf(error) === "unknown-protocol" || (isUncoded(error) && !isFull(error));
}

/** Whether the server accepts no more clients for the time being. */
function isFull(error: RedisError): boolean {
  return classOf(error) === "full";
}

/** Whether an error in reply to the first command means that the server refuses all others, too. */
function isTurnedAway(error: RedisError): boolean {
  const kind = classOf(error);
  return kind === "unauthenticated" || kind === "denied" || kind === "full";
}

/** The error of `protocol: 3` if the server speaks RESP2 only. */
function noResp3(cause: RedisError | undefined): ConnectError {
  return new ConnectError("CONNECT", "the server does not support RESP3 (protocol: 3)", { final: true, cause });
}

/** Converts the server's refusal to the error of a failed connection. */
export function refusal(error: RedisError): ConnectError {
  const kind = classOf(error);
  switch (kind) {
    case "unauthenticated":
      return new ConnectError("AUTH", "the server requires a password", { final: true, cause: error });
    case "wrong-password":
      return new ConnectError("AUTH", "the user name or password is wrong", { final: true, cause: error });
    case "forbidden":
    case "denied":
    case "unknown-protocol":
      return new ConnectError("CONNECT", `the server answered ${error.message}`, { final: true, cause: error });
    case "retry-later":
    case "role-changed":
      return new ConnectError("CONNECT", `the server answered ${error.message}`, { final: false, cause: error });
  }
  const later = kind === "full";
  if (error.command === "AUTH" && !later) {
    return new ConnectError("AUTH", `the server refused the password (${error.message})`, {
      final: true,
      cause: error,
    });
  }
  const what = error.command === "SELECT" ? "database" : "connection";
  const reason = `the server refused the ${what} (${error.message})`;
  return new ConnectError("CONNECT", reason, { final: !later, cause: error });
}
