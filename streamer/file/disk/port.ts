// The port between the file format and the disk.

/** An open file. Positions and lengths are in bytes. */
export interface FilePort {
  /** Reads at most as many bytes as fit; resolves to their number, 0 at the end of the file. */
  read(into: Uint8Array, position: number): Promise<number>;
  /** Writes some or all of the bytes; resolves to their number. */
  write(from: Uint8Array, position: number): Promise<number>;
  /** The current size of the file. */
  size(): Promise<number>;
  /** Shortens the file. */
  truncate(length: number): Promise<void>;
  /** Resolves once all written bytes are on the disk. */
  sync(): Promise<void>;
  /** Closes the file. */
  close(): Promise<void>;
  /** Removes a file that was opened as new. Call it after `close`, since some systems refuse it before. */
  remove(): Promise<void>;
}

/** How to open a file: for reading, as a new file, from its beginning, or for reading and writing a file that may exist. */
export type OpenMode = "read" | "new" | "replace" | "append";

/** Opens files. */
export type OpenFile = (path: string, mode: OpenMode) => Promise<FilePort>;
