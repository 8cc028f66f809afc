// Converts the errors of the runtimes: the same failure becomes the same TransportError on every runtime. It reads names, codes and
// texts, and knows no sockets.

import { printable } from "../errors.ts";
import { type Endpoint, type TlsOptions, TransportError, type TransportErrorKind } from "./transport.ts";

/** The phase of dialling: TCP or the unix socket (with name resolution), or the TLS handshake on it. */
export type Phase = "connect" | "tls";

const PREFIXES: Record<TransportErrorKind, string> = {
  connect: "",
  certificate: "a certificate was not accepted. ",
  tls: "the TLS handshake failed. Use a redis:// URL if the port does not expect TLS. ",
  unsupported: "this runtime does not support it. ",
  denied: "the runtime's permissions do not allow it. ",
  forbidden: "the operating system or the network forbids it. ",
};

/** Plain words for the most frequent failures. They are recognised by code, or by text where a runtime gives no code. */
const FAILURES: readonly (readonly [RegExp, string])[] = [
  [/\bECONNREFUSED\b|ConnectionRefused/, "the connection was refused. Check that a server listens there"],
  [/\bENOTFOUND\b|\bEAI_|failed to lookup address/, "the host name cannot be resolved"],
  [/\bENOENT\b/, "the unix socket does not exist"],
];

/** The error of a failed attempt to dial. A {@linkcode TransportError} is returned as it is. */
export function dialFailure(endpoint: Endpoint, phase: Phase, cause: unknown): TransportError {
  if (cause instanceof TransportError) return cause;
  const kind = kindOf(phase, cause);
  const signs = signsOf(cause);
  const known = kind === "connect" ? FAILURES.find(([pattern]) => pattern.test(signs))?.[1] : undefined;
  const text = known ?? `${PREFIXES[kind]}${otherNames(cause) ?? textOf(cause)}`;
  return new TransportError(kind, text, { cause, place: placeOf(endpoint) });
}

/**
 * The cause that a sink gets if an open transport breaks. It is a {@linkcode TransportError} if TLS itself failed, since a server
 * with TLS 1.3 refuses a client's certificate only after the handshake. Otherwise it is the runtime's own error.
 */
export function endCause(endpoint: Endpoint, cause: unknown): unknown {
  if (endpoint.kind !== "tcp" || endpoint.tls === undefined) return cause;
  if (!isOfTls(cause)) return cause;
  const isOfCertificate = CERTIFICATE.test(signsOf(cause));
  const reason = `${isOfCertificate ? PREFIXES.certificate : "TLS failed. "}${textOf(cause)}`;
  return new TransportError(isOfCertificate ? "certificate" : "tls", reason, { cause, place: placeOf(endpoint) });
}

/** The error that ends a transport if its owner writes before the previous write is complete, since the bytes would mix. */
export function overlap(): Error {
  return new Error("A write overlaps the previous one");
}

/** Whether an error comes from TLS and not from the socket below it. */
export function isOfTls(cause: unknown): boolean {
  const signs = signsOf(cause);
  return CERTIFICATE.test(signs) || TLS.test(signs);
}

/** Refuses options that a runtime would silently misread: half a client certificate as none, an empty list of authorities as its own. */
export function checkTlsOptions(endpoint: Endpoint, { caCerts, cert, key }: TlsOptions): void {
  const wrong = caCerts?.length === 0
    ? "'tls.caCerts' must contain a certificate, got []"
    : (cert === undefined) !== (key === undefined)
    ? `'tls.${cert === undefined ? "cert" : "key"}' must be given, since the other half of the client certificate is`
    : undefined;
  if (wrong !== undefined) throw optionFailure(endpoint, wrong);
}

/** The error of invalid TLS options. */
export function optionFailure(endpoint: Endpoint, wrong: string, cause?: unknown): TransportError {
  return new TransportError("certificate", wrong, { cause, place: placeOf(endpoint) });
}

function placeOf(endpoint: Endpoint): string {
  if (endpoint.kind === "unix") return endpoint.path;
  const { hostname, port } = endpoint;
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

// OpenSSL's verification codes (X509_V_ERR_* as Node and Bun spell them), the alerts with which the other side refuses our
// certificate, unreadable PEM, and rustls' words for the same.
const CERTIFICATE = new RegExp(
  [
    "CERT_|_CERT\\b|_CERTS?_|CERTIFICATE|ISSUER|LEAF_SIGNATURE|SELF_SIGNED|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE",
    "PATH_LENGTH_EXCEEDED|UNKNOWN_CA|PEM_|OSSL_|KEY_VALUES_MISMATCH|NO_START_LINE|ALERT_ACCESS_DENIED|CRL_|_CRL\\b",
    "certificate|Invalid CA|UnknownIssuer|UnknownCA|NotValidForName|PrivateKey|private key|\\bPEM\\b",
  ].join("|"),
);
const TLS = /ERR_SSL|ERR_TLS|EPROTO|\bSSL\b|\bTLS\b|\btls\b|fatal alert|corrupt message|InvalidContentType|handshake/;
/** Permissions of the runtime, which do not change while it runs. */
const DENIED = new Set(["NotCapable", "ERR_ACCESS_DENIED"]);
/**
 * Refusals of the operating system. They come from file permissions, from firewalls, and from network layers while a service has
 * no server. Deno's node:net reports EACCES for all of them.
 */
const FORBIDDEN = new Set(["PermissionDenied", "EACCES", "EPERM"]);

function kindOf(phase: Phase, cause: unknown): TransportErrorKind {
  const { name, code } = nameAndCode(cause);
  if (DENIED.has(name) || DENIED.has(code)) return "denied";
  if (FORBIDDEN.has(name) || FORBIDDEN.has(code)) return "forbidden";
  if (phase === "connect") return "connect";
  return CERTIFICATE.test(signsOf(cause)) ? "certificate" : "tls";
}

/** The first error of an AggregateError, which runtimes throw if several addresses were tried. */
function firstOf(cause: unknown): unknown {
  return cause instanceof AggregateError && cause.errors.length > 0 ? cause.errors[0] : cause;
}

function nameAndCode(cause: unknown): { readonly name: string; readonly code: string } {
  const error = firstOf(cause);
  if (!(error instanceof Error)) return { name: "", code: "" };
  return { name: error.name, code: "code" in error && typeof error.code === "string" ? error.code : "" };
}

/** Name, code and text of an error in one line. */
function signsOf(cause: unknown): string {
  const error = firstOf(cause);
  if (!(error instanceof Error)) return "";
  const { name, code } = nameAndCode(error);
  return `${name} ${code} ${error.message}`;
}

/**
 * What a certificate is for, if it is for other names than the wanted one: for an address, the runtimes' own text does not say it.
 * `undefined` for other errors.
 */
function otherNames(cause: unknown): string | undefined {
  if (nameAndCode(cause).code !== "ERR_TLS_CERT_ALTNAME_INVALID") return undefined;
  const { host, cert } = Object(firstOf(cause)) as Record<string, unknown>; // as: checked next
  const names = Object(cert).subjectaltname as unknown;
  if (typeof host !== "string" || typeof names !== "string") return undefined;
  return printable(`It is for ${names.replaceAll(/(?:DNS|IP Address):/g, "")}, and not for ${host}`);
}

/** The text of an error, safe to print: it may contain the names in a certificate of the other side. */
function textOf(cause: unknown): string {
  const error = firstOf(cause);
  return printable(error instanceof Error && error.message !== "" ? error.message : String(error));
}
