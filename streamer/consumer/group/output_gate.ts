// What `process` needs of a consumer in a group to store the outputs of messages in one step with their acknowledgement.

import type { Command } from "../../../resp/connection/command.ts";
import { RedisError } from "../../../resp/errors.ts";
import type { Router } from "../../cluster/router.ts";
import type { Message } from "../../model/message.ts";
import type { SessionParts } from "./session/session_parts.ts";
import type { SessionState } from "./session/session_state.ts";

/** A message whose outputs are being stored. */
type GatedInput = NonNullable<ReturnType<SessionState["pendingEntries"]["gated"]>>;

/** Acknowledges messages together with their outputs. */
export class OutputGate {
  readonly #state: SessionState;
  readonly #parts: Pick<SessionParts, "committer" | "groups">;

  constructor(state: SessionState, parts: Pick<SessionParts, "committer" | "groups">) {
    this.#state = state;
    this.#parts = parts;
  }

  /** The router of the consumer's streamer. */
  get router(): Router {
    return this.#state.context.router;
  }

  /** The URL of the consumer's streamer. */
  get uri(): string {
    return this.#state.context.uri;
  }

  get group(): string {
    return this.#state.context.member.group;
  }

  get consumer(): string {
    return this.#state.context.member.consumer;
  }

  /** The keys that are read. */
  get redisKeys(): readonly string[] {
    return this.#state.assignment.read.map(({ redisKey }) => redisKey);
  }

  /** Whether messages are read without the group, so that they are pending nowhere. */
  get hasLeftGroup(): boolean {
    return this.#state.standalone !== undefined;
  }

  /** Begins with a message whose handler has returned. `undefined` if it was read without the group. */
  begin(message: Message): GatedInput | undefined {
    const { pendingEntries, gate, drain, context: { server } } = this.#state;
    const onSettled = () => {
      gate.onCapacity();
      drain.check();
    };
    return pendingEntries.gated(message, { now: () => server.clock.now(), onSettled });
  }

  /** The server has answered that the group of an input is missing: it is recreated as ever. */
  groupMissing(input: GatedInput, text: string): void {
    void this.#parts.groups.lookFor([input.place.batch.shard], new RedisError(text, { command: "EVAL" }));
  }

  /** Runs a repeatable command until the server has answered, or the consumer acknowledges nothing any more. */
  run<T>(command: Command<T>): Promise<T> {
    return this.#parts.committer.run(command);
  }
}
