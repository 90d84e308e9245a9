import { describe, expect, it } from 'vitest';

import { decodeAll, encode, encodeOid, encodeTime, tag } from '../../lib/identity/der.js';

describe('DER', () => {
  it.each([0, 1, 127, 128, 255, 256, 65_535, 65_536])('keeps a content of %d bytes', (length) => {
    const content = Buffer.alloc(length, 7);
    const whole = encode(tag.octetString, content);
    expect(decodeAll(Buffer.concat([whole, encode(tag.sequence)]))).toEqual([
      { tag: tag.octetString, content, whole },
      { tag: tag.sequence, content: Buffer.alloc(0), whole: Buffer.from([0x30, 0]) },
    ]);
  });

  it.each([
    ['1.2.840.113549.1.1.11', '06092a864886f70d01010b'],
    ['2.5.29.17', '0603551d11'],
  ])('writes the OID %s', (dotted, hex) => {
    expect(encodeOid(dotted).toString('hex')).toBe(hex);
  });

  it.each([
    ['2049-12-31T23:59:59Z', tag.utcTime, '491231235959Z'],
    ['2050-01-01T00:00:00Z', tag.generalizedTime, '20500101000000Z'],
  ])('writes the time %s', (when, ofTag, text) => {
    expect(encodeTime(Date.parse(when))).toEqual(encode(ofTag, Buffer.from(text)));
  });

  it('refuses what is cut at any byte', () => {
    const whole = encode(tag.sequence, Buffer.alloc(300));
    for (let length = 1; length < whole.length; length++) {
      expect(() => decodeAll(whole.subarray(0, length))).toThrow(RangeError);
    }
  });
});
