// SPDX-License-Identifier: Apache-2.0
//
// Goal: who follows the logs sees every record once, however small the answers and whenever blocks arrive.
// Method: records with equal and different times are sent in bursts while a cursor is followed 37 at a time.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { Server, binary, until } from './harness.mjs';

const bursts = 12;
const perBurst = 100;

describe('following logs', { timeout: 120000 }, () => {
  let server;
  before(async () => { server = await Server.start(); });
  after(async () => { await server.stop(); await server.remove(); });

  async function send(service, burst) {
    const ns = BigInt(Date.now()) * 1000000n;
    const logRecords = Array.from({ length: perBurst }, (_, i) => ({ timeUnixNano: `${ns + BigInt(i % 5)}`, severityNumber: 9,
      body: { stringValue: `record ${burst * perBurst + i}` } }));
    const res = await fetch(`${server.http}/v1/logs`, { method: 'POST', headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ resourceLogs: [{ resource: { attributes: [{ key: 'service.name', value: { stringValue: service } }] },
        scopeLogs: [{ logRecords }] }] }) });
    assert.equal(res.status, 200);
  }

  test('by cursor: no gap, nothing twice', async () => {
    const seen = new Map();
    let cursor = 'start';
    let answers = 0;
    const sending = (async () => {
      for (let b = 0; b < bursts; b++) {
        await send('followed', b);
        await until('the next burst', async () => (seen.size >= (b - 3) * perBurst ? true : undefined));
      }
    })();
    await until('all records', async () => {
      const r = await server.ask(`/api/v1/logs?service=followed&time=5m&limit=37&after=${cursor}`);
      answers++;
      assert.ok(r.logs.length <= 37);
      for (const l of r.logs) seen.set(l.body, (seen.get(l.body) ?? 0) + 1);
      cursor = r.meta.cursor;
      return seen.size === bursts * perBurst && !r.meta.truncated ? true : undefined;
    }, 60000, 1);
    await sending;
    const last = await server.ask(`/api/v1/logs?service=followed&time=5m&after=${cursor}`);
    assert.equal(last.logs.length, 0, 'nothing comes again');
    assert.deepEqual([...seen].filter(([, n]) => n !== 1), []);
    assert.ok(answers > (bursts * perBurst) / 37, 'the answers were small');
  });

  test('by command line: observex logs --follow', async () => {
    const child = spawn(binary, ['logs', '--api', server.api, '--service', 'shell', '--follow', '--json'], { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (d) => { text += d; });
    const ended = new Promise((r) => child.once('exit', (code) => r(code)));
    for (let b = 0; b < 3; b++) await send('shell', b);
    await until('all lines', async () => (text.split('\n').length > 3 * perBurst ? true : undefined));
    child.kill('SIGINT');
    assert.equal(await ended, 0);
    const bodies = text.trim().split('\n').map((l) => JSON.parse(l).body);
    assert.equal(new Set(bodies).size, 3 * perBurst);
    assert.equal(bodies.length, 3 * perBurst);
  });
});
