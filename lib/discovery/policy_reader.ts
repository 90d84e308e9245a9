import { isMap, isScalar, isSeq } from 'yaml';

import { parseCidr } from '../model/address.js';
import type { Authorization, Match, ServiceAccountMatch, StringMatch } from '../model/resources.js';
import type { Place, YamlReader } from './yaml_reader.js';

const policyKeys = ['name', 'namespace', 'scope', 'action', 'rules', 'dryRun'] as const;
const matchKeys = [
  'namespaces', 'notNamespaces', 'principals', 'notPrincipals', 'serviceAccounts',
  'notServiceAccounts', 'sourceIps', 'notSourceIps', 'destinationIps', 'notDestinationIps',
  'destinationPorts', 'notDestinationPorts',
] as const;
const stringForms = '!Exact a, !Prefix a, !Suffix a or !Presence []';

/** Stands for what could not be read; the file is refused, so it is never evaluated. */
const never: StringMatch = { kind: 'exact', value: '' };

export function readPolicy(reader: YamlReader, place: Place): Authorization {
  const field = reader.fields(place, policyKeys);
  const required = (name: 'scope' | 'action', words: string): Place => {
    const at = field(name);
    if (at.node === undefined) reader.error(at, `is missing; expected ${words}`);
    return at;
  };
  if (field('rules').node === undefined) {
    reader.error(field('rules'), 'is missing; expected a list of rules, [] for none');
  }
  const word = (name: 'name' | 'namespace', what: string): string => {
    const text = reader.requiredText(field(name), what);
    // Workloads name policies by namespace/name.
    if (text.includes('/')) {
      reader.error(field(name), `${JSON.stringify(text)} should be ${what}, without a slash`);
    }
    return text;
  };
  return {
    name: word('name', 'the policy\'s name'),
    namespace: word('namespace', 'the namespace\'s name'),
    scope: reader.choice(required('scope', 'Global, Namespace or WorkloadSelector'), 'scope', {
      Global: 'global', Namespace: 'namespace', WorkloadSelector: 'workload-selector',
    } as const, 'namespace'),
    action: reader.choice(required('action', 'Allow or Deny'), 'action',
      { Allow: 'allow', Deny: 'deny' } as const, 'deny'),
    rules: reader.list(field('rules'), 'a list of rules').map((rule) =>
      reader.list(rule, 'a rule: a list of clauses').map((clause) =>
        reader.list(clause, 'a clause: a list of matches')
          .map((match) => readMatch(reader, match)))),
    dryRun: reader.boolean(field('dryRun')),
  };
}

function readMatch(reader: YamlReader, place: Place): Match {
  if (place.node === undefined) reader.error(place, 'an empty match never holds; expected a map');
  else if (isMap(place.node) && conditionsOf(reader, place) === 0) {
    reader.warning(place, 'a match without any condition never holds');
  }
  const field = reader.fields(place, matchKeys);
  const strings = (name: (typeof matchKeys)[number]): StringMatch[] =>
    reader.list(field(name), `a list of ${stringForms}`).map((item) => readString(reader, item));
  const accounts = (name: (typeof matchKeys)[number]): ServiceAccountMatch[] =>
    reader.list(field(name), 'a list of {namespace, serviceAccount}')
      .map((item) => readAccount(reader, item));
  const blocks = (name: (typeof matchKeys)[number]): string[] =>
    reader.list(field(name), 'a list of address blocks').map((item) => readBlock(reader, item));
  const ports = (name: (typeof matchKeys)[number]): number[] =>
    reader.list(field(name), 'a list of ports').map((item) => {
      if (item.node === undefined) reader.error(item, 'is missing; expected a port');
      return reader.integer(item, 0, 65_535, 0);
    });
  return {
    namespaces: strings('namespaces'),
    notNamespaces: strings('notNamespaces'),
    principals: strings('principals'),
    notPrincipals: strings('notPrincipals'),
    serviceAccounts: accounts('serviceAccounts'),
    notServiceAccounts: accounts('notServiceAccounts'),
    sourceIps: blocks('sourceIps'),
    notSourceIps: blocks('notSourceIps'),
    destinationIps: blocks('destinationIps'),
    notDestinationIps: blocks('notDestinationIps'),
    destinationPorts: ports('destinationPorts'),
    notDestinationPorts: ports('notDestinationPorts'),
  };
}

