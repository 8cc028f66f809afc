// Owns the reading of what the three test runners report in common: JUnit's XML. Must not know who wrote it.

/** How many tests ended how. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Counts the test cases of a report. */
export function countTests(xml: string): Counts {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  // Texts of failures come escaped, so that an opening `<testcase` is always a test case.
  for (const part of xml.split(/<testcase\b/).slice(1)) {
    const [head] = /^[^>]*>/.exec(part.replace(/"[^"]*"/g, '""')) ?? [""];
    const body = head.endsWith("/>") ? "" : part.slice(0, part.indexOf("</testcase>"));
    if (/<(failure|error)\b/.test(body)) counts.failed += 1;
    else if (/<skipped\b/.test(body)) counts.skipped += 1;
    else counts.passed += 1;
  }
  return counts;
}
