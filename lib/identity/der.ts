/** What a certificate needs of the Distinguished Encoding Rules: X.690 8 and 10. */

/** Tags (X.680 8.4); `context(n)` is a constructed one of the structure at hand. */
export const tag = {
  boolean: 0x01, integer: 0x02, bitString: 0x03, octetString: 0x04, oid: 0x06, utcTime: 0x17,
  generalizedTime: 0x18, sequence: 0x30,
} as const;

export const context = (number: number): number => 0xa0 | number;

export interface Element {
  readonly tag: number;
  readonly content: Buffer;
  /** With its tag and length. */
  readonly whole: Buffer;
}

export function encode(ofTag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  if (content.length < 0x80) return Buffer.concat([Buffer.from([ofTag, content.length]), content]);
  const digits = Buffer.alloc(4);
  digits.writeUInt32BE(content.length);
  const length = digits.subarray(digits.findIndex((byte) => byte !== 0));
  return Buffer.concat([Buffer.from([ofTag, 0x80 | length.length]), length, content]);
}

/** The elements of a constructed one's content. Throws when they are cut off. */
export function decodeAll(content: Buffer): Element[] {
  const elements: Element[] = [];
  for (let at = 0; at < content.length;) {
    const first = content[at + 1] ?? 0;
    const digits = first < 0x80 ? 0 : first & 0x7f;
    const begin = at + 2 + digits;
    if (digits > 4 || begin > content.length) throw new RangeError('a DER length is broken');
    const length = digits === 0 ? first : content.readUIntBE(at + 2, digits);
    if (begin + length > content.length) throw new RangeError('a DER element is cut off');
    elements.push({
      tag: content[at] ?? 0, content: content.subarray(begin, begin + length),
      whole: content.subarray(at, begin + length),
    });
    at = begin + length;
  }
  return elements;
}

/** X.690 8.19. */
export function encodeOid(dotted: string): Buffer {
  const [first = 0, second = 0, ...arcs] = dotted.split('.').map(Number);
  const bytes = [40 * first + second, ...arcs].flatMap((arc) => {
    const septets = [arc & 0x7f];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) {
      septets.unshift(0x80 | (left & 0x7f));
    }
    return septets;
  });
  return encode(tag.oid, Buffer.from(bytes));
}

/** RFC 5280 4.1.2.5: two digits of the year through 2049, four after; whole seconds. */
export function encodeTime(ms: number): Buffer {
  const text = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, '');
  return new Date(ms).getUTCFullYear() < 2050
    ? encode(tag.utcTime, Buffer.from(text.slice(2)))
    : encode(tag.generalizedTime, Buffer.from(text));
}
