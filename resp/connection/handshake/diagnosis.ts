// Explains why a connection attempt has failed, and what to do. Pure: the input is what the attempt has received, the result is a
// sentence.

import { printable, StreamerError } from "../../errors.ts";
import { decodeText } from "../../value.ts";

/** The state of a connection attempt when it failed. */
export interface AttemptSigns {
  /** Whether TLS was used. */
  readonly tls: boolean;
  /** Whether the connection was open, with TLS if it was used. */
  readonly opened: boolean;
  /** Number of received bytes. */
  readonly received: number;
  /** The first received bytes that belong to no valid reply. */
  readonly unread: Uint8Array;
  /** Milliseconds that the attempt was given. */
  readonly timeout: number;
}

/** Maximum bytes of a reply that an error shows. */
const SHOWN = 40;

/** Why an attempt has taken too long. */
export function whyLate(signs: AttemptSigns): string {
  const { tls, opened, received, timeout } = signs;
  if (!opened && tls) {
    return `the TLS handshake was not completed within ${timeout} ms. ` +
      "Check the address, and use a redis:// URL if the port does not expect TLS";
  }
  if (!opened) return `no response within ${timeout} ms. Check the address and the firewall`;
  if (received > 0) return `the server did not complete the handshake within ${timeout} ms`;
  const hint = tls ? "" : " The port may belong to another program, or expect TLS (a rediss:// URL)";
  return `the port accepts connections, but no reply arrived within ${timeout} ms.${hint}`.replace(/\.$/, "");
}

/** Why an attempt has failed during the handshake. */
export function whyFailed(error: unknown, signs: AttemptSigns): string {
  const { tls, received, unread, timeout } = signs;
  const stranger = strangerIn(unread);
  if (stranger !== undefined) return stranger;
  if (!(error instanceof StreamerError)) return "an unexpected error occurred";
  if (error.code === "TIMEOUT") return `the server did not complete the handshake within ${timeout} ms`;
  if (error.code === "PROTOCOL") {
    return received > 0 && unread.length === received
      ? `the server does not speak the Redis protocol. Its reply starts with ${quoted(unread)}`
      : `the server sent an invalid reply. ${error.message}`;
  }
  if (received > 0) return "the server closed the connection during the handshake";
  const reasons = tls ? "" : "The port may expect TLS (a rediss:// URL). ";
  return `the server closed the connection without a reply. ${reasons}` +
    "A proxy may refuse HELLO or CLIENT: set protocol to 2 and clientInfo to false";
}

const STRANGERS: readonly (readonly [RegExp, string])[] = [
  [/^HTTP\/\d/, "an HTTP server answers on this port"],
  [/^SSH-\d/, "an SSH server answers on this port"],
  [/^220[ -]/, "a mail or FTP server answers on this port"],
  [/^(?:CLIENT_)?ERROR\b.{0,40}\r\n/, "a memcached server answers on this port"],
  // deno-lint-ignore no-control-regex -- a TLS alert, and the greeting of MySQL, begin so
  [/^\x15\x03[\x00-\x04]/, "this port expects TLS. Use a rediss:// URL"],
  // deno-lint-ignore no-control-regex -- three bytes of length, a sequence number of 0, version 10 or an error
  [/^[^][^]\x00\x00(?:\n[ -~]{3}|\xff[^][^])/, "a MySQL or MariaDB server answers on this port"],
  // deno-lint-ignore no-control-regex -- four bytes of length
  [/^E\x00\x00[^][^]S[A-Z]{4,}\x00/, "a PostgreSQL server answers on this port"],
];

/** Recognises another program by its first bytes. */
function strangerIn(unread: Uint8Array): string | undefined {
  const text = Array.from(unread.subarray(0, 64), (byte) => String.fromCharCode(byte)).join("");
  return STRANGERS.find(([pattern]) => pattern.test(text))?.[1];
}

/** The first line of a reply, safe to print. */
function quoted(bytes: Uint8Array): string {
  const [line] = decodeText(bytes.subarray(0, SHOWN)).split(/\r?\n/, 1);
  return `"${printable(line)}"`;
}
