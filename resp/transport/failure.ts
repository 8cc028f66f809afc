// What the runtimes' errors mean: each becomes the same TransportError on every runtime.
// It must not know sockets; it reads names, codes and texts only.

import { printable } from "../errors.ts";
import { type Endpoint, type TlsOptions, TransportError, type TransportErrorKind } from "./transport.ts";

/** How far dialling had come: TCP or the unix socket (with name resolution), or the TLS handshake on it. */
export type Phase = "connect" | "tls";

const SENTENCES: Record<TransportErrorKind, string> = {
  connect: "as nobody answers there",
  certificate: "as a certificate is not accepted",
  tls: "as no TLS can be spoken there",
  unsupported: "as this runtime cannot do it",
  denied: "as permission is denied",
};

/** The error of a dialling that failed in `phase`; a {@linkcode TransportError} passes through. */
export function dialFailure(endpoint: Endpoint, phase: Phase, cause: unknown): TransportError {
  if (cause instanceof TransportError) return cause;
  const kind = kindOf(phase, cause);
  return new TransportError(kind, `Cannot connect to ${placeOf(endpoint)} ${SENTENCES[kind]}: ${textOf(cause)}`, {
    cause,
  });
}

/**
 * The cause a sink hears when an open transport breaks: a {@linkcode TransportError} where TLS itself failed (a
 * server of TLS 1.3 refuses a client's certificate only after the handshake), else the runtime's own error.
 */
export function endCause(endpoint: Endpoint, cause: unknown): unknown {
  if (endpoint.kind !== "tcp" || endpoint.tls === undefined) return cause;
  if (!isOfTls(cause)) return cause;
  const kind = CERTIFICATE.test(signsOf(cause)) ? "certificate" : "tls";
  return new TransportError(kind, `Cannot go on with ${placeOf(endpoint)} ${SENTENCES[kind]}: ${textOf(cause)}`, {
    cause,
  });
}

/** What ends a transport whose owner writes while an earlier write is not yet taken: mixed bytes would be worse. */
export function overlap(): Error {
  return new Error("Cannot write as the write before must have been taken: it is still going on");
}

/** Whether an error comes from TLS and not from the socket below it. */
export function isOfTls(cause: unknown): boolean {
  const signs = signsOf(cause);
  return CERTIFICATE.test(signs) || TLS.test(signs);
}

/**
 * Refuses what a runtime would quietly take for something else: half a client certificate for none, an empty list of
 * authorities for its own ones.
 */
export function checkTlsOptions(endpoint: Endpoint, { caCerts, cert, key }: TlsOptions): void {
  const wrong = caCerts?.length === 0
    ? "caCerts must hold a certificate: it is empty"
    : (cert === undefined) !== (key === undefined)
    ? `cert and key must be given together: ${cert === undefined ? "cert" : "key"} is missing`
    : undefined;
  if (wrong !== undefined) throw optionFailure(endpoint, wrong);
}

/** The error of TLS options that cannot be meant. */
export function optionFailure(endpoint: Endpoint, wrong: string, cause?: unknown): TransportError {
  return new TransportError("certificate", `Cannot connect to ${placeOf(endpoint)} as ${wrong}`, { cause });
}

function placeOf(endpoint: Endpoint): string {
  if (endpoint.kind === "unix") return endpoint.path;
  const { hostname, port } = endpoint;
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

// OpenSSL's verification codes (X509_V_ERR_* as Node and Bun spell them), the alerts by which the other side
// refuses our certificate, unreadable PEM of ours, and rustls' words for the same.
const CERTIFICATE = new RegExp(
  [
    "CERT_|_CERT\\b|_CERTS?_|CERTIFICATE|ISSUER|LEAF_SIGNATURE|SELF_SIGNED|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE",
    "PATH_LENGTH_EXCEEDED|UNKNOWN_CA|PEM_|OSSL_|KEY_VALUES_MISMATCH|NO_START_LINE|ALERT_ACCESS_DENIED|CRL_|_CRL\\b",
    "certificate|Invalid CA|UnknownIssuer|UnknownCA|NotValidForName|PrivateKey|private key|\\bPEM\\b",
  ].join("|"),
);
const TLS = /ERR_SSL|ERR_TLS|EPROTO|\bSSL\b|\bTLS\b|\btls\b|fatal alert|corrupt message|InvalidContentType|handshake/;
const DENIED = /^(NotCapable|PermissionDenied)\b|\b(EACCES|EPERM|ERR_ACCESS_DENIED)\b/;

function kindOf(phase: Phase, cause: unknown): TransportErrorKind {
  const signs = signsOf(cause);
  if (DENIED.test(signs)) return "denied";
  if (phase === "connect") return "connect";
  return CERTIFICATE.test(signs) ? "certificate" : "tls";
}

/** Name, code and text of an error in one line; of an AggregateError (several addresses tried) the first one's. */
function signsOf(cause: unknown): string {
  const error = cause instanceof AggregateError && cause.errors.length > 0 ? cause.errors[0] : cause;
  if (!(error instanceof Error)) return "";
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  return `${error.name} ${code} ${error.message}`;
}

/** A certificate's names stand in it: the other side's words, made safe to print. */
function textOf(cause: unknown): string {
  const error = cause instanceof AggregateError && cause.errors.length > 0 ? cause.errors[0] : cause;
  return printable(error instanceof Error && error.message !== "" ? error.message : String(error));
}
