// Validates values with schemas of other libraries, which implement Standard Schema.

import { printable, StreamerError } from "../../../resp/errors.ts";
import { invalidOption } from "../options.ts";

/**
 * A schema of Zod, Valibot, ArkType or another library that implements Standard Schema, version 1.
 *
 * Source: https://standardschema.dev
 *
 * @category Typed values
 */
export interface StandardSchema<Output = unknown> {
  /** The properties of Standard Schema. */
  readonly "~standard": {
    /** The version of Standard Schema. */
    readonly version: 1;
    /** The name of the schema library. */
    readonly vendor: string;
    /** Returns the validated value, which may be a changed one, or the issues of an invalid value. */
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    /** Exists in types only. */
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined;
  };
}

/**
 * The result of a validation by a {@linkcode StandardSchema}: a value, or the issues of an invalid value.
 *
 * @category Typed values
 */
export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

/**
 * One issue of an invalid value.
 *
 * @category Typed values
 */
export interface StandardIssue {
  /** A description of the issue. */
  readonly message: string;
  /** The keys that lead from the value to the invalid part of it. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** Issues in the text of an error. The other ones are only counted. */
const MAX_ISSUES = 3;

/** Checks that an object is a schema. */
export function checkSchema(schema: StandardSchema): void {
  // ArkType's schemas are functions.
  const able = (typeof schema === "object" && schema !== null) || typeof schema === "function";
  const standard = able ? schema["~standard"] : undefined;
  if (standard?.version !== 1 || typeof standard.validate !== "function") {
    throw invalidOption("schema", schema, "a schema that implements Standard Schema 1");
  }
}

/**
 * The output of a schema for a value.
 *
 * @throws {StreamerError} `INVALID_OPTION` if the schema is asynchronous, or if the value is invalid. The issues are the cause.
 */
export function validated<T>(schema: StandardSchema<T>, value: unknown, failure: string): T {
  const { vendor } = schema["~standard"];
  const result: unknown = schema["~standard"].validate(value);
  if (result instanceof Promise) {
    result.catch(() => {}); // its rejection has no other handler
    throw invalidOption("schema", vendor, "synchronous", "use the schema");
  }
  if (!isResult<T>(result)) {
    throw invalidOption("schema", vendor, "one that returns a value or issues", "use the schema");
  }
  if (result.issues === undefined) return result.value;
  const named = result.issues.slice(0, MAX_ISSUES).map(textOf).join(", ");
  const more = result.issues.length - MAX_ISSUES;
  const text = printable(`${failure}: ${named}`) + (more > 0 ? ` and ${more} more` : "");
  throw new StreamerError("INVALID_OPTION", text, { cause: result.issues });
}

/** A checked border: the schema is another library's. */
function isResult<T>(result: unknown): result is StandardResult<T> {
  if (typeof result !== "object" || result === null) return false;
  return "issues" in result && result.issues !== undefined ? Array.isArray(result.issues) : "value" in result;
}

function textOf({ message, path }: StandardIssue): string {
  const keys = path?.map((part) => String(typeof part === "object" ? part.key : part)).join(".");
  return keys ? `${message} at ${keys}` : message;
}
