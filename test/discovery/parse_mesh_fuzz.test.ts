import { describe, expect, it } from 'vitest';

import { parseMesh } from '../../lib/discovery/parse_mesh.js';

const seedText = `workloads:
- &w {uid: u, name: a, namespace: demo, workloadIps: [10.0.0.1, "::1"], protocol: HBONE,
   waypoint: {destination: demo/wp, hboneMtlsPort: 15008}, services: {demo/s.demo: {80: 8080}},
   authorizationPolicies: [demo/p], locality: {region: r}, capacity: 1}
services:
- {name: s, namespace: demo, hostname: s.demo, vips: [/10.1.0.1], cidrVips: [{cidr: 10.0.0.0/8}],
   ports: {80: 8080}, endpoints: {u: {port: {80: 1}}}, loadBalancer: {mode: Strict}}
policies:
- {name: p, namespace: demo, scope: Namespace, action: Allow,
   rules: [[[{principals: [!Exact a, {Prefix: b}, !Presence []], sourceIps: [10.0.0.0/8]}]]]}
`;

const pieces = ['{', '}', '[', ']', ':', ',', '- ', '\n', ' ', '\t', '"', "'", '!Exact ', '!!str ', '&a ',
  '*a', '*w', '<<: ', '? ', '| ', '~', 'null', '0x', '-1', '1e400', '.nan', '2001-01-01', '#', '---\n',
  '...\n', '%YAML 1.2\n', '\u0000', '\ufeff', '💥', '__proto__', 'constructor', 'toString'];

describe('whatever a mesh file holds', () => {
  it('parsing ends with a mesh or with an error that has a place', () => {
    let seed = 7;
    const below = (bound: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return (seed >>> 8) % bound;
    };
    let good = 0;
    for (let round = 0; round < 500; round++) {
      let text = seedText;
      for (let edits = 1 + below(4); edits > 0; edits--) {
        const at = below(text.length + 1);
        const piece = pieces[below(pieces.length)] ?? '';
        text = text.slice(0, at) + piece + text.slice(at + below(2) * below(12));
      }
      const { mesh, diagnostics } = parseMesh(text, 'm');
      const errors = diagnostics.filter(({ severity }) => severity === 'error');
      expect(mesh === undefined, text).toBe(errors.length > 0);
      expect(errors.every(({ line, column }) => line > 0 && column > 0), text).toBe(true);
      good += mesh === undefined ? 0 : 1;
    }
    expect(good).toBeGreaterThan(5);
  });

  it.each([
    ['nested without end', '['.repeat(50_000)],
    ['maps nested without end', '{a: '.repeat(50_000)],
    ['an alias of itself', 'workloads: &a [*a]'],
    ['an unknown alias', 'workloads: *a'],
    ['an alias before its anchor', 'workloads: *a\nservices: &a []'],
    ['an alias as the file', '*a'],
    ['a merge key', 'workloads: []\n<<: {services: []}'],
    ['a map as a key', '{a: b}: c'],
    ['binary', '\u0000\u0001\u0002'],
    ['a key of the prototype', 'workloads:\n- {__proto__: {namespace: a}}'],
    ['a word of the prototype', 'workloads:\n- {namespace: a, protocol: constructor}'],
  ])('%s is an error', (_, text) => {
    const { mesh, diagnostics } = parseMesh(text, 'm');
    expect(mesh).toBeUndefined();
    expect(diagnostics.some(({ severity }) => severity === 'error')).toBe(true);
  });
});
