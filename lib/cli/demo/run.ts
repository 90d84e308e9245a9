import { Scene } from './scene.js';
import { steps } from './steps.js';
import { print, usesColor } from '../output.js';

const paint = (code: number, text: string): string =>
  usesColor(process.stdout) ? `\u001b[${code}m${text}\u001b[0m` : text;

/** Resolves to whether every step held. */
export async function runDemo(verbose: boolean): Promise<boolean> {
  const scene = await Scene.create();
  const interrupted = (): void => {
    scene.kill();
    process.exit(1);
  };
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  try {
    for (const [index, step] of steps.entries()) {
      print(`${index + 1}. ${step.title}`);
      await step.run(scene, { say: (text) => print(`   ${paint(32, '✓')} ${text}`) });
    }
    print(paint(32, 'every step held'));
    return true;
  } catch (error) {
    print(`   ${paint(31, '✗')} ${error instanceof Error ? error.message : String(error)}`);
    if (verbose) {
      for (const node of [scene.a, scene.b]) print(`--- log of ${node?.host ?? 'nobody'}\n${node?.log ?? ''}`);
    } else {
      print('   onehop demo --verbose shows the logs of the node proxies');
    }
    return false;
  } finally {
    await scene.close();
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
  }
}
