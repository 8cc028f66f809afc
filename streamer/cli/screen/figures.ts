// Formats numbers for people: counts, sizes, rates, times.

/** A whole number with commas. */
export function count(value: number): string {
  return Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, ",");
}

/** A number and its noun, singular or plural. */
export function plural(value: number, noun: string): string {
  const ending = /(?:[^aeiou]y)$/.test(noun) ? `${noun.slice(0, -1)}ies` : `${noun}s`;
  return `${count(value)} ${value === 1 ? noun : ending}`;
}

const SIZES = ["B", "kB", "MB", "GB", "TB"];

/** A number of bytes with about three digits. */
export function size(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < SIZES.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 99.95 ? count(value) : value.toFixed(1)} ${SIZES[unit]}`;
}

/** A rate per second; a small one has a decimal. */
export function rate(value: number): string {
  return value > 0 && value < 10 ? value.toFixed(1) : count(value);
}

/** Milliseconds as hours, minutes and seconds. */
export function clock(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (value: number) => String(value).padStart(2, "0");
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** A duration in its largest sensible unit. */
export function duration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 119.5) return `${Math.round(seconds)} s`;
  const minutes = seconds / 60;
  if (minutes < 119.5) return `${Math.round(minutes)} min`;
  const hours = minutes / 60;
  return hours < 47.5 ? `${Math.round(hours)} h` : `${Math.round(hours / 24)} d`;
}
