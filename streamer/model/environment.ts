// Reads environment variables, and checks permissions without a prompt. One of the few files that use a runtime's own API.

/** A permission of Deno. */
export type Permission =
  | { readonly name: "env"; readonly variable: string }
  | { readonly name: "read"; readonly path: string }
  | { readonly name: "sys"; readonly kind: string };

/** The part of Deno's namespace that is used. */
interface DenoPermissions {
  readonly permissions: { query(permission: Permission): Promise<{ readonly state: string }> };
}

/** Whether a permission is granted. It never prompts. Only Deno has permissions that prompt. */
export async function isGranted(permission: Permission): Promise<boolean> {
  // The border to the runtime: its presence is checked here.
  const { Deno } = globalThis as { Deno?: Partial<DenoPermissions> };
  if (Deno?.permissions === undefined) return true;
  return (await Deno.permissions.query(permission)).state === "granted";
}

/**
 * An environment variable. `undefined` if it is missing or empty, and also without the permission to read it: `denied` tells
 * these two cases apart.
 */
export async function environmentVariable(
  variable: string,
): Promise<{ readonly value: string | undefined; readonly denied: boolean }> {
  if (!await isGranted({ name: "env", variable })) return { value: undefined, denied: true };
  const { env } = await import("node:process");
  return { value: env[variable] || undefined, denied: false };
}
