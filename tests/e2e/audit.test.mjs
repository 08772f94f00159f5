// SPDX-License-Identifier: Apache-2.0
//
// Goal: every order stands in the audit log, the log can be listed, exported and verified with and without a running
// server and over kill -9, and a change of it is found.
// Method: orders over the API, `observex audit` on the same directory, bytes changed in its files.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { Server, binary } from './harness.mjs';

const run = promisify(execFile);

describe('the audit log', { timeout: 120000 }, () => {
  let server;
  let data;
  before(async () => { server = await Server.start(); data = path.join(server.dir, 'data'); });
  after(async () => { await server.stop(); await server.remove(); });

  const audit = async (...args) => {
    try {
      return { code: 0, ...await run(binary, ['audit', ...args, '--data', data]) };
    } catch (e) {
      return { code: e.code, stdout: e.stdout, stderr: e.stderr };
    }
  };
  const verify = async (...args) => JSON.parse((await audit('verify', '--json', ...args)).stdout);
  const lines = (out) => out.stdout.trim().split('\n').map((l) => JSON.parse(l));
  async function createTenant(id) {
    const res = await fetch(`${server.api}/api/v1/tenants`, { method: 'POST', body: JSON.stringify({ id }),
      headers: { 'content-type': 'application/json' } });
    assert.equal(res.status, 201);
  }

  test('orders are listed, exported and stand, while the server runs and when it was killed', async () => {
    for (const id of ['one', 'two', 'three'])
      await createTenant(id);
    const listed = lines(await audit('list', '--json'));
    assert.deepEqual(listed.map((l) => [l.seq, l.action, l.tenant, l.outcome]),
      ['one', 'two', 'three'].map((id, i) => [i + 1, 'tenants.write', id, 'granted']));
    assert.deepEqual(lines(await audit('list', '--json', '--after', '1', '--limit', '1')).map((l) => l.seq), [2]);
    assert.deepEqual(lines(await audit('list', '--json', '--tenant', 'three')).map((l) => l.seq), [3]);
    assert.match((await audit('list', '--limit', '1')).stdout, /^ +3 .*granted +tenants\.write +three .*no key, from this machine/);
    const running = await verify();
    assert.equal(running.stands, true);
    assert.equal(running.lines, 3);
    server.kill(server.child.pid);
    await server.exited;
    await appendFile(path.join(data, 'audit.jsonl'), '{"seq":4,"prev":"');
    assert.equal((await verify()).cut_off, true);
    await server.launch();
    await createTenant('four');
    const later = await verify('--head', running.newest);
    assert.deepEqual([later.stands, later.lines, later.unchained], [true, 4, 1]);
    assert.equal((await audit('export')).stdout, await readFile(path.join(data, 'audit.jsonl'), 'utf8'));
  });

  test('a change is found, and its line named', async () => {
    const file = path.join(data, 'audit.jsonl');
    const good = await readFile(file, 'utf8');
    await writeFile(file, good.replace('"tenant":"two"', '"tenant":"ten"'));
    const bad = await audit('verify');
    assert.equal(bad.code, 1);
    assert.match(bad.stdout, /BROKEN at .*audit\.jsonl, line 2: /);
    assert.equal((await audit('export')).code, 1);
    await writeFile(file, good.split('\n').slice(0, 2).join('\n') + '\n');
    assert.match((await audit('verify')).stdout, /BROKEN at the end of .*: it ends with line 2, and line 4 was in it/);
    await writeFile(file, good);
    assert.equal((await audit('verify')).code, 0);
  });

  test('wrong arguments are said', async () => {
    for (const args of [['verify', '--head', '3:abc'], ['list', '--after', 'x'], ['remove'], []])
      assert.equal((await audit(...args)).code, 64, `${args}`);
    const nothing = await run(binary, ['audit', 'verify', '--data', path.join(server.dir, 'nowhere')]).catch((e) => e);
    assert.equal(nothing.code, 1);
    assert.match(nothing.stderr, /cannot be read: not found/);
  });
});
