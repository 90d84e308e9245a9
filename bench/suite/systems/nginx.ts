import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { tetherBy } from '../processes.js';
import { descriptorsMax, findProgram, presenceOf, type Presence } from './program.js';
import type { Hop } from './two_hops.js';

const streamModule = '/usr/lib/nginx/modules/ngx_stream_module.so';

export async function probeNginx(): Promise<Presence> {
  const program = findProgram('nginx');
  if (program === undefined) return { absent: 'no nginx; bench/setup installs it' };
  return presenceOf([program, '-v'], /nginx\/(\S+)/);
}

/** The stream module is in the program, or beside it as a file of its own. */
export async function probeNginxStream(): Promise<Presence> {
  const found = await probeNginx();
  if ('absent' in found || existsSync(streamModule)) return found;
  const built = await presenceOf([findProgram('nginx') ?? 'nginx', '-V'],
    /--with-stream(?:\s|$)/);
  return 'absent' in built ? { absent: 'nginx without its stream module' } : found;
}

export const cipher = 'TLS_AES_128_GCM_SHA256';

/** The far hop's side of mTLS. Tickets are on, so that the near hop's sessions are resumed. */
export const serverTls = ({ credentials }: Hop): string => `
    ssl_certificate ${credentials.certificateFile};
    ssl_certificate_key ${credentials.keyFile};
    ssl_client_certificate ${credentials.rootFile};
    ssl_verify_client on;
    ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites ${cipher};
    ssl_ecdh_curve X25519;
    ssl_session_cache shared:far:10m;
    ssl_session_timeout 1h;`;

/**
 * The near hop's side of mTLS. nginx compares a server's certificate with a host name only and
 * cannot match a SPIFFE URI, so it does not verify the far hop here; that is to its advantage.
 */
export const clientTls = ({ credentials }: Hop): string => `
    proxy_ssl_certificate ${credentials.certificateFile};
    proxy_ssl_certificate_key ${credentials.keyFile};
    proxy_ssl_verify off;
    proxy_ssl_protocols TLSv1.3;
    proxy_ssl_conf_command Ciphersuites ${cipher};
    proxy_ssl_session_reuse on;`;

/** Writes the configuration: `block` is the `http` or `stream` block. */
export async function nginxCommand(hop: Hop, block: string): Promise<readonly string[]> {
  const file = join(hop.folder, 'nginx.conf');
  await mkdir(join(hop.folder, 'temporary'), { recursive: true });
  const root = process.getuid?.() === 0;
  const descriptors = descriptorsMax();
  await writeFile(file, `
${existsSync(streamModule) ? `load_module ${streamModule};` : ''}
${root ? 'user root;' : ''}
daemon off;
worker_processes ${hop.workers};
worker_rlimit_nofile ${descriptors};
pid ${hop.folder}/nginx.pid;
error_log stderr error;
events {
  worker_connections ${descriptors};
  # All of a burst at once; the default takes one connection per wake-up.
  multi_accept on;
}
${block}
`);
  return [
    ...tetherBy('TERM'), findProgram('nginx') ?? 'nginx', '-p', hop.folder, '-c', file,
    '-e', 'stderr',
  ];
}
