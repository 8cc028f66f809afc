// What the library calls itself to servers. A test holds the version against the manifest.

/** Name announced to servers that want to know. */
export const LIBRARY_NAME = "sea-streamer-redis";
/** Version announced to servers that want to know. */
export const LIBRARY_VERSION = "0.1.0";
