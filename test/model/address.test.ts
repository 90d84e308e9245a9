import { describe, expect, it } from 'vitest';

import {
  canonicalIp, cidrContains, formatAddress, parseCidr, parseHostPort, parseIp,
} from '../../lib/model/address.js';

describe('addresses', () => {
  it.each([
    ['1.2.3.4', '1.2.3.4'],
    ['::ffff:1.2.3.4', '1.2.3.4'],
    ['::FFFF:0102:0304', '1.2.3.4'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['2001:db8:0:1:0:0:0:0', '2001:db8:0:1::'],
    ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['::1', '::1'],
    ['64:ff9b::1.2.3.4', '64:ff9b::102:304'],
  ])('%s is %s', (text, canonical) => expect(canonicalIp(text)).toBe(canonical));

  it.each(['', '1.2.3', '1.2.3.4.5', '01.2.3.4', '256.1.1.1', '1.2.3.4 ', ':::', '1::2::3', ':1',
    '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '1:2:3:4:5:6:7::8', 'fe80::1%eth0', '::1.2.3.4:5',
    '12345::', 'localhost'])('refuses %j', (text) => expect(parseIp(text)).toBeUndefined());

  it('parses authorities', () => {
    expect(parseHostPort('10.0.0.1:80')).toEqual({ host: '10.0.0.1', ip: '10.0.0.1', port: 80 });
    expect(parseHostPort('[::1]:80')).toEqual({ host: '::1', ip: '::1', port: 80 });
    expect(parseHostPort('[::ffff:9.8.7.6]:1')).toMatchObject({ ip: '9.8.7.6' });
    expect(parseHostPort('Echo.Demo.svc:65535')).toEqual({ host: 'echo.demo.svc', port: 65535 });
    for (const bad of ['', ':80', 'a', 'a:', 'a:0', 'a:65536', 'a:+1', '::1:80', '[::1]', '[1.2.3.4]:1',
      '[a]:1', 'a b:1', 'a/b:1', 'u@h:1', '[::1', 'é:1', 'a:1:']) {
      expect(parseHostPort(bad), bad).toBeUndefined();
    }
  });

  it('formats addresses', () => {
    expect(formatAddress('::1', 80)).toBe('[::1]:80');
    expect(formatAddress('1.2.3.4', 80)).toBe('1.2.3.4:80');
  });

  it.each([
    ['10.0.0.0/8', '10.255.0.1', true], ['10.0.0.0/8', '11.0.0.1', false],
    ['10.1.2.3/8', '10.9.9.9', true], ['0.0.0.0/0', '1.2.3.4', true],
    ['0.0.0.0/0', '::1', false], ['::/0', '1.2.3.4', false], ['::/0', '::1', true],
    ['10.0.0.128/25', '10.0.0.127', false], ['10.0.0.128/25', '10.0.0.200', true],
    ['10.0.0.1', '10.0.0.1', true], ['10.0.0.1', '10.0.0.2', false],
    ['2001:db8::/33', '2001:db8:7fff::', true], ['2001:db8::/33', '2001:db8:8000::', false],
    ['::ffff:10.0.0.0/104', '10.9.9.9', true],
  ])('%s contains %s: %s', (cidr, ip, contained) => {
    const parsed = parseCidr(cidr);
    const bytes = parseIp(ip);
    if (parsed === undefined || bytes === undefined) throw new Error('unparsable');
    expect(cidrContains(parsed, bytes)).toBe(contained);
  });

  it.each(['10.0.0.0/33', '::/129', '10.0.0.0/', '10.0.0.0/-1', '10.0.0.0/8/8', 'a/8',
    '::ffff:10.0.0.0/8'])('refuses the block %s', (text) => {
    expect(parseCidr(text)).toBeUndefined();
  });
});
