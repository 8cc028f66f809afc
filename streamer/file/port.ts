// The seam between the file format and the disk. It must not know either.

/** An open file. Positions and lengths are in bytes. */
export interface FilePort {
  /** Reads up to as much as fits; gives how many bytes came, 0 at the end of the file. */
  read(into: Uint8Array, position: number): Promise<number>;
  /** Writes some or all of it; gives how many bytes were taken. */
  write(from: Uint8Array, position: number): Promise<number>;
  /** How long the file is now. */
  size(): Promise<number>;
  /** Cuts the file. */
  truncate(length: number): Promise<void>;
  /** Returns when what was written is on the disk. */
  sync(): Promise<void>;
  /** Gives the file back. */
  close(): Promise<void>;
  /** Takes the file away; only of one that was opened as new, and after `close`, since not every system can before. */
  remove(): Promise<void>;
}

/** How a file is opened: to read; to write one that is new; to write one from its beginning; to read and write what may be there. */
export type OpenMode = "read" | "new" | "replace" | "append";

/** Opens files. */
export type OpenFile = (path: string, mode: OpenMode) => Promise<FilePort>;
