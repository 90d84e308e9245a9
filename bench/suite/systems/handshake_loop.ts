import { spawn } from 'node:child_process';

import { tether } from '../processes.js';
import type { Endpoint, OwnWork, System, SystemContext } from '../system.js';
import { credentialsOf, type Credentials } from './certificates.js';
import { findProgram, presenceOf } from './program.js';
import { addressOf } from './relay.js';

/** At a time, so that neither end waits; each makes one connection after the other. */
const clients = 4;

const openssl = (): string => findProgram('openssl') ?? 'openssl';
const tlsArgv = ({ certificateFile, keyFile, rootFile }: Credentials): string[] =>
  ['-tls1_3', '-cert', certificateFile, '-key', keyFile, '-CAfile', rootFile];

/** What one `s_time` did; it counts in whole seconds, so we look at the clock ourselves. */
async function runClient(argv: readonly string[], signal: AbortSignal): Promise<OwnWork> {
  const [command = '', ...args] = argv;
  const beganMs = performance.now();
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], signal });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (said += text));
  }
  await new Promise((done, fail) => child.once('close', done).once('error', fail));
  const count = /(\d+) connections in \d+ real seconds/.exec(said)?.[1];
  if (count === undefined) throw new Error(`openssl s_time: ${said.trim().slice(-300)}`);
  return { operations: Number(count), seconds: (performance.now() - beganMs) / 1_000 };
}

async function work(context: SystemContext, listen: Endpoint, credentials: Credentials,
  seconds: number): Promise<OwnWork> {
  const argv = [
    ...tether, ...context.layout.inside('near'), openssl(), 's_time', '-connect', addressOf(listen), '-new',
    ...tlsArgv(credentials), '-verify', '3', '-time', String(Math.max(1, Math.floor(seconds))),
  ];
  const done = await Promise.all(Array.from({ length: clients }, () =>
    runClient(argv, context.signal)));
  const rate = done.reduce((sum, one) => sum + one.operations / one.seconds, 0);
  const spent = Math.max(...done.map((one) => one.seconds));
  return { operations: rate * spent, seconds: spent };
}

/** What OpenSSL's own programs reach on this machine, with its version of OpenSSL, not Node's. */
export const handshakeLoop: System = {
  name: 'handshake-loop',
  path: 'openssl s_time - full mTLS 1.3 handshakes - openssl s_server, nothing else',
  carries: 'bytes',
  workloads: ['cold'],
  probe: () => presenceOf([openssl(), 'version'], /OpenSSL (\S+)/),
  start: async (context) => {
    const { layout, shared } = context;
    const { near, far } = await credentialsOf(shared);
    const listen = { host: layout.farHost, port: await layout.freePort('far') };
    await context.launch('far', 'handshake-server', [
      openssl(), 's_server', '-accept', addressOf(listen), ...tlsArgv(far), '-groups', 'X25519',
      '-Verify', '3', '-verify_return_error', '-verify_quiet', '-num_tickets', '0', '-quiet',
    ], () => layout.isListening('far', listen.port));
    return { entry: listen, proxies: [], work: (seconds) => work(context, listen, near, seconds) };
  },
};
