// The last resort: a server in a container, if none can run as a process.

import type { Runner } from "./server.ts";

/** Starts one; its port is the same inside and outside. */
export async function startContainer(args: readonly string[], folder: string, port: number): Promise<Runner> {
  const { GenericContainer, getContainerRuntimeClient, Wait } = await import("testcontainers");
  // Inside, the server must listen on all of the container's addresses and in a folder that is the host's.
  const container = await new GenericContainer("redis:7.2")
    .withExposedPorts({ container: port, host: port })
    .withBindMounts([{ source: folder, target: folder }])
    // Bypasses the image's own entry point, which would switch to a user without access to that folder.
    .withEntrypoint(["redis-server"])
    .withCommand([...args, "--bind", "0.0.0.0"])
    .withWaitStrategy(Wait.forListeningPorts())
    .start();
  const { container: docker } = await getContainerRuntimeClient();
  const handle = docker.getById(container.getId());
  let gone = false;
  return {
    pid: 0,
    get gone() {
      return gone;
    },
    async kill(signal) {
      if (gone) return;
      if (signal === "SIGSTOP") return void await handle.pause();
      if (signal === "SIGCONT") return void await handle.unpause();
      gone = true;
      if (signal === "SIGTERM") await handle.kill({ signal });
      await container.stop({ remove: true, timeout: 0 });
    },
  };
}
