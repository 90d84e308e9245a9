/** The bytes that bulk transfers repeat: different at every offset, the same in every process. */
export function blockOf(bytes = 1 << 20): Buffer {
  const block = Buffer.allocUnsafe(bytes);
  let state = 0x9e3779b9;
  for (let at = 0; at + 4 <= bytes; at += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    block.writeUInt32LE(state, at);
  }
  return block;
}

/** Checks a stream against the repeated block. */
export class BlockCheck {
  readonly #block = blockOf();
  #bytes = 0;
  #same = true;

  get bytes(): number {
    return this.#bytes;
  }

  get same(): boolean {
    return this.#same;
  }

  add(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length && this.#same) {
      const from = this.#bytes % this.#block.length;
      const length = Math.min(chunk.length - at, this.#block.length - from);
      const part = chunk.subarray(at, at + length);
      this.#same = part.equals(this.#block.subarray(from, from + length));
      this.#bytes += length;
      at += length;
    }
  }
}