/** Lists with something in them; of unknown keys and other things there are complaints already. */
function conditionsOf(reader: YamlReader, place: Place): number {
  const known: readonly string[] = matchKeys;
  return reader.entries(place, 'a map').filter(([key, { node }]) => !known.includes(key.text)
    || (node !== undefined && !(isSeq(node) && node.items.length === 0))).length;
}

function readBlock(reader: YamlReader, place: Place): string {
  const text = reader.text(place, 'an address block');
  if (parseCidr(text) === undefined) {
    reader.error(place, `${JSON.stringify(text)} is no address block; expected one such as `
      + '10.0.0.0/8, 10.0.0.1 or 2001:db8::/32');
  }
  return text;
}

function readAccount(reader: YamlReader, place: Place): ServiceAccountMatch {
  const field = reader.fields(place, ['namespace', 'serviceAccount']);
  return {
    namespace: reader.requiredText(field('namespace'), 'the namespace\'s name'),
    serviceAccount: reader.requiredText(field('serviceAccount'), 'the service account\'s name'),
  };
}

/** `!Exact a` as in files, or `{Exact: a}` as in configuration dumps. */
function readString(reader: YamlReader, place: Place): StringMatch {
  const { node } = place;
  const tag = (isScalar(node) || isSeq(node) || isMap(node)) ? node.tag : undefined;
  if (tag?.startsWith('!') === true && !tag.startsWith('!!')) {
    if (tag === '!Presence') return presence(reader, place);
    const kind = tag.slice(1).toLowerCase();
    if (kind === 'exact' || kind === 'prefix' || kind === 'suffix') {
      return { kind, value: valueOf(reader, place) };
    }
  } else if (isMap(node) && node.items.length === 1) {
    const field = reader.fields(place, ['Exact', 'Prefix', 'Suffix', 'Presence']);
    const key: unknown = isScalar(node.items[0]?.key) ? node.items[0].key.value : undefined;
    if (key === 'Presence') return presence(reader, field(key));
    if (key !== 'Exact' && key !== 'Prefix' && key !== 'Suffix') return never;
    if (field(key).node === undefined) {
      reader.error(place, `the text to compare with is missing; expected ${stringForms}`);
    }
    const kind = ({ Exact: 'exact', Prefix: 'prefix', Suffix: 'suffix' } as const)[key];
    return { kind, value: valueOf(reader, field(key)) };
  }
  const shown = isScalar(node) ? `${JSON.stringify(node.value)} ` : '';
  reader.error(place, `${shown}does not say how to compare; expected ${stringForms}`);
  return never;
}

function valueOf(reader: YamlReader, place: Place): string {
  const text = reader.text(place, 'a text to compare with');
  // An empty prefix or suffix would hold for everything.
  if (text === '' && isScalar(place.node)) reader.error(place, 'the text to compare with is empty');
  if (text.startsWith('spiffe://')) {
    reader.error(place,
      `${JSON.stringify(text)} never holds: principals are written without spiffe://`);
  }
  return text;
}

/** Presence takes nothing: `[]`, `{}` or null. */
function presence(reader: YamlReader, place: Place): StringMatch {
  const { node } = place;
  const empty = node === undefined || ((isSeq(node) || isMap(node)) && node.items.length === 0)
    || (isScalar(node) && (node.value === '' || node.value === null));
  if (!empty) reader.error(place, 'presence takes no value; expected !Presence []');
  return { kind: 'presence' };
}
