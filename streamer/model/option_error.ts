// The error of an invalid argument or option. Its text names the call that was refused.

import { StreamerError } from "../../resp/errors.ts";

/** An `INVALID_OPTION` whose text is `Cannot <action>: <complaint>`. */
export class OptionError extends StreamerError {
  static override readonly name = "StreamerError";
  readonly #complaint: string;

  constructor(complaint: string, action = "use this value") {
    super("INVALID_OPTION", `Cannot ${action}: ${complaint}`);
    this.#complaint = complaint;
  }

  /** The same error with another action. Errors of other classes are returned as they are. */
  static during(action: string, error: unknown): unknown {
    return error instanceof OptionError ? new OptionError(error.#complaint, action) : error;
  }
}

/** Runs checks. If they throw an {@linkcode OptionError}, its text names this action. */
export function checkFor<T>(action: string, check: () => T): T {
  try {
    return check();
  } catch (error) {
    throw OptionError.during(action, error);
  }
}
