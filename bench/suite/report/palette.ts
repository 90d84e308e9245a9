/** Colours of the report. Plots are drawn in the light ones; a rule of CSS each makes them dark. */

export interface Tone {
  readonly light: string;
  readonly dark: string;
}

const tone = (light: string, dark: string): Tone => ({ light, dark });

/** No two may have the same light colour: it is the name by which the dark one is found. */
export const tones = {
  ink: tone('#1f2328', '#e6edf3'),
  soft: tone('#59636e', '#a3adb8'),
  axis: tone('#afb8c1', '#57606b'),
  line: tone('#e4e8ec', '#272d35'),
  paper: tone('#ffffff', '#0f141a'),
  band: tone('#f3f6f9', '#161c24'),
  better: tone('#116329', '#56d364'),
  worse: tone('#a40e26', '#ff938a'),
  warning: tone('#8a4600', '#f0b060'),
} satisfies Record<string, Tone>;

const known: Readonly<Record<string, Tone>> = {
  direct: tone('#98a1ab', '#7d8690'),
  relay: tone('#5b6570', '#b4bdc7'),
  'relay-epoll': tone('#7a8490', '#949eaa'),
  hbone: tone('#0860ca', '#4c9bff'),
  'hbone-spin': tone('#3c8ae8', '#7ab6ff'),
  'hbone-honest': tone('#0a8ea6', '#3fc5dd'),
  'hbone-burdened': tone('#5f7fbf', '#8fa9e0'),
  'hbone-stalled': tone('#7d93b8', '#a9bbdc'),
  ztunnel: tone('#7a43d1', '#b78cff'),
  'envoy-sidecar': tone('#cc2231', '#ff6b66'),
  'envoy-connect': tone('#d8701a', '#f59a4c'),
  'envoy-l4': tone('#e39c32', '#f2c067'),
  'nginx-sidecar': tone('#1b7f3b', '#4cc46e'),
  'nginx-l4': tone('#62a671', '#86d199'),
  'haproxy-sidecar': tone('#a8327f', '#ea78c0'),
  'haproxy-l4': tone('#c886b0', '#e0a9cd'),
  'node-only': tone('#8f7500', '#d9bd3f'),
  'handshake-loop': tone('#3d6b70', '#7fb4ba'),
};

const spare: readonly Tone[] = [
  tone('#00707a', '#2bb8c4'), tone('#6b4d1e', '#c9a46a'), tone('#4b50c8', '#9a9fff'),
  tone('#7a8b00', '#bccf3d'), tone('#b0485a', '#f08ea0'), tone('#2e6f9e', '#79bdf0'),
];

/** The fixed colour of a system; one that is new gets one by its name, the same in every report. */
export function toneOf(system: string): Tone {
  const fixed = Object.hasOwn(known, system) ? known[system] : undefined;
  let sum = 0;
  for (const letter of system) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) % 9_973;
  return fixed ?? spare[sum % spare.length] ?? tones.ink;
}

/** CSS that turns plots dark, for use inside of a media query. */
export function darkRules(within: string): string {
  return [...Object.values(tones), ...Object.values(known), ...spare].map(({ light, dark }) =>
    `${within}[fill="${light}"]{fill:${dark}}${within}[stroke="${light}"]{stroke:${dark}}`)
    .join('\n');
}
