// Writes a file that gets its name when it is complete. A replaced file passes on its mode and owner.

import { constants } from "node:fs";
import { chmod, chown, open, readlink, realpath, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";

/** A file that is being written under a temporary name. */
export interface Replacement {
  /** The temporary file, which exists. */
  readonly path: string;
  /** Renames the temporary file to the target; if that fails, the temporary file is removed. */
  commit(): Promise<void>;
  /** Removes the temporary file. */
  discard(): Promise<void>;
}

/** The most links to follow, as on Linux. */
const MAX_LINKS = 40;
/** The mode until the file gets the mode of the replaced file: other users cannot read it before. */
const PRIVATE = 0o600;
const DEFAULT = 0o666; // minus the umask
const PERMISSIONS = 0o7777;
/** Bytes of one copy step. */
const PIECE = 1024 * 1024;

/** Changes the owner of a file, like `chown` of `node:fs/promises`. */
export type GiveAway = (path: string, uid: number, gid: number) => Promise<void>;

/**
 * Creates a temporary file in the folder of the target. The path may be a symbolic link, even a dangling one: the target of the
 * link is created or replaced, and the link stays. A device or a pipe is written directly.
 *
 * A new file has the mode 0666 minus the umask. A file that replaces another has the mode and the owner of that file. If the
 * system refuses to change the owner (EPERM), `commit` overwrites the content of the existing file instead of replacing it.
 */
export async function replaceFile(path: string, giveAway: GiveAway = chown): Promise<Replacement> {
  const there = await stat(path).catch(missing);
  if (there !== undefined && !there.isFile()) {
    return { path, commit: () => Promise.resolve(), discard: () => Promise.resolve() };
  }
  const target = there === undefined ? await endOfLinks(path) : await realpath(path);
  const temporary = join(dirname(target), `.${basename(target)}.${crypto.randomUUID().slice(0, 8)}.part`);
  await (await open(temporary, "wx", there === undefined ? DEFAULT : PRIVATE)).close();
  const discard = () => rm(temporary, { force: true });
  const commit = async () => {
    try {
      const kept = await stat(target).catch(missing) ?? there;
      if (kept === undefined || await liken(temporary, kept, giveAway)) return await rename(temporary, target);
      await (await open(target, constants.O_WRONLY)).close(); // Deno's `access` ignores the rights of root
    } catch (error) {
      await discard();
      throw error;
    }
    await copyContent(temporary, target).catch((cause) => {
      throw new Error(`${messageOf(cause)} (the complete content is in ${temporary})`, { cause });
    });
    await discard();
  };
  return { path: temporary, commit, discard };
}

/** The file that opening a missing path or a dangling link would create. */
async function endOfLinks(path: string): Promise<string> {
  let at = resolve(path);
  for (let links = 0; links < MAX_LINKS; links++) {
    const link = await readlink(at).catch(() => undefined);
    if (link === undefined) break;
    at = resolve(await realpath(dirname(at)), link);
  }
  return at;
}

interface Owned {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** Sets the mode and the owner of a file; false if the system refuses the owner. */
async function liken(path: string, { mode, uid, gid }: Owned, giveAway: GiveAway): Promise<boolean> {
  const mine = await stat(path);
  if (mine.uid !== uid || mine.gid !== gid) {
    try {
      await giveAway(path, uid, gid);
    } catch (error) {
      if (Object(error).code !== "EPERM") throw error;
      return false;
    }
  }
  await chmod(path, mode & PERMISSIONS); // after chown, which clears some mode bits
  return true;
}

/** Overwrites the content only; `copyFile` would copy the mode too. */
async function copyContent(from: string, to: string): Promise<void> {
  await using source = await open(from, constants.O_RDONLY);
  await using target = await open(to, constants.O_WRONLY);
  const piece = new Uint8Array(PIECE);
  let length = 0;
  for (;;) {
    const { bytesRead } = await source.read(piece, 0, piece.length, length);
    if (bytesRead === 0) break;
    for (let at = 0; at < bytesRead;) {
      const { bytesWritten } = await target.write(piece, at, bytesRead - at, length + at);
      at += bytesWritten;
    }
    length += bytesRead;
  }
  await target.truncate(length);
  await target.sync();
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function missing(error: unknown): undefined {
  if (Object(error).code !== "ENOENT") throw error;
}
