// Reads the JUnit XML that the three test runners report.

/** How many tests ended how. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Counts the test cases of a report. */
export function countTests(xml: string): Counts {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const { body } of testCases(xml)) {
    if (FAILED.test(body)) counts.failed += 1;
    else if (/<skipped\b/.test(body)) counts.skipped += 1;
    else counts.passed += 1;
  }
  return counts;
}

/** The names of the tests that were left out. */
export function skippedIn(xml: string): string[] {
  return testCases(xml).filter(({ body }) => /<skipped\b/.test(body)).map(({ head }) => nameOf(head));
}

/** A failed test with its output. */
export interface Failure {
  readonly name: string;
  readonly text: string;
}

/** The test cases of a report that failed. */
export function failuresOf(xml: string): Failure[] {
  return testCases(xml).filter(({ body }) => FAILED.test(body)).map(({ head, body }) => ({
    name: nameOf(head),
    text: unescape(body.replace(/<(failure|error)\b([^>"]|"[^"]*")*>/g, texts).replace(/<[^>]*>/g, "")).trim(),
  }));
}

function nameOf(head: string): string {
  return unescape(/\sname="([^"]*)"/.exec(head)?.[1] ?? "");
}

const FAILED = /<(failure|error)\b/;

interface TestCase {
  /** Its opening tag, without `<testcase`. */
  readonly head: string;
  readonly body: string;
}

function testCases(xml: string): TestCase[] {
  // Texts of failures come escaped, so that an opening `<testcase` is always a test case.
  return xml.split(/<testcase\b/).slice(1).map((part) => {
    const head = /^([^>"]|"[^"]*")*>/.exec(part)?.[0] ?? "";
    return { head, body: head.endsWith("/>") ? "" : part.slice(head.length, part.indexOf("</testcase>")) };
  });
}

/** The content of a failure's tag as its message says. */
function texts(tag: string): string {
  return `${/\smessage="([^"]*)"/.exec(tag)?.[1] ?? ""}\n`;
}

const ENTITIES: Record<string, string> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };

function unescape(text: string): string {
  return text.replace(/&(?:#(\d+)|#x([0-9a-f]+)|(\w+));/gi, (all, decimal, hex, name) => {
    if (name !== undefined) return ENTITIES[name] ?? all;
    return String.fromCodePoint(decimal === undefined ? parseInt(hex, 16) : Number(decimal));
  });
}
