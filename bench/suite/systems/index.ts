import type { System } from '../system.js';
import { direct } from './direct.js';
import { envoyConnect } from './envoy_connect.js';
import { envoyL4 } from './envoy_l4.js';
import { envoySidecar } from './envoy_sidecar.js';
import { handshakeLoop } from './handshake_loop.js';
import { haproxyL4 } from './haproxy_l4.js';
import { haproxySidecar } from './haproxy_sidecar.js';
import { hbone, hboneBurdened, hboneHonest, hboneSpin, hboneStalled } from './hbone.js';
import { nginxL4 } from './nginx_l4.js';
import { nginxSidecar } from './nginx_sidecar.js';
import { nodeOnly } from './node_only.js';
import { relay } from './relay.js';
import { relayEpoll } from './relay_epoll.js';
import { ztunnel } from './ztunnel.js';

/** Every system, in the order of the tables. */
export const systems: readonly System[] = [
  direct, relay, relayEpoll, hbone, hboneSpin, hboneHonest, hboneBurdened, hboneStalled,
  envoySidecar, envoyL4, envoyConnect, nginxSidecar, nginxL4, haproxySidecar, haproxyL4, ztunnel,
  nodeOnly, handshakeLoop,
];
