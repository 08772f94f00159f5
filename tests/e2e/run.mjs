// SPDX-License-Identifier: Apache-2.0
//
// Runs every *.test.mjs of this folder, or the files named as arguments, one after the other: each starts whole
// servers and measures nothing, so that two at once would only slow each other down. The options of `node --test`
// that say so are younger than the Node.js of Debian bookworm (18), this interface is not.
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';

const FILE_TIMEOUT_MS = 600_000;

const here = path.dirname(fileURLToPath(import.meta.url));
const named = process.argv.slice(2).map((f) => path.resolve(f));
const files = named.length > 0 ? named
  : readdirSync(here).filter((f) => f.endsWith('.test.mjs')).sort().map((f) => path.join(here, f));
if (files.length === 0) {
  console.error('observex e2e: no *.test.mjs in this folder');
  process.exit(1);
}
const tests = run({ files, concurrency: 1, timeout: FILE_TIMEOUT_MS });
tests.on('test:fail', () => { process.exitCode = 1; });
// Class in Node.js 18 and 20, function in later ones.
tests.compose(spec.prototype ? new spec() : spec).pipe(process.stdout);
