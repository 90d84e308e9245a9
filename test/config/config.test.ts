import { describe, expect, it } from 'vitest';

import { parseListenAddress } from '../../lib/config/address_option.js';
import { nodeOptions } from '../../lib/config/node_options.js';
import { bytesOption, formatDuration, parseDuration } from '../../lib/config/option.js';
import { ConfigError, flagOf, helpOf, readConfig } from '../../lib/config/read.js';

describe('the node options', () => {
  it('have defaults that they accept themselves, one variable each, and a document line', () => {
    const variables = new Set<string>();
    for (const [name, option] of Object.entries(nodeOptions)) {
      const { format, parse } = option as { format: (v: unknown) => string; parse: (t: string) => unknown };
      expect(parse(format(option.default)), name).toBe(option.default);
      expect(option.doc, name).toMatch(/^[A-Z].*[^.]$/);
      expect(option.env, name).toMatch(/^[A-Z][A-Z0-9_]*$/);
      variables.add(option.env);
    }
    expect(variables.size).toBe(Object.keys(nodeOptions).length);
  });

  it('take the flag, then the environment, then the default', () => {
    const { values, origins } = readConfig(nodeOptions, { shards: '3', node: 'a' },
      { ZTUNNEL_WORKER_THREADS: '5', POOL_UNUSED_RELEASE_TIMEOUT: '1m30s', NODE_NAME: 'b', LOG_FORMAT: '' });
    expect(values).toMatchObject({ shards: 3, node: 'a', poolIdle: 90_000, log: 'text' });
    expect(origins).toMatchObject({ shards: 'flag', poolIdle: 'environment', log: 'default' });
  });

  it('take values from a program', () => {
    const { values } = readConfig(nodeOptions, { shards: 3, poolIdle: 1500, socks5: false, mark: 1337 }, {});
    expect(values).toMatchObject({ shards: 3, poolIdle: 1500, socks5: false, mark: 1337 });
  });

  it('name every problem with the value and what would be right', () => {
    let error: unknown;
    try {
      readConfig(nodeOptions, { shards: '65', admin: 'here', nonsense: '1' },
        { POOL_UNUSED_RELEASE_TIMEOUT: '5', LOG_FORMAT: 'xml', UNSTABLE_ENABLE_SOCKS5: 'yes' });
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as ConfigError).problems.map((problem) => problem.message)).toEqual([
      '--admin: "here" is not ip:port such as 127.0.0.1:15000 or [::]:15020, or off',
      'LOG_FORMAT: "xml" is not one of text, json, plain',
      '--shards: "65" is not a whole number from 0 to 64',
      'UNSTABLE_ENABLE_SOCKS5: "yes" is not true or false',
      'POOL_UNUSED_RELEASE_TIMEOUT: "5" is not a duration such as 500ms, 30s or 5m, from 0 to 1d',
      'nonsense: there is no such option',
    ]);
  });

  it('make flags and help', () => {
    expect(flagOf('poolIdle')).toBe('--pool-idle');
    expect(helpOf(nodeOptions.shards)).toBe('Threads that carry traffic; 0 takes a quarter of the '
      + 'processors, at least 2 (default 0; ZTUNNEL_WORKER_THREADS; a whole number from 0 to 64)');
  });
});

describe('values', () => {
  it.each([['0', 0], ['1ms', 1], ['2s', 2000], ['1.5s', 1500], ['1m30s', 90_000], ['24h', 86_400_000],
    ['2d', 172_800_000], ['5', undefined], ['', undefined], ['s', undefined], ['-1s', undefined],
    ['1 s', undefined], ['1s1', undefined]])('duration %j', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
    if (ms !== undefined) expect(parseDuration(formatDuration(ms))).toBe(ms);
  });

  it.each([['127.0.0.1:80', '127.0.0.1:80'], ['localhost:0', '127.0.0.1:0'], ['[::]:1', '[::]:1'],
    ['::1:80', undefined], [':80', undefined], ['1.2.3.4', undefined], ['1.2.3.4:65536', undefined],
    ['[1.2.3.4]:80', undefined], ['a:80', undefined]])('listen address %j', (text, address) => {
    expect(parseListenAddress(text)).toBe(address);
  });

  it.each([['64Ki', 65_536], ['1Gi', 2 ** 30], ['1048576', 2 ** 20], ['1', undefined], ['1MB', undefined],
    ['', undefined]])('bytes %j', (text, bytes) => {
    const option = bytesOption({ default: 2, env: 'E', doc: 'D', least: 2, most: 2 ** 30 });
    expect(option.parse(text)).toBe(bytes);
  });
});

describe('--forward', () => {
  it.each([
    ['127.0.0.2:9000=10.0.0.7:80', '127.0.0.2:9000=10.0.0.7:80'],
    ['[::0:1]:09000=[fd00::7]:80,127.0.0.2:1=127.0.0.3:2', '[::1]:9000=[fd00::7]:80,127.0.0.2:1=127.0.0.3:2'],
    ['', ''],
  ])('%s', (text, canonical) => {
    expect(readConfig(nodeOptions, { forward: text }, {}).values.forward).toBe(canonical);
  });

  it.each([
    '127.0.0.2:9000', '127.0.0.2:9000=', '=10.0.0.7:80', 'here:9000=10.0.0.7:80', '127.0.0.2:0=10.0.0.7:80',
    '127.0.0.2:9000=10.0.0.7:0', '127.0.0.2:9000=10.0.0.7:80=10.0.0.8:80', '127.0.0.2:9000=10.0.0.7:80,',
    '127.0.0.2:9000=10.0.0.7:80,127.0.0.2:09000=10.0.0.8:80', '127.0.0.2:99999=10.0.0.7:80',
  ])('refuses %s', (text) => {
    expect(() => readConfig(nodeOptions, { forward: text }, {})).toThrow(ConfigError);
  });
});
