import {
  isAlias, isMap, isScalar, isSeq, LineCounter, parseAllDocuments, visit, type Alias, type Document,
  type Node, type ParsedNode,
} from 'yaml';

import { nearest, type Diagnostic } from './diagnostic.js';

/** A node with its place, for reading and for complaining about. */
export interface Place {
  /** undefined when the node is missing or empty. */
  readonly node: Node | undefined;
  /** Of the node or, when it is missing, of what should hold it. */
  readonly offset: number;
  readonly path: string;
  /** What should hold it is no map, which was reported: what is said about it is said already. */
  readonly spoilt?: true;
}

/** Errors and warnings kept per file; what follows is counted only. */
const diagnosticsMax = 100;
/** Characters of a name, as DNS bounds them; names travel in headers and labels. */
const nameCharsMax = 253;
/** Nodes looked at per file: aliases can make a small file endless. */
const nodesMax = 20_000_000;

/**
 * Reads a YAML or JSON document node by node. What is not as expected becomes a diagnostic at its
 * place and reads as the fallback, so that one pass finds every problem.
 */
export class YamlReader {
  readonly diagnostics: Diagnostic[] = [];
  readonly #lines = new LineCounter();
  readonly #document: Document<ParsedNode> | undefined;
  readonly #targets = new Map<Alias, Node>();
  #nodes = 0;

  constructor(text: string, readonly file: string) {
    const documents = parseAllDocuments(text, {
      lineCounter: this.#lines, customTags: matchTags, prettyErrors: false, logLevel: 'silent',
      uniqueKeys: false,
    });
    const [first, second] = [...documents];
    this.#document = first as Document<ParsedNode> | undefined;
    for (const { message, pos } of first?.errors ?? []) {
      this.#report('error', pos[0], '', '', `this is not YAML: ${message}`);
    }
    if (second !== undefined) {
      this.#report('error', second.range[0], '', '', 'a second document: one file holds one mesh');
    }
    if (first !== undefined && !this.failed && text.includes('*')) {
      this.#resolveAliases(first as Document);
    }
  }

  get failed(): boolean {
    return this.diagnostics.some(({ severity }) => severity === 'error');
  }

  root(): Place {
    const node = this.#document?.contents ?? undefined;
    return { node: this.#settle(node), offset: node?.range[0] ?? 0, path: '' };
  }

  error(place: Place, message: string): void {
    if (place.spoilt === undefined) this.#report('error', place.offset, place.path, show(place.node), message);
  }

  warning(place: Place, message: string): void {
    this.#report('warning', place.offset, place.path, show(place.node), message);
  }

  /** The fields of a map. Keys beside the known ones are errors. */
  fields<Name extends string>(place: Place, known: readonly Name[]): ((name: Name) => Place) {
    const found = new Map<string, Place>();
    const spoilt = place.spoilt === true || (place.node !== undefined && !isMap(place.node));
    for (const [key, value] of this.entries(place, `a map with ${known.join(', ')}`)) {
      if (known.includes(key.text as Name)) {
        found.set(key.text, value);
      } else {
        const near = nearest(key.text, known);
        const hint = near === undefined
          ? `; known here: ${known.join(', ')}` : `; did you mean ${near}?`;
        this.#report('error', key.offset, place.path, JSON.stringify(key.text),
          `${JSON.stringify(key.text)} is not known here${hint}`);
      }
    }
    return (name) => found.get(name)
      ?? {
        node: undefined, offset: place.offset, path: join(place.path, name),
        ...(spoilt ? { spoilt } : {}),
      };
  }

