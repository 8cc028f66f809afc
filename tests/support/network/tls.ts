// Creates the certificates of the tests: once a run, in memory.

import { generate } from "selfsigned";

/** A certificate and its key, as PEM texts. */
export interface Identity {
  readonly cert: string;
  readonly key: string;
}

/** All that the tests need. */
export interface Certificates {
  /** The authority that signed all but the untrusted one. */
  readonly ca: string;
  /** For localhost, 127.0.0.1 and ::1. */
  readonly server: Identity;
  readonly client: Identity;
  /** For the same names, but its time is over. */
  readonly expired: Identity;
  /** For elsewhere.test only. */
  readonly wrongHost: Identity;
  /** For the right names, by another authority. */
  readonly untrusted: Identity;
  /** That other authority. */
  readonly otherCa: string;
}

type Name = { readonly type: 2; readonly value: string } | { readonly type: 7; readonly ip: string };

const DAY = 86_400_000;
const LOCAL: readonly Name[] = [
  { type: 2, value: "localhost" },
  { type: 7, ip: "127.0.0.1" },
  { type: 7, ip: "::1" },
];

let made: Promise<Certificates> | undefined;

/** The certificates of this run. */
export function certificates(): Promise<Certificates> {
  return made ??= make();
}

async function make(): Promise<Certificates> {
  const [ours, other] = await Promise.all([authority("Test authority"), authority("Another authority")]);
  const elsewhere: Name = { type: 2, value: "elsewhere.test" };
  const [server, client, expired, wrongHost, untrusted] = await Promise.all([
    identity(ours, "localhost", LOCAL),
    identity(ours, "client", [{ type: 2, value: "client.test" }]),
    identity(ours, "localhost", LOCAL, -1),
    identity(ours, "elsewhere.test", [elsewhere]),
    identity(other, "localhost", LOCAL),
  ]);
  return { ca: ours.cert, otherCa: other.cert, server, client, expired, wrongHost, untrusted };
}

async function authority(name: string): Promise<Identity> {
  const made = await generate([{ name: "commonName", value: name }], {
    ...common(30),
    extensions: [
      { name: "basicConstraints", cA: true, critical: true },
      { name: "keyUsage", keyCertSign: true, cRLSign: true, critical: true },
    ],
  });
  return { cert: made.cert, key: made.private };
}

async function identity(ca: Identity, name: string, names: readonly Name[], daysLeft = 30): Promise<Identity> {
  const made = await generate([{ name: "commonName", value: name }], {
    ...common(daysLeft),
    ca: { cert: ca.cert, key: ca.key },
    extensions: [
      { name: "basicConstraints", cA: false, critical: true },
      { name: "keyUsage", digitalSignature: true, critical: true },
      { name: "extKeyUsage", serverAuth: true, clientAuth: true },
      { name: "subjectAltName", altNames: [...names] },
    ],
  });
  return { cert: made.cert, key: made.private };
}

function common(daysLeft: number) {
  const now = Date.now();
  return {
    keyType: "ec",
    algorithm: "sha256",
    notBeforeDate: new Date(now - 10 * DAY),
    notAfterDate: new Date(now + daysLeft * DAY),
  } as const;
}
