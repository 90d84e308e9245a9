import { canonicalIp, formatAddress } from '../model/address.js';
import type { Option } from './option.js';

/** `ip:port` or `[v6]:port`, canonical; the port may be 0. */
export function parseListenAddress(text: string): string | undefined {
  const [, v6, v4, digits] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = v6 ?? v4 ?? '';
  const ip = canonicalIp(host === 'localhost' ? '127.0.0.1' : host);
  const port = Number(digits);
  if (port > 65535 || host.includes(':') !== (v6 !== undefined)) return undefined;
  return ip === undefined ? undefined : formatAddress(ip, port);
}

/** Where to listen; '' turns the listener off. */
export function listenOption(
  said: { default: string; env: string; doc: string },
): Option<string> {
  return {
    ...said,
    argument: 'IP:PORT',
    bound: 'ip:port such as 127.0.0.1:15000 or [::]:15020, or off',
    parse: (text) => text === 'off' || text === '' ? '' : parseListenAddress(text),
    format: (value) => value === '' ? 'off' : value,
  };
}
