// Runs a file of examples/recipes/ as a program of its own. Must not know what a recipe does.

import { platform } from "node:process";
import { fileURLToPath } from "node:url";
import { Program } from "../programs/program.ts";
import { canStartServers } from "../servers/server.ts";

const folder = new URL("../../../examples/recipes/", import.meta.url);

/** Milliseconds to wait for something that a recipe should print. */
const PATIENCE = 15_000;

/** Recipes have fixed stream names, so each test needs a server of its own. They stop on SIGTERM, which Windows does not have. */
export const ignore: boolean = platform === "win32" || !await canStartServers();

/** How a recipe is started. */
export interface RecipeOptions {
  /** Its server. */
  readonly url: string;
  readonly args?: readonly string[];
}

/** A running recipe. */
export class Recipe extends Program {
  readonly #name: string;

  constructor(name: string, { url, args = [] }: RecipeOptions) {
    super(fileURLToPath(new URL(name, folder)), { args, env: { REDIS_URL: url, PORT: "0", NO_COLOR: "1" } });
    this.#name = name;
  }

  /** Resolves to the exit code. */
  get ended(): Promise<number | null> {
    return this.exited;
  }

  /** Waits until its output, of stdout and stderr, matches. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    const late = Symbol();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const timeout = new Promise<typeof late>((resolve) => timer = setTimeout(resolve, PATIENCE, late));
    try {
      for (;;) {
        const match = pattern.exec(this.stdout) ?? pattern.exec(this.stderr);
        if (match) return match;
        if (this.isGone) throw new Error(`${this.#name} exited before it printed ${pattern}: ${this.output}`);
        if (await Promise.race([this.stirred(), timeout]) === late) {
          throw new Error(`${this.#name} did not print ${pattern} within ${PATIENCE} ms: ${this.output}`);
        }
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** The address of a recipe that serves HTTP, without a slash at its end. */
  async origin(): Promise<string> {
    const [, port] = await this.says(/port: (\d+)/);
    return `http://localhost:${port}`;
  }

  /** Stops it as a supervisor does; resolves to its exit code. */
  async stop(): Promise<number | null> {
    this.signal("SIGTERM");
    return await this.ended;
  }
}
