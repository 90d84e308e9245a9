import type { EChartsCoreOption } from 'echarts/core';

import { escapeXml } from './xml.js';

/** A plot that is still to be drawn; sizes in CSS pixels. */
export interface Figure {
  /** For those who do not see it. */
  readonly title: string;
  readonly width: number;
  readonly height: number;
  readonly option: EChartsCoreOption;
}

/** Draws a figure as an SVG element: static, no script, no reference to anything. */
export type Plotter = (figure: Figure) => string;

export const fontFamily = 'system-ui, \'Segoe UI\', \'Helvetica Neue\', Arial, sans-serif';

/** What the library puts there for its own scripts and for the mouse. */
function strip(svg: string): string {
  return svg.replace(/<style[\s\S]*?<\/style>/g, '')
    .replace(/ (?:class="zr|ecmeta_\w+="|pointer-events="|xml:space=")[^"]*"/g, '')
    .replace(/ (?:xmlns:xlink|version|baseProfile)="[^"]*"/g, '')
    .replace(/style="font:([^"]*)"/g, (_, font: string) => `style="font:${font.trim()}"`)
    .replace(/\n+/g, '\n');
}

/**
 * The only door to the plotting library, an optional peer dependency: undefined where it is not
 * installed.
 */
export async function loadPlotter(): Promise<Plotter | undefined> {
  try {
    const [core, charts, components, renderers] = await Promise.all([
      import('echarts/core'), import('echarts/charts'), import('echarts/components'),
      import('echarts/renderers'),
    ]);
    core.use([charts.CustomChart, charts.LineChart, components.GridComponent,
      components.GraphicComponent, renderers.SVGRenderer]);
    return ({ title, width, height, option }) => {
      const chart = core.init(null, null, { renderer: 'svg', ssr: true, width, height });
      try {
        chart.setOption({ animation: false, textStyle: { fontFamily }, ...option });
        return strip(chart.renderToSVGString())
          .replace(/<svg ([^>]*)>/, `<svg role="img" $1><title>${escapeXml(title)}</title>`);
      } finally {
        chart.dispose();
      }
    };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND') return undefined;
    throw error;
  }
}
