import type { FlowEvent, FlowSummary, PackedSummaries } from './contract.js';
import {
  closeReasons, flowEvents, listenerKinds, sides, summaryNumbers, summaryTexts,
} from './contract.js';

/** The summaries of a batch, one object each. */
export function unpacked({ numbers, texts }: PackedSummaries): FlowSummary[] {
  const summaries: FlowSummary[] = [];
  let at = 0;
  const number = (): number => numbers[at++] ?? 0;
  for (let text = 0; text < texts.length; text += summaryTexts.length) {
    const after = at + summaryNumbers.length;
    const events: FlowEvent[] = [];
    // The objects have the fields of the interface in its order; the columns follow it.
    const [shard, flow, key, listener] = [number(), number(), number(), number()];
    const kind = listenerKinds[number()] ?? 'forward';
    const [endpoint, generation, startedMs] = [number(), number(), number()];
    const [durationUs, bytesUp, bytesDown] = [number(), number(), number()];
    const reason = closeReasons[number()] ?? 'internal';
    const side = sides[number()] ?? 'internal';
    const [code, count] = [number(), number()];
    if (at !== after) throw new Error('the columns of a summary are not those of the contract');
    for (let i = 0; i < count; i += 1) {
      events.push({ atUs: number(), event: flowEvents[number()] ?? 'closed', value: number() });
    }
    summaries.push({
      shard, flow, key, listener, kind,
      source: texts[text] ?? '', destination: texts[text + 1] ?? '',
      authority: texts[text + 2] ?? '', peerIdentity: texts[text + 3] ?? '',
      dialled: texts[text + 4] ?? '', endpoint, generation, startedMs, durationUs, bytesUp,
      bytesDown, traceId: texts[text + 5] ?? '', events, reason, side, code,
      detail: texts[text + 6] ?? '',
    });
  }
  return summaries;
}
