// The identity of this machine, for the default names of groups and consumers. It never makes a runtime prompt for a permission.

import { environmentVariable, isGranted } from "../../model/environment.ts";

/** Where Linux keeps the machine's id. */
const ID_FILES = ["/etc/machine-id", "/var/lib/dbus/machine-id"];

/** `HOST_ID` of the environment, else the machine's own id; `undefined` if neither is available. */
export async function hostId(): Promise<string | undefined> {
  return await environmentId() ?? await fileId() ?? await networkId();
}

/** What people know this machine by: `HOST_ID` of the environment, else its name, else its id; `undefined` if none is available. */
export async function hostName(): Promise<string | undefined> {
  return await environmentId() ?? await systemName() ?? await hostId();
}

/** The id of this process; 0 if it is not available. */
export async function processId(): Promise<number> {
  try {
    const { pid } = await import("node:process");
    return pid;
  } catch {
    return 0;
  }
}

async function environmentId(): Promise<string | undefined> {
  return (await environmentVariable("HOST_ID")).value;
}

async function fileId(): Promise<string | undefined> {
  const { readFile } = await import("node:fs/promises");
  for (const path of ID_FILES) {
    if (!await isGranted({ name: "read", path })) continue;
    try {
      const id = (await readFile(path, "utf8")).trim();
      if (/^[0-9a-f]{32}$/.test(id)) return id;
    } catch {
      // It is not here.
    }
  }
  return undefined;
}

/** The machine's name, as the system has it. */
async function systemName(): Promise<string | undefined> {
  if (!await isGranted({ name: "sys", kind: "hostname" })) return undefined;
  const { hostname } = await import("node:os");
  return hostname() || undefined;
}

/** The address of the first network card, on systems without such a file. */
async function networkId(): Promise<string | undefined> {
  if (!await isGranted({ name: "sys", kind: "networkInterfaces" })) return undefined;
  const { networkInterfaces } = await import("node:os");
  const addresses = Object.values(networkInterfaces()).flatMap((cards) => cards ?? [])
    .filter(({ internal, mac }) => !internal && mac !== "00:00:00:00:00:00")
    .map(({ mac }) => mac.replaceAll(":", "").toUpperCase());
  return addresses.sort()[0];
}
