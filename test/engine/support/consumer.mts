// Compiled against the packed package by package.test.ts: what a program of a user may write.
import {
  Authority, Engine, EngineError, certificateFiles, checkMesh, createNodeProxy, engineDefaults,
  type Answer, type EngineErrorCode, type NodeProxyOptions, type Upcall,
} from 'onehop';

const decide = (upcall: Upcall): Answer => upcall.peerIdentity === ''
  ? { allow: false, reason: 'denied' }
  : { allow: true, endpoints: [{ protocol: 'tcp', dial: '127.0.0.1:80' }] };

export async function use(): Promise<EngineErrorCode | undefined> {
  await using engine = Engine.start({ shards: engineDefaults.shards }, { decide });
  const { address } = engine.listen({ kind: 'forward', address: '127.0.0.1:0' });
  try {
    const socket = await engine.dial({
      endpoint: { protocol: 'tcp', dial: address }, signal: AbortSignal.timeout(10),
    });
    socket.setTimeout(5).end(socket.peerIdentity);
    // @ts-expect-error There is no such reason.
    engine.publish([{ reason: 'nonsense' }]);
  } catch (error) {
    if (error instanceof EngineError) return error.code;
  }
  const options: NodeProxyOptions = { node: 'a', mesh: 'm', certificates: certificateFiles(
    { chainFile: 'c', keyFile: 'k', rootsFile: 'r' }) };
  await using proxy = await createNodeProxy(options);
  await using authority = await Authority.open('d');
  const { lines } = await checkMesh('m');
  console.log(proxy.addresses.admin, authority.rootPem, lines.join());
  return undefined;
}
