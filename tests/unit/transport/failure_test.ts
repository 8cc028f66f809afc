// Tests the meaning of each runtime's errors of dialling.

import { assertEquals, assertStrictEquals, assertStringIncludes } from "@std/assert";
import { dialFailure, type Phase } from "../../../resp/transport/failure.ts";
import type { Endpoint, TransportErrorKind } from "../../../resp/transport/transport.ts";
import { test } from "../../support/runner.ts";

const tcp: Endpoint = { kind: "tcp", hostname: "redis.test", port: 6379 };
const unix: Endpoint = { kind: "unix", path: "/run/redis.sock" };

/** An error with this name and code, as the runtimes create them. */
function shaped(name: string, code: string | undefined, message: string): Error {
  const error = new Error(message);
  error.name = name;
  return code === undefined ? error : Object.assign(error, { code });
}

const cases: readonly (readonly [TransportErrorKind, Phase, string, string | undefined, string])[] = [
  // Deno.connect
  ["denied", "connect", "NotCapable", undefined, 'Requires net access to "a:1", run again with the --allow-net flag'],
  ["denied", "connect", "NotCapable", undefined, 'Requires write access to "/x", run again with --allow-write'],
  ["forbidden", "connect", "PermissionDenied", "EPERM", "Operation not permitted (os error 1)"],
  ["forbidden", "connect", "PermissionDenied", "EACCES", "Permission denied (os error 13)"],
  ["connect", "connect", "ConnectionRefused", "ECONNREFUSED", "Connection refused (os error 111)"],
  ["connect", "connect", "NetworkUnreachable", "ENETUNREACH", "Network is unreachable (os error 101)"],
  ["connect", "connect", "Error", "EHOSTUNREACH", "No route to host (os error 113)"],
  ["connect", "connect", "AddrNotAvailable", "EADDRNOTAVAIL", "Cannot assign requested address (os error 99)"],
  ["connect", "connect", "TimedOut", "ETIMEDOUT", "Connection timed out (os error 110)"],
  ["connect", "connect", "NotFound", "ENOENT", "No such file or directory (os error 2)"],
  ["connect", "connect", "Error", undefined, "failed to lookup address information: Name or service not known"],
  ["connect", "connect", "Error", "EMFILE", "Too many open files (os error 24)"],
  // node:net and node:tls, of Node, Bun and Deno
  [
    "denied",
    "connect",
    "Error",
    "ERR_ACCESS_DENIED",
    "connect ERR_ACCESS_DENIED Access to this API has been restricted.",
  ],
  ["forbidden", "connect", "Error", "EPERM", "connect EPERM 10.0.0.1:6379 - Local (0.0.0.0:0)"],
  ["forbidden", "connect", "Error", "EACCES", "connect EACCES 10.0.0.1:6379"],
  ["forbidden", "connect", "Error", "EACCES", "connect EACCES /run/redis.sock"],
  ["forbidden", "tls", "Error", "EPERM", "read EPERM"],
  ["connect", "connect", "Error", "ECONNREFUSED", "connect ECONNREFUSED 10.0.0.1:6379"],
  ["connect", "connect", "Error", "ENETUNREACH", "connect ENETUNREACH 10.0.0.1:6379"],
  ["connect", "connect", "Error", "EHOSTUNREACH", "connect EHOSTUNREACH 10.0.0.1:6379"],
  ["connect", "connect", "Error", "EADDRNOTAVAIL", "connect EADDRNOTAVAIL 10.0.0.1:6379"],
  ["connect", "connect", "Error", "EINVAL", "connect EINVAL 10.0.0.1:6379"],
  ["connect", "connect", "Error", "ENOTFOUND", "getaddrinfo ENOTFOUND eperm.certificate.test"],
  ["connect", "connect", "DNSException", "EAI_AGAIN", "getaddrinfo EAI_AGAIN redis.test"],
  ["tls", "tls", "Error", "ECONNRESET", "read ECONNRESET"],
  ["certificate", "tls", "Error", "DEPTH_ZERO_SELF_SIGNED_CERT", "self-signed certificate"],
  // A word in the other side's text decides nothing.
  ["certificate", "tls", "Error", "CERT_HAS_EXPIRED", "certificate of CN=EPERM NotCapable ERR_ACCESS_DENIED expired"],
];

for (const [kind, phase, name, code, message] of cases) {
  test(`${name} ${code ?? ""} (${message}) while dialling (${phase}) is of kind ${kind}`, () => {
    const cause = shaped(name, code, message);
    for (const endpoint of [tcp, unix]) {
      const error = dialFailure(endpoint, phase, cause);
      assertEquals(error.kind, kind);
      assertStrictEquals(error.cause, cause);
      assertStringIncludes(error.message, endpoint.kind === "unix" ? endpoint.path : "redis.test:6379");
    }
    assertEquals(dialFailure(tcp, phase, new AggregateError([cause, new Error("another address")])).kind, kind);
  });
}
