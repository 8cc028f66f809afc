// What the command line asks of the process it runs in. It must not know any runtime: `cli.ts` gives one, tests another.

/** How an option is written; as `node:util` has it. */
export interface ParsedOption {
  readonly type: "string" | "boolean";
  readonly multiple?: boolean;
  readonly short?: string;
}

/** Words taken apart. */
export interface ParsedWords {
  readonly values: Readonly<Record<string, unknown>>;
  readonly positionals: readonly string[];
}

/** A stream of bytes out of the process. */
export interface Output {
  /** Whether it is a terminal. */
  readonly isTerminal: boolean;
  /**
   * Writes bytes and tells how many were taken, once they are: fewer than there are when the reader has gone away. Aborted, it
   * waits no longer, and tells what is known to have been taken. The bytes must not change meanwhile.
   */
  write(bytes: Uint8Array, signal?: AbortSignal): Promise<number>;
}

/** What a person looks at. */
export interface Screen {
  /** Whether it is a terminal. */
  readonly isTerminal: boolean;
  /** How wide it is; 80 where that is not known. */
  readonly columns: number;
  /** How high it is; 24 where that is not known. */
  readonly rows: number;
  /** Writes text at once; what nobody reads is dropped. */
  write(text: string): void;
}

/** Bytes that come one after the other. */
export interface Input {
  /** How many there are in all; `undefined` where that is not known. */
  readonly size: number | undefined;
  /** Fills as much of `into` as is there, at least one byte; 0 at the end. Aborted, it rejects with the reason. */
  read(into: Uint8Array, signal?: AbortSignal): Promise<number>;
  close(): Promise<void>;
}

/** A file that is being made. It takes its name only when it is whole. */
export interface NewFile {
  /** Where it is written meanwhile. */
  readonly path: string;
  /** Gives it its name, in place of a file that had it. */
  commit(): Promise<void>;
  /** Takes it away. */
  discard(): Promise<void>;
}

/** What comes in by the keyboard; `"\u0003"` for Ctrl-C. */
export type OnKey = (key: string) => void;

/** The process, as far as the command line uses it. */
export interface System {
  /** The words behind the program's name. */
  readonly args: readonly string[];
  /** Is aborted by the first SIGINT, SIGTERM or SIGHUP, with an {@linkcode Interrupted}. */
  readonly signal: AbortSignal;
  readonly stdin: Input;
  readonly stdout: Output;
  /** Where figures and mistakes are told. */
  readonly stderr: Screen;
  /** What stdout is as a screen. */
  readonly screen: Screen;
  /** A variable of the environment. */
  env(name: string): string | undefined;
  /** Takes words apart; throws as `parseArgs` of `node:util`. */
  parse(words: readonly string[], options: Readonly<Record<string, ParsedOption>>): ParsedWords;
  /** The whole of a small file as text. */
  readText(path: string): Promise<string>;
  /** Opens a file to be read from its beginning. */
  openFile(path: string): Promise<Input>;
  /** A file to be made, and how bytes are written into it. */
  newFile(path: string): Promise<NewFile>;
  /** Opens what {@linkcode newFile} has named. */
  writeFile(path: string): Promise<FileOutput>;
  /** Listens to single keys, where stdin is a terminal, until what is returned is called. */
  listenToKeys(onKey: OnKey): () => void;
  /** Milliseconds since 1970. */
  now(): number;
}

/** Bytes into a file. */
export interface FileOutput extends Output {
  /** Brings what was written to the disk and gives the file back. */
  close(): Promise<void>;
}

/** Why a command ends early: a signal. */
export class Interrupted extends Error {
  /** What the process is to exit with. */
  readonly exitCode: number;

  constructor(signal: "SIGINT" | "SIGTERM" | "SIGHUP") {
    super(`Stopped by ${signal}`);
    this.exitCode = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }[signal];
  }
}
