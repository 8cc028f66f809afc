// Makes the links of a page absolute, for pages that are shown outside of the package. Pure.

const TARGET = /(\]\(|^\[[^\]]+\]:\s+)(?![a-z]+:|#|\/)([^)\s]+)/gim;

/** A page with each relative link replaced by the address that JSR gives the file of that version. Code is left as it is. */
export function absoluteLinks(page: string, name: string, version: string): string {
  // The parts with an odd index are code: fenced, or within a line.
  const parts = page.split(/(^```[^]*?^```$|`[^`\n]+`)/m);
  return parts.map((part, i) =>
    i % 2 === 1 ? part : part.replace(TARGET, (_, before, path) => `${before}https://jsr.io/${name}/${version}/${path}`)
  ).join("");
}
