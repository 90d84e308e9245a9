import { darkRules, tones } from './palette.js';

const names = Object.keys(tones) as (keyof typeof tones)[];
const colours = (which: 'light' | 'dark'): string =>
  names.map((name) => `--${name}:${tones[name][which]}`).join(';');

/** All of the page's CSS. It names no font and no picture from anywhere else. */
export const pageStyle = `
:root{color-scheme:light dark;${colours('light')}}
@media (prefers-color-scheme:dark){:root{${colours('dark')}}
${darkRules('figure svg ')}
}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);line-height:1.5;font-size:15px;
font-family:system-ui,'Segoe UI','Helvetica Neue',Arial,sans-serif}
main{max-width:1240px;margin:0 auto;padding:28px 36px 80px}
h1{font-size:28px;line-height:1.2;margin:0 0 6px}
h2{font-size:22px;margin:52px 0 12px;padding-top:10px;border-top:2px solid var(--line)}
h3{font-size:16px;margin:30px 0 4px}
h3 code{font-weight:400;color:var(--soft);font-size:13px}
p{margin:6px 0;max-width:86ch}
a{color:inherit;text-decoration-color:var(--axis);text-underline-offset:3px}
code{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:.9em}
.soft,figcaption{color:var(--soft);font-size:13px}
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 16px;margin:14px 0;font-size:14px}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
nav{display:flex;flex-wrap:wrap;gap:4px 16px;margin:18px 0 8px;font-size:14px}
.answers{display:grid;gap:14px;margin:22px 0}
.answer{background:var(--band);border:1px solid var(--line);border-radius:10px;padding:16px 22px}
.answer h2{font-size:19px;margin:0 0 10px;padding:0;border:0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(230px,1fr));gap:14px 26px}
.big{font-size:29px;font-weight:650;line-height:1.15;letter-spacing:-.01em}
.tile p{margin:2px 0 0;font-size:13px;color:var(--soft);line-height:1.4}
.mark{display:inline-block;margin-left:9px;padding:1px 9px;font-size:12px;vertical-align:4px;
border-radius:10px;border:1px solid var(--axis);color:var(--soft);white-space:nowrap}
td .mark{margin:0;vertical-align:0}
.mark.differs,.mark.reached{border-color:var(--better);color:var(--better)}
.mark.missed{border-color:var(--worse);color:var(--worse)}
.mark.none,.mark.open{border-color:var(--warning);color:var(--warning)}
.answer ul{margin:12px 0 0;padding:0 0 0 18px;font-size:14px}
.answer li{margin:3px 0}
.answer details{margin:6px 0 0}
@media (max-width:760px){main{padding:18px 16px 60px}}
figure{margin:8px 0 6px;overflow-x:auto}
figure svg{display:block;min-width:880px;width:100%;height:auto}
.notes{margin:2px 0 4px;padding-left:18px;font-size:13px;color:var(--warning)}
details{margin:4px 0 10px;font-size:13px}
summary{cursor:pointer;color:var(--soft)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;margin:8px 0;font-size:13px;font-variant-numeric:tabular-nums}
th,td{padding:4px 10px;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--soft);font-weight:600}
td.number,th.number{text-align:right;white-space:nowrap}
.better{color:var(--better);font-weight:600}.worse{color:var(--worse);font-weight:600}
.warning{color:var(--warning)}
`;
