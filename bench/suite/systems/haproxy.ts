import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { descriptorsMax, findProgram, presenceOf, type Presence } from './program.js';
import type { Hop } from './two_hops.js';

export async function probeHaproxy(): Promise<Presence> {
  const program = findProgram('haproxy');
  if (program === undefined) return { absent: 'no HAProxy; bench/setup installs it' };
  return presenceOf([program, '-v'], /version (\S+)/);
}

/** What the two systems set apart from TLS and addresses. */
export interface HaproxyShape {
  readonly mode: 'tcp' | 'http';
  /** Bytes of one of a connection's two buffers. */
  readonly bufferBytes: number;
  /** Lines of `defaults`. */
  readonly settings: readonly string[];
}

const cipher = 'TLS_AES_128_GCM_SHA256';

const bind = ({ side, listen, credentials, workers }: Hop): string =>
  `bind ${listen.host}:${listen.port} backlog 4096${workers > 1 ? ' shards by-thread' : ''}` +
  (side === 'near' ? '' : ` ssl crt ${credentials.combinedFile}` +
    ` ca-file ${credentials.rootFile} verify required`);

/** HAProxy verifies the chain; it cannot match a SPIFFE URI and, with no name asked for, does not. */
const server = ({ side, next, credentials }: Hop): string =>
  `server next ${next.host}:${next.port} pool-max-conn -1` +
  (side === 'far' ? '' : ` ssl crt ${credentials.combinedFile}` +
    ` ca-file ${credentials.rootFile} verify required`);

export async function haproxyCommand(hop: Hop, shape: HaproxyShape): Promise<readonly string[]> {
  const file = join(hop.folder, 'haproxy.cfg');
  // Two descriptors per flow, and some for itself.
  const flowsMax = Math.floor((descriptorsMax() - 200) / 2);
  await writeFile(file, `
global
  nbthread ${hop.workers}
  maxconn ${flowsMax}
  # Sessions of every flow are kept for resumption; connections are accepted without a rate.
  maxsslrate 0
  tune.ssl.cachesize 100000
  tune.bufsize ${shape.bufferBytes}
  ssl-default-bind-options ssl-min-ver TLSv1.3
  ssl-default-bind-ciphersuites ${cipher}
  ssl-default-bind-curves X25519
  ssl-default-server-options ssl-min-ver TLSv1.3
  ssl-default-server-ciphersuites ${cipher}
defaults
  mode ${shape.mode}
  no log
  timeout connect 5s
  timeout client 24h
  timeout server 24h
${shape.settings.map((line) => `  ${line}`).join('\n')}
frontend in
  ${bind(hop)}
  default_backend out
backend out
  ${server(hop)}
`);
  // -db: in the foreground, as one process.
  return [findProgram('haproxy') ?? 'haproxy', '-db', '-q', '-f', file];
}
