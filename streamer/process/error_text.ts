// The text of an error for the `x-dead-letter-error` header.

import { escapeControls } from "../../resp/errors.ts";

/** Most characters of the text. */
const MAX_TEXT = 512;

/** The text of what a handler has thrown: its control characters escaped, at most 512 characters. */
export function errorText(error: unknown): string {
  const text = textOf(error);
  const escaped = escapeControls(text.slice(0, MAX_TEXT).toWellFormed());
  if (text.length <= MAX_TEXT && escaped.length <= MAX_TEXT) return escaped;
  return `${escaped.slice(0, MAX_TEXT - 1).toWellFormed()}…`;
}

function textOf(error: unknown): string {
  try {
    return error instanceof Error ? String(error.message || error.name) : String(error);
  } catch {
    return `${typeof error} without a text`; // such as an object whose toString throws
  }
}
