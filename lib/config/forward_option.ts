import { parseHostPort } from '../model/address.js';
import { parseListenAddress } from './address_option.js';
import type { Option } from './option.js';

/** Flows accepted at `ip:port` go to `destination`, both `ip:port` in canonical form. */
export interface Forward {
  readonly ip: string;
  readonly port: number;
  readonly destination: string;
}

const forwardsMax = 256;

/** What the text of the option says; undefined when it is not accepted. '' is none. */
export function parseForwards(text: string): Forward[] | undefined {
  if (text === '') return [];
  const parts = text.split(',');
  const forwards = parts.flatMap((part) => {
    const [listen = '', destination = '', ...rest] = part.split('=').map(parseForwardAddress);
    const place = parseHostPort(listen);
    if (rest.length > 0 || destination === '' || place?.ip === undefined) return [];
    return [{ ip: place.ip, port: place.port, destination }];
  });
  const places = new Set(forwards.map(({ ip, port }) => `${ip} ${port}`));
  return places.size === parts.length && parts.length <= forwardsMax ? forwards : undefined;
}

function parseForwardAddress(text: string): string {
  const address = parseListenAddress(text) ?? '';
  return address.endsWith(':0') ? '' : address;
}

/** Ports of workloads that lead to one destination each; its value is text for parseForwards. */
export function forwardOption(
  said: { default: string; env: string; doc: string },
): Option<string> {
  return {
    ...said,
    argument: 'LISTEN=DESTINATION',
    bound: `ip:port=ip:port such as 10.0.0.2:9000=10.0.0.7:80, several with commas between, at most `
      + `${forwardsMax}, each with a LISTEN of its own`,
    parse: (text) => parseForwards(text) === undefined ? undefined
      : text.split(',').map((part) => part.split('=').map((one) => parseListenAddress(one) ?? '')
        .join('=')).join(','),
    format: (value) => value,
  };
}
