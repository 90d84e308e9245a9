import type { Handle, Upcall, Verdict } from '../engine/contract.js';
import { verdictOf, type Answer, type EndpointInput } from '../engine/options.js';
import type { Decision, FlowKey, FlowParties, RoutedEndpoint } from '../model/decision.js';
import type { FlowStory } from '../telemetry/access_log.js';
import { tcpLabels } from '../telemetry/labels.js';
import type { SlotAllocator } from '../telemetry/slots.js';

export interface FlowTableOptions {
  slots: SlotAllocator;
  /** The key of an upcall; undefined when its listener is gone. */
  keyOf(upcall: Upcall): FlowKey | undefined;
  decide(key: FlowKey): Decision;
  /** undefined while there is no valid certificate. */
  credentialOf(identity: string): Handle | undefined;
  generation(): number;
}

/** The endpoints of one decision as the engine takes them; shared by the keys that lead there. */
interface Conversion {
  readonly endpoints: readonly EndpointInput[];
  readonly slots: readonly number[];
  /** What it was made of. */
  readonly routed: readonly RoutedEndpoint[];
  readonly credentials: ReadonlyMap<string, Handle>;
  uses: number;
}

interface Published {
  /** Of the verdict that the engine holds. */
  readonly generation: number;
  readonly answer: Answer;
  /** Where it counts: a refusal in one slot, the rest in those of the endpoints. */
  readonly counts: Conversion | number;
  /** What it would be decided as now; says the same as the answer, perhaps in other words. */
  decision: Decision;
}

interface Entry {
  readonly upcall: Upcall;
  now: Published;
  /** What live flows of an older generation were decided by. */
  before: Published | undefined;
}

/** Verdicts go to the engine in parts of this size, so that the first flows are cut at once. */
const verdictsPerCall = 512;

const gone = {
  allow: false, reason: 'unknown-local', status: 503, live: 'close',
} as const;

/**
 * The flow keys that the engine holds verdicts for, and how each was decided. The engine's flow cache
 * bounds the table: what it evicts is forgotten here.
 */
export class FlowTable {
  readonly #options: FlowTableOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #conversions = new Map<readonly RoutedEndpoint[], Conversion>();

  constructor(options: FlowTableOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Answers an upcall, and remembers the answer under its key. */
  ask(upcall: Upcall): Answer {
    const made = this.#decide(upcall);
    const id = idOf(upcall.shard, upcall.key);
    const known = this.#entries.get(id);
    if (known !== undefined) this.#release(known.now);
    if (made === undefined) {
      this.#entries.delete(id);
      return { ...gone, generation: this.#options.generation() };
    }
    this.#entries.set(id, { upcall, now: made, before: known?.now });
    return made.answer;
  }

  /**
   * Decides all keys again, and yields the verdicts that changed, a part at a time. Refusals come in the
   * first parts: what is no longer allowed is cut before anything else is told.
   */
  *revalidate(): IterableIterator<Verdict[]> {
    const changed: Verdict[] = [];
    let refusals: Verdict[] = [];
    for (const [id, entry] of this.#entries) {
      const verdict = this.#redecide(id, entry);
      if (verdict === undefined) continue;
      if (verdict.allow) {
        changed.push(verdict);
        continue;
      }
      refusals.push(verdict);
      if (refusals.length < verdictsPerCall) continue;
      yield refusals;
      refusals = [];
    }
    if (refusals.length > 0) yield refusals;
    for (let from = 0; from < changed.length; from += verdictsPerCall) {
      yield changed.slice(from, from + verdictsPerCall);
    }
  }

  forget(shard: number, key: Handle): void {
    const id = idOf(shard, key);
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#entries.delete(id);
    this.#release(entry.now);
  }

  /** How a flow was decided; undefined when its key is not known (any more). */
  storyOf(flow: {
    shard: number; key: Handle; generation: number; endpoint: number; reason?: string;
  }): FlowStory | undefined {
    const entry = this.#entries.get(idOf(flow.shard, flow.key));
    if (entry === undefined) return undefined;
    const { now, before } = entry;
    const carried = before !== undefined && flow.generation < now.generation ? before : now;
    // Why a flow was cut is what was decided after it.
    const { decision } = flow.reason === 'policy-changed' ? now : carried;
    return {
      parties: partiesOf(carried.decision, flow.endpoint),
      authority: endpointOf(carried.decision, flow.endpoint)?.authority ?? '',
      explanation: decision.explanation,
      denied: !decision.allow,
      local: entry.upcall.local,
    };
  }

  #redecide(id: string, entry: Entry): Verdict | undefined {
    const { upcall, now } = entry;
    const made = this.#decide(upcall);
    if (made === undefined) {
      this.#entries.delete(id);
      this.#release(now);
      return verdictOf(upcall, upcall.kind, gone, this.#options.generation());
    }
    this.#release(now);
    if (sameAnswer(now, made)) {
      // Holds the same slots under what was decided now.
      entry.now = { ...made, generation: now.generation, answer: now.answer };
      return undefined;
    }
    entry.before = now;
    entry.now = made;
    return verdictOf(upcall, upcall.kind, made.answer, made.generation);
  }

  #decide(upcall: Upcall): Published | undefined {
    const key = this.#options.keyOf(upcall);
    if (key === undefined) return undefined;
    const generation = this.#options.generation();
    const decision = this.#options.decide(key);
    if (!decision.allow) {
      const { reason, status, live } = decision;
      return this.#refusal(generation, decision, { reason, status, live }, decision.parties);
    }
    const conversion = this.#convert(decision.endpoints);
    if (conversion === undefined) {
      const why = { reason: 'no-credential', status: 503, live: 'keep' } as const;
      return this.#refusal(generation, decision, why, decision.endpoints[0]?.parties);
    }
    conversion.uses += 1;
    const { endpoints } = conversion;
    const { responseHeaders } = decision;
    return {
      generation, decision, counts: conversion,
      answer: { allow: true, endpoints, responseHeaders, live: 'keep', generation },
    };
  }

  #refusal(generation: number, decision: Decision,
    why: { reason: Verdict['reason']; status: number; live: 'keep' | 'close' },
    parties: FlowParties | undefined): Published {
    const counters = parties === undefined ? 0 : this.#options.slots.acquire(tcpLabels(parties));
    return {
      generation, decision, counts: counters,
      answer: { allow: false, ...why, counters, generation },
    };
  }

