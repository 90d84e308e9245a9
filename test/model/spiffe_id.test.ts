import { describe, expect, it } from 'vitest';

import { formatSpiffeId, parseSpiffeId, principalOf } from '../../lib/model/spiffe_id.js';

describe('SPIFFE ids', () => {
  it('go both ways', () => {
    const text = 'spiffe://td.example/ns/a.b/sa/c';
    const id = parseSpiffeId(text);
    expect(id).toEqual({ trustDomain: 'td.example', namespace: 'a.b', serviceAccount: 'c' });
    expect(id && formatSpiffeId(id)).toBe(text);
    expect(principalOf(text)).toBe('td.example/ns/a.b/sa/c');
    expect(principalOf('')).toBe('');
  });

  it.each(['', 'spiffe://', 'spiffe://td/ns/a/sa', 'spiffe://td/ns/a/sa/', 'spiffe:///ns/a/sa/b',
    'spiffe://td/ns//sa/b', 'spiffe://td/sa/a/ns/b', 'spiffe://td/ns/a/sa/b/c', 'SPIFFE://td/ns/a/sa/b',
    'https://td/ns/a/sa/b'])('refuses %j', (text) => expect(parseSpiffeId(text)).toBeUndefined());
});