  /** Keys are texts or numbers, and unique. */
  entries(place: Place, expected: string): (readonly [{ text: string; offset: number }, Place])[] {
    if (place.node === undefined) return [];
    if (!isMap(place.node)) {
      this.error(place, `${show(place.node)} should be ${expected}`);
      return [];
    }
    const entries: (readonly [{ text: string; offset: number }, Place])[] = [];
    const seen = new Set<string>();
    for (const { key, value } of place.node.items) {
      const settled = this.#settle(key as Node);
      const offset = (key as Node | null)?.range?.[0] ?? place.offset;
      const written: unknown = isScalar(settled) ? settled.value : undefined;
      if (typeof written !== 'string' && typeof written !== 'number') {
        this.#report('error', offset, place.path, show(settled), 'a key should be a text');
        continue;
      }
      const text = String(written);
      if (seen.has(text)) {
        this.#report('error', offset, place.path, JSON.stringify(text),
          `${JSON.stringify(text)} is written twice here; once would be right`);
        continue;
      }
      seen.add(text);
      const node = value as Node | null;
      entries.push([{ text, offset }, {
        node: this.#settle(node ?? undefined), offset: node?.range?.[0] ?? offset,
        path: join(place.path, text),
      }]);
    }
    return entries;
  }

  list(place: Place, expected = 'a list'): Place[] {
    if (place.node === undefined) return [];
    if (!isSeq(place.node)) {
      this.error(place, `${show(place.node)} should be ${expected}`);
      return [];
    }
    return place.node.items.map((item, index) => {
      const node = item as Node | null;
      return {
        node: this.#settle(node ?? undefined), offset: node?.range?.[0] ?? place.offset,
        path: `${place.path}[${index}]`,
      };
    });
  }

  /** '' when missing. */
  text(place: Place, expected = 'a text'): string {
    const value = this.#scalar(place);
    if (value === undefined) {
      if (place.node !== undefined) this.error(place, `${show(place.node)} should be ${expected}`);
      return '';
    }
    if (typeof value === 'string') return value;
    // A name such as 123 or true is written without quotes easily; its source is what was meant.
    const source = isScalar(place.node) ? place.node.source : undefined;
    return source ?? String(value);
  }

  /** As `text`, within the bound of names. */
  name(place: Place, what?: string): string {
    const text = this.text(place, what);
    if (text.length > nameCharsMax) {
      this.error(place, `${text.length} characters are too many; at most ${nameCharsMax} would be `
        + 'right');
    }
    return text;
  }

  requiredText(place: Place, what: string): string {
    const text = this.name(place, what);
    if (text === '' && !this.#wrong(place)) this.error(place, `is missing; expected ${what}`);
    return text;
  }

  integer(place: Place, least: number, most: number, fallback: number): number {
    if (place.node === undefined) return fallback;
    const value = this.#scalar(place);
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) {
      return value;
    }
    this.error(place, `${show(place.node)} should be a whole number from ${least} to ${most}`);
    return fallback;
  }

  boolean(place: Place): boolean {
    if (place.node === undefined) return false;
    const value = this.#scalar(place);
    if (typeof value === 'boolean') return value;
    this.error(place, `${show(place.node)} should be true or false`);
    return false;
  }

  /** The keys of `words` are what users write, in any case. */
  choice<Value>(
    place: Place, what: string, words: Readonly<Record<string, Value>>, fallback: Value,
  ): Value {
    if (place.node === undefined) return fallback;
    const value = this.#scalar(place);
    const names = Object.keys(words);
    const name = typeof value === 'string'
      ? names.find((known) => known.toLowerCase() === value.toLowerCase()) : undefined;
    if (name !== undefined) return words[name] as Value;
    const near = typeof value === 'string' ? nearest(value, names) : undefined;
    this.error(place, `${show(place.node)} is no ${what}; expected ${names.join(', ')}`
      + (near === undefined ? '' : `; did you mean ${near}?`));
    return fallback;
  }

  #scalar(place: Place): unknown {
    return isScalar(place.node) ? place.node.value : undefined;
  }

  #wrong(place: Place): boolean {
    return place.node !== undefined && !isScalar(place.node);
  }

  /** An alias stands for the last node before it with that anchor. */
  #resolveAliases(document: Document): void {
    const anchors = new Map<string, Node>();
    visit(document, {
      Node: (_, node) => {
        if (!isAlias(node)) {
          if (node.anchor !== undefined) anchors.set(node.anchor, node);
          return;
        }
        const target = anchors.get(node.source);
        if (target !== undefined) this.#targets.set(node, target);
        else {
          this.#report('error', node.range?.[0] ?? 0, '', `*${node.source}`,
            `*${node.source} stands for nothing: there is no &${node.source} before it`);
        }
      },
    });
  }

  /** Follows an alias; an empty node is a missing one. */
  #settle(node: Node | undefined): Node | undefined {
    this.#nodes += 1;
    if (this.#nodes === nodesMax) {
      this.#report('error', 0, '', '', `more than ${nodesMax} nodes: aliases make it endless`);
    }
    if (this.#nodes >= nodesMax) return undefined;
    const target = isAlias(node) ? this.#targets.get(node) : node;
    if (isScalar(target) && target.value === null && target.tag === undefined) return undefined;
    return target;
  }

  #report(severity: Diagnostic['severity'], offset: number, path: string, value: string,
    message: string): void {
    // An error is worth more than a warning: it always finds room for the first ones.
    const full = this.diagnostics.length >= diagnosticsMax;
    if (full && (severity === 'warning' || this.failed)) return;
    const { line, col } = this.#lines.linePos(offset);
    this.diagnostics.push({ severity, file: this.file, line, column: col, path, value, message });
  }
}

const join = (path: string, name: string): string => {
  const plain = /^[A-Za-z_][\w-]*$/.test(name) ? name : JSON.stringify(name);
  return path === '' ? plain : `${path}.${plain}`;
};

function show(node: Node | undefined): string {
  if (node === undefined) return '';
  if (isMap(node)) return 'a map';
  if (isSeq(node)) return 'a list';
  const value: unknown = isScalar(node) ? node.value : '';
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/**
 * `!Exact a` and its like, as Rust's serde writes them; what they hold is read by the mesh reader.
 */
const matchTags = ['Exact', 'Prefix', 'Suffix', 'Presence'].flatMap((name) => [
  { tag: `!${name}`, resolve: (text: string): string => text },
  { tag: `!${name}`, collection: 'seq' as const },
  { tag: `!${name}`, collection: 'map' as const },
]);
