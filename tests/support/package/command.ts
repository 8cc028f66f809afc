// Runs one command of the job `package`; its output is shown if it fails.

/** Where and how a command runs. */
export interface CommandOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Milliseconds that a command may take: some of them download packages. */
const LIMIT = 300_000;
/** Characters of a failed command's output that are shown. */
const EXCERPT = 4_000;

/** Runs a command to its end and returns its output. Rejects if it fails. */
export async function run([program, ...args]: readonly string[], { cwd, env }: CommandOptions): Promise<string> {
  const child = new Deno.Command(program, {
    args,
    cwd,
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(LIMIT),
  });
  const { success, code, stdout, stderr } = await child.output();
  const output = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  if (success) return output;
  throw new Error(`${[program, ...args].join(" ")} failed with code ${code}\n${output.slice(-EXCERPT)}`);
}
