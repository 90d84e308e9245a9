import { clientTls, nginxCommand, probeNginx, serverTls } from './nginx.js';
import { twoHops, type Hop } from './two_hops.js';

const block = (hop: Hop): string => `
http {
  access_log off;
  client_body_temp_path temporary/body;
  proxy_temp_path temporary/proxy;
  fastcgi_temp_path temporary/fastcgi;
  uwsgi_temp_path temporary/uwsgi;
  scgi_temp_path temporary/scgi;
  tcp_nodelay on;
  # A kept connection is never closed for its age or its number of requests.
  keepalive_timeout 24h;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  upstream next {
    server ${hop.next.host}:${hop.next.port};
    # Above every workload's connections: a pool that is too small closes and opens all the time.
    keepalive 1024;
    keepalive_requests 1000000000;
    keepalive_timeout 24h;
  }
  server {
    listen ${hop.listen.host}:${hop.listen.port}${hop.side === 'far' ? ' ssl' : ''}
      backlog=4096${hop.workers > 1 ? ' reuseport' : ''};
    ${hop.side === 'far' ? serverTls(hop) : ''}
    location / {
      proxy_pass ${hop.side === 'near' ? 'https' : 'http'}://next;
      # Without these two nginx speaks HTTP/1.0 and closes after each request.
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_read_timeout 1h;
      # Bodies pass in memory as they come, never by a temporary file.
      proxy_request_buffering off;
      proxy_buffer_size 16k;
      proxy_buffers 16 16k;
      proxy_max_temp_file_size 0;
      ${hop.side === 'near' ? clientTls(hop) : ''}
    }
  }
}`;

export const nginxSidecar = twoHops({
  name: 'nginx-sidecar',
  path: 'client - nginx HTTP - mTLS, keep-alive - nginx HTTP - server',
  carries: 'http',
  probe: probeNginx,
  children: (workers) => workers,
  command: (hop) => nginxCommand(hop, block(hop)),
});
