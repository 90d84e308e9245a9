import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    pool: 'forks',
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/e2e/**', 'test/bench/suite.test.ts'],
          testTimeout: 30_000,
        },
      },
      {
        // Whole node proxies under load: alone on the machine, one file after the other.
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts', 'test/bench/suite.test.ts'],
          sequence: { groupOrder: 1 },
          poolOptions: { forks: { singleFork: true } },
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
});
