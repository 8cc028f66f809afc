// The error of a connection that could not be established.

import { StreamerError } from "../../errors.ts";
import { TransportError } from "../../transport/transport.ts";

/** The codes of a {@linkcode ConnectError}. */
export type ConnectErrorCode = "CONNECT" | "AUTH" | "TIMEOUT" | "UNSUPPORTED";

/** What a {@linkcode ConnectError} consists of, besides its code and its reason. */
export interface ConnectErrorOptions {
  /** Whether another attempt cannot succeed. */
  readonly final: boolean;
  readonly cause?: unknown;
  /** The server's address, without credentials. */
  readonly place?: string;
}

/** The reason why a connection could not be established. Its text is `Cannot connect to <place>: <reason>`. */
export class ConnectError extends StreamerError {
  static override readonly name = "StreamerError";
  readonly #final: boolean;
  readonly #reason: string;
  readonly #place: string | undefined;

  constructor(code: string, reason: string, { final, cause, place }: ConnectErrorOptions) {
    super(code, `Cannot connect${place === undefined ? "" : ` to ${place}`}: ${reason}`, { cause });
    this.#final = final;
    this.#reason = reason;
    this.#place = place;
  }

  /** Whether another attempt cannot succeed. */
  get final(): boolean {
    return this.#final;
  }

  /**
   * What may have to change for another attempt to succeed: the `"address"`, since nothing answers there, or the `"name"` that the
   * certificate must contain. `undefined` if neither helps.
   */
  get suspect(): "address" | "name" | undefined {
    const kind = this.cause instanceof TransportError ? this.cause.kind : undefined;
    if (kind === "certificate") return "name";
    return kind === "connect" || kind === "forbidden" || this.code === "TIMEOUT" ? "address" : undefined;
  }

  /** The same error with the server's address in its text, unless it has one. */
  at(place: string): ConnectError {
    return this.#with({ place: this.#place ?? place });
  }

  /** The same error as one after which another attempt may succeed. */
  passing(): ConnectError {
    return this.#with({ final: false });
  }

  /** The same error with one more sentence in its text. */
  noting(sentence: string): ConnectError {
    return this.#with({ reason: `${this.#reason}. ${sentence}` });
  }

  #with(changes: { readonly place?: string; readonly final?: boolean; readonly reason?: string }): ConnectError {
    const { place = this.#place, final = this.#final, reason = this.#reason } = changes;
    return new ConnectError(this.code, reason, { final, cause: this.cause, ...(place === undefined ? {} : { place }) });
  }
}
