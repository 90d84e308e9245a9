export interface Diagnostic {
  readonly severity: 'error' | 'warning';
  readonly file: string;
  /** From 1; 0 when the file could not be read at all. */
  readonly line: number;
  readonly column: number;
  /** Such as `workloads[2].protocol`; '' for the file as a whole. */
  readonly path: string;
  /** What was found, as written and shortened; '' when something is missing. */
  readonly value: string;
  /** What is wrong and what would be right. */
  readonly message: string;
}

/** `file:line:column: error: path: message`. */
export function formatDiagnostic(diagnostic: Diagnostic): string {
  const { severity, file, line, column, path, message } = diagnostic;
  const place = line === 0 ? file : `${file}:${line}:${column}`;
  return `${place}: ${severity}: ${path === '' ? '' : `${path}: `}${message}`;
}

/** The nearest of the known words, for "did you mean"; undefined when none is near. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

function editDistance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 8 || a.length > 64) return Infinity;
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next[j] = Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1);
    }
    row = next;
  }
  return row[b.length] ?? Infinity;
}
