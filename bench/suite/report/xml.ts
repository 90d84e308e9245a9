/** Without the characters that no XML may hold: control characters and halves of surrogates. */
export function plainText(text: string): string {
  const known = /[\t\n\r\u{20}-\u{7e}\u{a0}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/u;
  return Array.from(text, (one) => known.test(one) ? one : '\u{fffd}').join('');
}

/** Text as content or attribute of XML and of HTML. */
export function escapeXml(text: string): string {
  return plainText(text)
    .replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;').replaceAll('\'', '&#39;');
}

/** Markup that is ready; made only by `html`, so that text cannot be taken for it. */
export class Markup {
  constructor(readonly text: string) {}
}

type Part = Markup | string | number | readonly Part[];

const textOf = (part: Part): string => {
  if (part instanceof Markup) return part.text;
  return Array.isArray(part) ? part.map((one: Part) => textOf(one)).join('')
    : escapeXml(String(part));
};

/** A template whose values are escaped unless they are markup themselves. */
export function html(texts: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  return new Markup(texts.map((text, index) =>
    text + (index < parts.length ? textOf(parts[index] ?? '') : '')).join(''));
}
