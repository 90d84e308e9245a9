import { Engine } from 'onehop';

/** One plaintext hop, read and write: `relay_main LISTEN DESTINATION SHARDS`, until killed. */
const [listen = '', destination = '', shards = '1'] = process.argv.slice(2);
const engine = Engine.start({ shards: Number(shards), spliceAfterBytes: 0 }, {
  decide: () => ({ allow: true, endpoints: [{ protocol: 'tcp', dial: destination }] }),
});
engine.listen({ kind: 'forward', address: listen });
