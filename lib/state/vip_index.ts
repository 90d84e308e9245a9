import { formatIp, maskIp, parseCidr, parseIp } from '../model/address.js';
import type { ResourceKey, Service } from '../model/resources.js';
import { GroupIndex } from './group_index.js';

interface Place {
  readonly group: string;
  /** Set for blocks: counts how many services use this length. */
  readonly lengths?: { readonly table: string; readonly length: number };
}

const blockGroup = (network: string, length: number, ip: string): string =>
  `${network}/${ip}/${length}`;

/** Addresses and address blocks of services, by network. */
export class VipIndex {
  readonly #exact = new GroupIndex<Service>();
  readonly #blocks = new GroupIndex<Service>();
  /** `network/4` or `network/6` to prefix length to number of blocks. */
  readonly #lengths = new Map<string, Map<number, number>>();

  put(key: ResourceKey, service: Service): void {
    for (const { network, ip } of service.vips) this.#exact.put(`${network}/${ip}`, key, service);
    for (const place of placesOf(service)) {
      if (place.lengths === undefined) this.#exact.put(place.group, key, service);
      else {
        this.#blocks.put(place.group, key, service);
        this.#count(place.lengths.table, place.lengths.length, 1);
      }
    }
  }

  remove(key: ResourceKey, service: Service): void {
    for (const { network, ip } of service.vips) this.#exact.remove(`${network}/${ip}`, key);
    for (const place of placesOf(service)) {
      if (place.lengths === undefined) this.#exact.remove(place.group, key);
      else {
        this.#blocks.remove(place.group, key);
        this.#count(place.lengths.table, place.lengths.length, -1);
      }
    }
  }

  exact(network: string, ip: string): readonly Service[] {
    return this.#exact.get(`${network}/${ip}`);
  }

  /** The services with a block around the address: one group per length, longest first. */
  blocks(network: string, ip: string): (readonly Service[])[] {
    const lengths = this.#lengths.get(`${network}/${ip.includes(':') ? 6 : 4}`);
    if (lengths === undefined) return [];
    const bytes = parseIp(ip);
    if (bytes === undefined) return [];
    return [...lengths.keys()].sort((a, b) => b - a).map((length) =>
      this.#blocks.get(blockGroup(network, length, formatIp(maskIp(bytes, length)))));
  }

  #count(table: string, length: number, change: 1 | -1): void {
    let lengths = this.#lengths.get(table);
    if (lengths === undefined) this.#lengths.set(table, lengths = new Map());
    const count = (lengths.get(length) ?? 0) + change;
    if (count > 0) lengths.set(length, count);
    else lengths.delete(length);
    if (lengths.size === 0) this.#lengths.delete(table);
  }
}

/** A block of one address is an exact address; one that does not parse is nowhere. */
function placesOf(service: Service): Place[] {
  const places = new Map<string, Place>();
  for (const { network, cidr } of service.cidrVips) {
    const parsed = parseCidr(cidr);
    if (parsed === undefined) continue;
    const { bytes, length } = parsed;
    const ip = formatIp(bytes);
    const place = length === 8 * bytes.length ? { group: `${network}/${ip}` } : {
      group: blockGroup(network, length, ip),
      lengths: { table: `${network}/${bytes.length === 16 ? 6 : 4}`, length },
    };
    places.set(place.group, place);
  }
  return [...places.values()];
}
