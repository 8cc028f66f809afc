// The grammar of numbers in replies, checked byte by byte.

const MINUS = 0x2d;
const PLUS = 0x2b;

/** Digits of the largest 64-bit number. */
export const MAX_INT64_DIGITS = 19;

/** Whether a byte is a decimal digit. */
export function isDigit(byte: number): boolean {
  return byte >= 48 && byte <= 57;
}

const MAX_INT64 = "9223372036854775807";

/** Whether 19 digits are a 64-bit number. */
export function fitsInt64(bytes: Uint8Array, first: number, negative: boolean): boolean {
  for (let i = 0; i < MAX_INT64_DIGITS; i++) {
    const limit = MAX_INT64.charCodeAt(i) + (negative && i === MAX_INT64_DIGITS - 1 ? 1 : 0);
    if (bytes[first + i] !== limit) return bytes[first + i] < limit;
  }
  return true;
}

/** Sign, digits, fraction and exponent, or any form in which C libraries print inf and nan. */
export function isDouble(bytes: Uint8Array, from: number, to: number): boolean {
  let at = from;
  if (at < to && (bytes[at] === MINUS || bytes[at] === PLUS)) at++;
  const word = (bytes[at] ?? 0) | 0x20;
  if (word === 0x69 || word === 0x6e) { // i, n
    const name = String.fromCharCode(...bytes.subarray(at, Math.min(to, at + 9))).toLowerCase();
    const closed = bytes[to - 1] === 0x29; // nan(…), as some C libraries print it
    return name === "inf" || name === "infinity" || name === "nan" || (name.startsWith("nan(") && closed);
  }
  const whole = at;
  while (at < to && isDigit(bytes[at])) at++;
  if (at === whole) return false;
  if (at < to && bytes[at] === 0x2e) {
    const fraction = ++at;
    while (at < to && isDigit(bytes[at])) at++;
    if (at === fraction) return false;
  }
  if (at < to && (bytes[at] | 0x20) === 0x65) {
    at++;
    if (at < to && (bytes[at] === MINUS || bytes[at] === PLUS)) at++;
    const exponent = at;
    while (at < to && isDigit(bytes[at])) at++;
    if (at === exponent) return false;
  }
  return at === to;
}
