/** One line that is rewritten on a terminal; a line per step elsewhere. */
export class Progress {
  #shown = false;
  readonly #startedMs = Date.now();

  constructor(private readonly stream: NodeJS.WriteStream, private readonly total: number) {}

  /** `done` cells are behind us; `text` is what happens now. */
  show(done: number, text: string): void {
    const line = `${done}/${this.total} ${this.#left(done)}${text}`;
    if (this.stream.isTTY) {
      this.stream.write(`\r\u001b[K${line.slice(0, (this.stream.columns || 80) - 1)}`);
      this.#shown = true;
    } else {
      this.stream.write(`${line}\n`);
    }
  }

  /** A line that stays. */
  say(text: string): void {
    this.clear();
    this.stream.write(`${text}\n`);
  }

  clear(): void {
    if (!this.#shown) return;
    this.stream.write('\r\u001b[K');
    this.#shown = false;
  }

  #left(done: number): string {
    if (done === 0) return '';
    const seconds = (Date.now() - this.#startedMs) / 1_000 / done * (this.total - done);
    const minutes = Math.floor(seconds / 60);
    return minutes > 0 ? `(${minutes} min left) ` : `(${Math.ceil(seconds)} s left) `;
  }
}
