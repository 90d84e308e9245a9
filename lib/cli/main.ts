#!/usr/bin/env node
import './small_start.js';

// Loaded after that, and not beside it.
const { runCli } = await import('./program.js');
process.exit(await runCli(process.argv.slice(2)));
