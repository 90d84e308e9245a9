/**
 * IP addresses as bytes and text. IPv4-mapped IPv6 is always held as IPv4: equality is "same host".
 */

/** 4 bytes or 16. */
export type IpBytes = Uint8Array;

/** `bytes` has no bit set beyond `length`. */
export interface Cidr {
  readonly bytes: IpBytes;
  readonly length: number;
}

export interface HostPort {
  /** Without brackets; lower case. */
  readonly host: string;
  /** Set when `host` is an IP address: its canonical text. */
  readonly ip?: string;
  readonly port: number;
}

function parseIpv4(text: string): IpBytes | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  const bytes = new Uint8Array(4);
  for (const [index, part] of parts.entries()) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part)) return undefined;
    const value = Number(part);
    if (value > 255) return undefined;
    bytes[index] = value;
  }
  return bytes;
}

/** Groups of one side of `::`; the last one may be dotted IPv4. */
function parseGroups(text: string): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    if (part.includes('.')) {
      const v4 = index === parts.length - 1 ? parseIpv4(part) : undefined;
      if (v4 === undefined) return undefined;
      const [a = 0, b = 0, c = 0, d = 0] = v4;
      groups.push(a << 8 | b, c << 8 | d);
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(parseInt(part, 16));
    } else {
      return undefined;
    }
  }
  return groups;
}

function parseIpv6(text: string): IpBytes | undefined {
  const [left = '', right, ...more] = text.split('::');
  if (more.length > 0) return undefined;
  const head = parseGroups(left);
  const tail = right === undefined ? [] : parseGroups(right);
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (right === undefined ? missing !== 0 : missing < 1) return undefined;
  const bytes = new Uint8Array(16);
  [...head, ...new Array<number>(missing).fill(0), ...tail].forEach((group, index) => {
    bytes[2 * index] = group >> 8;
    bytes[2 * index + 1] = group & 0xff;
  });
  const mapped = bytes.subarray(0, 10).every((byte) => byte === 0)
    && bytes[10] === 0xff && bytes[11] === 0xff;
  return mapped ? bytes.slice(12) : bytes;
}

/** No zone, no leading zeros in IPv4. */
export function parseIp(text: string): IpBytes | undefined {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

/** RFC 5952. */
export function formatIp(bytes: IpBytes): string {
  if (bytes.length === 4) return bytes.join('.');
  const groups = Array.from({ length: 8 }, (_, i) =>
    ((bytes[2 * i] ?? 0) << 8 | (bytes[2 * i + 1] ?? 0)));
  let [start, length] = [0, 0];
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > length) [start, length] = [i, end - i];
  }
  const hex = (part: number[]): string => part.map((group) => group.toString(16)).join(':');
  if (length < 2) return hex(groups);
  return `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`;
}

/** The one spelling of an address; undefined when it is none. */
export function canonicalIp(text: string): string | undefined {
  const bytes = parseIp(text);
  return bytes === undefined ? undefined : bytes.length === 4 && !text.includes(':')
    ? text : formatIp(bytes);
}

export function isLoopback(ip: string): boolean {
  return ip.startsWith('127.') || ip === '::1';
}

/** The wildcard: every address when listening, and no address of anyone's. */
export function isUnspecified(ip: string): boolean {
  return ip === '0.0.0.0' || ip === '::';
}

export function isIpv6(ip: string): boolean {
  return ip.includes(':');
}

/** `ip:port`, with brackets around IPv6. */
export function formatAddress(ip: string, port: number): string {
  return isIpv6(ip) ? `[${ip}]:${port}` : `${ip}:${port}`;
}

/** `host:port` or `[v6]:port`; the port is mandatory, decimal, 1..65535. */
export function parseHostPort(text: string): HostPort | undefined {
  const colon = text.lastIndexOf(':');
  const digits = text.slice(colon + 1);
  if (colon <= 0 || !/^\d{1,5}$/.test(digits)) return undefined;
  const port = Number(digits);
  if (port < 1 || port > 65535) return undefined;
  const written = text.slice(0, colon);
  const bracketed = written.startsWith('[') && written.endsWith(']');
  const host = (bracketed ? written.slice(1, -1) : written).toLowerCase();
  if (bracketed !== host.includes(':')) return undefined;
  const ip = canonicalIp(host);
  if (ip !== undefined) return { host, ip, port };
  if (bracketed || host.length > 253 || !/^[a-z0-9_*-][a-z0-9_.-]*$/.test(host)) return undefined;
  return { host, port };
}

/** Clears the bits beyond `length`, as a copy. */
export function maskIp(bytes: IpBytes, length: number): IpBytes {
  const masked = new Uint8Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) {
    const bits = Math.min(Math.max(length - 8 * i, 0), 8);
    masked[i] = (bytes[i] ?? 0) & (0xff00 >> bits);
  }
  return masked;
}

/** `ip/length`, or `ip` for the single address. Bits beyond the length are ignored. */
export function parseCidr(text: string): Cidr | undefined {
  const [address = '', digits, ...more] = text.split('/');
  const bytes = parseIp(address);
  if (bytes === undefined || more.length > 0) return undefined;
  const width = 8 * bytes.length;
  if (digits === undefined) return { bytes, length: width };
  if (!/^\d{1,3}$/.test(digits)) return undefined;
  // A length written for the IPv4-mapped form counts from the 96 bits in front.
  const length = Number(digits) - (width === 32 && address.includes(':') ? 96 : 0);
  if (length < 0 || length > width) return undefined;
  return { bytes: maskIp(bytes, length), length };
}

export function cidrContains(cidr: Cidr, bytes: IpBytes): boolean {
  if (cidr.bytes.length !== bytes.length) return false;
  const whole = cidr.length >> 3;
  for (let i = 0; i < whole; i++) if (cidr.bytes[i] !== bytes[i]) return false;
  const bits = cidr.length & 7;
  return bits === 0 || ((bytes[whole] ?? 0) & (0xff00 >> bits) & 0xff) === cidr.bytes[whole];
}
