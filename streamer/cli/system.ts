// The port between the command line and its process. `cli.ts` implements it for the three runtimes, tests implement it themselves.

/** The form of an option, as in `node:util`. */
export interface ParsedOption {
  readonly type: "string" | "boolean";
  readonly multiple?: boolean;
  readonly short?: string;
}

/** Parsed arguments. */
export interface ParsedArguments {
  readonly values: Readonly<Record<string, unknown>>;
  readonly positionals: readonly string[];
}

/** An output stream of bytes. */
export interface Output {
  /** Whether it is a terminal. */
  readonly isTerminal: boolean;
  /**
   * Writes bytes and resolves to the number of bytes that were accepted: fewer than given if the reader has gone away.
   * If the signal is aborted, it stops waiting and resolves to the number that is known by then. The bytes must not change
   * until it resolves.
   */
  write(bytes: Uint8Array, signal?: AbortSignal): Promise<number>;
}

/** An output for people. */
export interface Screen {
  /** Whether it is a terminal. */
  readonly isTerminal: boolean;
  /** Its width; 80 if unknown. */
  readonly columns: number;
  /** Its height; 24 if unknown. */
  readonly rows: number;
  /** Writes text at once; text that cannot be written is dropped. */
  write(text: string): void;
}

/** An input stream of bytes. */
export interface Input {
  /** Whether it is a terminal, at which somebody types. */
  readonly isTerminal: boolean;
  /** The number of all bytes; `undefined` if unknown. */
  readonly size: number | undefined;
  /** Fills `into` with the bytes that are available, at least one; resolves to their number, 0 at the end. Rejects with the signal's reason. */
  read(into: Uint8Array, signal?: AbortSignal): Promise<number>;
  close(): Promise<void>;
}

/** A file that is being written. It gets its name when it is complete. */
export interface NewFile {
  /** Where it is written until then. */
  readonly path: string;
  /** Gives it its name, and replaces a file that had the name before. */
  commit(): Promise<void>;
  /** Removes it. */
  discard(): Promise<void>;
}

/** Called with each key that is pressed; `"\u0003"` is Ctrl-C. */
export type OnKey = (key: string) => void;

/** The process, as far as the command line uses it. */
export interface System {
  /** The arguments after the program's name. */
  readonly args: readonly string[];
  /** Aborted by the first SIGINT, SIGTERM or SIGHUP, with an {@linkcode Interrupted}. */
  readonly signal: AbortSignal;
  readonly stdin: Input;
  readonly stdout: Output;
  /** For progress, summaries and errors. */
  readonly stderr: Screen;
  /** The screen of stdout. */
  readonly screen: Screen;
  /** A variable of the environment. */
  env(name: string): string | undefined;
  /** Parses arguments; throws like `parseArgs` of `node:util`. */
  parse(args: readonly string[], options: Readonly<Record<string, ParsedOption>>): ParsedArguments;
  /** The content of a small text file. */
  readText(path: string): Promise<string>;
  /** Opens a file for reading from its beginning. */
  openFile(path: string): Promise<Input>;
  /** Prepares a file that will be written. */
  newFile(path: string): Promise<NewFile>;
  /** Opens the path of a {@linkcode NewFile} for writing. */
  writeFile(path: string): Promise<FileOutput>;
  /** Listens to single keys if stdin is a terminal. The returned function stops listening. */
  listenToKeys(onKey: OnKey): () => void;
  /** Milliseconds since 1970. */
  now(): number;
}

/** An output into a file. */
export interface FileOutput extends Output {
  /** Flushes the file to the disk and closes it. */
  close(): Promise<void>;
}

/** The reason why a command ends early: a signal. */
export class Interrupted extends Error {
  /** The exit code of the process. */
  readonly exitCode: number;

  constructor(signal: "SIGINT" | "SIGTERM" | "SIGHUP") {
    super(`Stopped by ${signal}`);
    this.exitCode = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }[signal];
  }
}
