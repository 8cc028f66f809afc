// Finds out whether a server is part of a cluster whose handshake does not tell: RESP2 without HELLO. It asks what the user may run, and
// tolerates proxies that refuse a command or close the connection because of it.

import type { Command } from "../../resp/connection/command.ts";
import { ConnectError } from "../../resp/connection/handshake/connect_error.ts";
import { refusal } from "../../resp/connection/handshake/handshake.ts";
import type { OpenConnection } from "../../resp/connection/node.ts";
import { classOf } from "../../resp/connection/server_errors.ts";
import { RedisError, StreamerError } from "../../resp/errors.ts";
import { clusterSlots } from "../commands/cluster_slots.ts";
import { modeByHello, modeByInfo } from "../commands/server_mode.ts";

/** A server, and what is known of it. */
export interface FoundMode {
  /** An open connection to it, which may be another one than before. */
  readonly opened: OpenConnection;
  /** `"standalone"`, `"cluster"` or `"sentinel"`. `undefined` if it cannot be found out: it is then used as one server. */
  readonly mode: string | undefined;
  /** Whether the server knows no CLUSTER SLOTS: a proxy hides the nodes of the cluster. */
  readonly isHidden: boolean;
}

/**
 * The mode of the server, from the handshake if it has told it. Otherwise INFO is asked, then CLUSTER SLOTS, and last HELLO, if the user
 * may run neither.
 *
 * @throws {ConnectError} if the server cannot answer for the time being, or the connection cannot be opened again. Or the signal's reason.
 */
export async function findMode(opened: OpenConnection, signal: AbortSignal): Promise<FoundMode> {
  const known = opened.info.mode;
  if (known !== undefined) return { opened, mode: known, isHidden: false };
  const questions = new Questions(opened, signal);
  try {
    return { ...await ask(questions), opened: questions.opened };
  } catch (error) {
    questions.opened.pipeline.end(new StreamerError("DISCONNECTED", "The server is not used"));
    throw error;
  }
}

async function ask(questions: Questions): Promise<Omit<FoundMode, "opened">> {
  const byInfo = await questions.ask(modeByInfo());
  const mode = typeof byInfo === "string" ? byInfo : undefined;
  if (mode !== undefined && mode !== "cluster") return { mode, isHidden: false };
  const slots = await questions.ask(clusterSlots());
  if (Array.isArray(slots)) return { mode: "cluster", isHidden: false };
  const isForbidden = classOf(slots) === "forbidden"; // says nothing: permissions are checked first
  if (mode !== undefined) return { mode, isHidden: !isForbidden };
  const byHello = isForbidden ? await questions.ask(modeByHello()) : undefined;
  return { mode: typeof byHello === "string" ? byHello : undefined, isHidden: false };
}

/** How often a question is asked that ends the connection: once may be an accident. */
const ATTEMPTS = 2;

/** Asks questions over a connection, and opens another one if the server closes it. */
class Questions {
  #opened: OpenConnection;
  readonly #signal: AbortSignal;

  constructor(opened: OpenConnection, signal: AbortSignal) {
    this.#opened = opened;
    this.#signal = signal;
  }

  /** The connection in use, which is open unless it was lost since the last answer. */
  get opened(): OpenConnection {
    return this.#opened;
  }

  /** Resolves with the answer or the refusal. `undefined` if the server closes the connection, or its reply cannot be read. */
  async ask<T>(command: Command<T>): Promise<T | RedisError | undefined> {
    for (let attempt = 1;; attempt++) {
      const { pipeline, node } = this.#opened;
      try {
        return await pipeline.call(command, { signal: this.#signal });
      } catch (error) {
        this.#signal.throwIfAborted();
        if (error instanceof RedisError) return answered(error, node.name);
        if (error instanceof StreamerError && error.code === "TIMEOUT") throw late(error, node.name);
      }
      this.#opened = await node.open({ signal: this.#signal });
      if (attempt === ATTEMPTS) return undefined;
    }
  }
}

/** Returns a refusal of this command. Throws one of the connection, or one that passes. */
function answered(error: RedisError, place: string): RedisError {
  switch (classOf(error)) {
    case "unauthenticated":
    case "denied":
    case "full":
    case "retry-later":
    case "role-changed":
      throw refusal(error).at(place);
  }
  return error;
}

function late(cause: StreamerError, place: string): ConnectError {
  return new ConnectError("TIMEOUT", "the server did not say whether it is part of a cluster", {
    ...{ final: false, cause, place },
  });
}
