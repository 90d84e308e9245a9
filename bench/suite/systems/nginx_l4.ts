import { clientTls, nginxCommand, probeNginxStream, serverTls } from './nginx.js';
import { twoHops, type Hop } from './two_hops.js';

const block = (hop: Hop): string => `
stream {
  # The default is 16k; 256k raised bulk by a third and did not hurt small messages.
  proxy_buffer_size 256k;
  proxy_timeout 24h;
  tcp_nodelay on;
  access_log off;
  server {
    listen ${hop.listen.host}:${hop.listen.port}${hop.side === 'far' ? ' ssl' : ''}
      backlog=4096${hop.workers > 1 ? ' reuseport' : ''};
    proxy_pass ${hop.next.host}:${hop.next.port};
    ${hop.side === 'near' ? `proxy_ssl on;${clientTls(hop)}` : serverTls(hop)}
  }
}`;

export const nginxL4 = twoHops({
  name: 'nginx-l4',
  path: 'client - nginx stream - mTLS - nginx stream - server',
  carries: 'bytes',
  probe: probeNginxStream,
  children: (workers) => workers,
  command: (hop) => nginxCommand(hop, block(hop)),
});
