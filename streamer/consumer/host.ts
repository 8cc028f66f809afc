// Who this machine is, for the default names of groups and consumers. The one place outside of sockets and files where a
// runtime's own is asked; it must not know what the names are for, and never makes a runtime ask for a permission.

/** What is used of Deno's namespace. */
interface DenoHost {
  readonly permissions: {
    query(permission: { name: "env"; variable: string } | { name: "read"; path: string } | SysPermission): Promise<{
      readonly state: string;
    }>;
  };
}

interface SysPermission {
  readonly name: "sys";
  readonly kind: string;
}

/** Where Linux keeps the machine's id. */
const ID_FILES = ["/etc/machine-id", "/var/lib/dbus/machine-id"];

/** `HOST_ID` of the environment, else the machine's own id; `undefined` where neither can be had. */
export async function hostId(): Promise<string | undefined> {
  return await environmentId() ?? await fileId() ?? await networkId();
}

/** The number of this process; 0 where there is none. */
export async function processId(): Promise<number> {
  try {
    const { pid } = await import("node:process");
    return pid;
  } catch {
    return 0;
  }
}

async function environmentId(): Promise<string | undefined> {
  if (!await isGranted({ name: "env", variable: "HOST_ID" })) return undefined;
  const { env } = await import("node:process");
  return env.HOST_ID || undefined;
}

async function fileId(): Promise<string | undefined> {
  const { readFile } = await import("node:fs/promises");
  for (const path of ID_FILES) {
    if (!await isGranted({ name: "read", path })) continue;
    try {
      const id = (await readFile(path, "utf8")).trim();
      if (/^[0-9a-f]{32}$/.test(id)) return id;
    } catch {
      // There is none here.
    }
  }
  return undefined;
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

/** Whether something may be asked for without a question to whoever sits at the terminal; only Deno has such questions. */
async function isGranted(permission: Parameters<DenoHost["permissions"]["query"]>[0]): Promise<boolean> {
  // The border to the runtime: its presence is checked here.
  const { Deno } = globalThis as { Deno?: Partial<DenoHost> };
  if (Deno?.permissions === undefined) return true;
  return (await Deno.permissions.query(permission)).state === "granted";
}