  #convert(routed: readonly RoutedEndpoint[]): Conversion | undefined {
    const known = this.#conversions.get(routed);
    if (known !== undefined && this.#isCurrent(known)) return known;
    const credentials = new Map<string, Handle>();
    for (const { sourceIdentity } of routed) {
      if (sourceIdentity === '' || credentials.has(sourceIdentity)) continue;
      const handle = this.#options.credentialOf(sourceIdentity);
      if (handle === undefined) return undefined;
      credentials.set(sourceIdentity, handle);
    }
    const slots = routed.map(({ parties }) => this.#options.slots.acquire(tcpLabels(parties)));
    const endpoints = routed.map((endpoint, index): EndpointInput => ({
      protocol: endpoint.protocol, dial: endpoint.dial, bind: endpoint.bind,
      credential: credentials.get(endpoint.sourceIdentity) ?? 0, authority: endpoint.authority,
      peers: endpoint.peers, headers: endpoint.headers, forwardedHost: endpoint.forwardedHost,
      weight: endpoint.weight, counters: slots[index] ?? 0,
    }));
    const made = { endpoints, slots, routed, credentials, uses: 0 };
    this.#conversions.set(routed, made);
    return made;
  }

  #isCurrent(conversion: Conversion): boolean {
    for (const [identity, handle] of conversion.credentials) {
      if (this.#options.credentialOf(identity) !== handle) return false;
    }
    return true;
  }

  #release({ counts }: Published): void {
    const { slots } = this.#options;
    if (typeof counts === 'number') {
      slots.release(counts);
      return;
    }
    counts.uses -= 1;
    if (counts.uses > 0) return;
    for (const slot of counts.slots) slots.release(slot);
    // One made anew since then stays.
    if (this.#conversions.get(counts.routed) === counts) this.#conversions.delete(counts.routed);
  }
}

function idOf(shard: number, key: Handle): string {
  return `${shard}/${key}`;
}

function endpointOf(decision: Decision, endpoint: number): RoutedEndpoint | undefined {
  return decision.allow ? decision.endpoints[endpoint] ?? decision.endpoints[0] : undefined;
}

function partiesOf(decision: Decision, endpoint: number): FlowParties | undefined {
  return decision.allow ? endpointOf(decision, endpoint)?.parties : decision.parties;
}

function sameAnswer(one: Published, other: Published): boolean {
  // Endpoints that many keys share need no look at each.
  const shared = one.counts === other.counts && typeof one.counts !== 'number';
  const said = ({ answer }: Published): string =>
    JSON.stringify({ ...answer, generation: 0, ...(shared ? { endpoints: [] } : {}) });
  return said(one) === said(other);
}
