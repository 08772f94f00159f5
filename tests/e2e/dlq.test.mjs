// SPDX-License-Identifier: Apache-2.0
//
// Goal: what was refused can be found, understood and sent again: once, under its own tenant, also with the server stopped
// in between; what is refused again says so.
// Method: old records are refused, the server comes back with a longer window, the dead letters are replayed; SQL counts.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { binary, Server, until } from './harness.mjs';

const day = 86_400_000;
const ns = (ms) => `${BigInt(ms) * 1000000n}`;

// Exit code and output of `observex ...`.
function cli(...args) {
  return new Promise((resolve) => {
    execFile(binary, args, { maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      resolve({ code: error?.code ?? 0, stdout, stderr });
    });
  });
}

describe('dead letters', () => {
  let server, data, key;
  const dlq = (...args) => cli('dlq', ...args, '--data', data);
  const json = async (...args) => JSON.parse((await dlq(...args, '--json')).stdout);

  const post = async (records, headers = {}) => {
    const body = { resourceLogs: [{ scopeLogs: [{ logRecords: records.map(([ms, text]) => ({
      timeUnixNano: ns(ms), body: { stringValue: text } })) }] }] };
    const res = await fetch(`${server.http}/v1/logs`, { method: 'POST', body: JSON.stringify(body),
      headers: { 'content-type': 'application/json', ...headers } });
    assert.equal(res.status, 200);
    return res.json();
  };
  const kept = (n) => until(`${n} dead letters`, async () => {
    const { counts } = await json('list');
    return counts.reduce((sum, c) => sum + c.records, 0) === n ? true : undefined;
  });
  const stored = (tenant) => server.sql(
    `SELECT body, count() FROM otel_logs WHERE tenant_id = '${tenant}' GROUP BY 1 ORDER BY 1`);

  before(async () => {
    server = await Server.start();
    data = path.join(server.dir, 'data');
    key = (await cli('key', 'dev', '--data', data, 'team-a')).stdout.trim();
  });
  after(async () => {
    await server?.stop();
    await server?.remove();
  });

  test('are listed and explained, with the server running or stopped', async () => {
    const old = Date.now() - 3 * day;
    await post([[old, 'old-1'], [Date.now(), 'new-1'], [old, 'old-2']]);
    await post([[old, 'old-3']], { 'x-api-key': key });
    await post([[Date.now() + 9 * day, 'future']], { 'x-api-key': key });
    await kept(4);
    assert.deepEqual((await server.stop()).code, 0);
    const list = await json('list');
    assert.deepEqual(list.counts.map((c) => [c.tenant, c.reason, c.records]).sort(),
      [['default', 'time_too_old', 2], ['team-a', 'time_future', 1], ['team-a', 'time_too_old', 1]]);
    assert.deepEqual((await json('list', '--tenant', 'team-a', '--reason', 'time_future')).records.map((r) => r.n), [4]);
    assert.equal((await json('list', '--since', '2030-01-01T00:00:00Z')).records.length, 0);
    const { records: [one] } = await json('show', '1');
    assert.match(one.right, /validate\.past/);
    assert.equal(one.request.resourceLogs[0].scopeLogs[0].logRecords[0].body.stringValue, 'old-1');
    assert.match((await dlq('show', one.id.slice(0, 8))).stdout, /old-1/);
    const missing = await dlq('show', '99');
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /dlq list/);
    const none = await dlq('replay');
    assert.equal(none.code, 1);
    assert.match(none.stderr, /needs a running server/);
  });

  test('are replayed once, each under its own tenant', async () => {
    server.extra = ['--validate-past', '30d'];
    await server.launch();
    assert.deepEqual((await json('replay', '--dry-run')).summary.would_send, 4);
    const first = await json('replay', '--tenant', 'team-a');
    assert.deepEqual([first.summary.stored, first.summary.refused], [1, 1]);
    const rest = await dlq('replay');
    assert.equal(rest.code, 1); // the one from the future, refused before, is a new record now
    assert.match(rest.stdout, /2 stored, 1 refused again/);
    const again = await json('replay', '--reason', 'time_too_old');
    assert.deepEqual([again.summary.sent, again.summary.done_before], [0, 3]);
    await until('all stored', async () => ((await stored('default')).length === 3 ? true : undefined));
    assert.deepEqual(await stored('default'), [['new-1', '1'], ['old-1', '1'], ['old-2', '1']]);
    await until('the other tenant', async () => ((await stored('team-a')).length === 1 ? true : undefined));
    assert.deepEqual(await stored('team-a'), [['old-3', '1']]);
  });

  test('that were on their way when a replay was cut off wait for a decision', async () => {
    const { records } = await json('list', '--reason', 'time_future');
    const last = records.at(-1);
    await appendFile(path.join(data, 'dlq/replayed.log'), `${last.id} sent 1\n${last.id} sto`);
    const held = await json('replay');
    assert.deepEqual([held.summary.sent, held.summary.in_doubt], [0, 1]);
    const asked = await json('replay', '--in-doubt', last.id);
    assert.deepEqual([asked.summary.sent, asked.summary.refused], [1, 1]);
    assert.match(await readFile(path.join(data, 'dlq/replayed.log'), 'utf8'), new RegExp(`${last.id} refused \\d+\n`));
  });

  test('lines of others and refused blocks are listed too', async () => {
    await mkdir(path.join(data, 'dlq/blocks'), { recursive: true });
    await writeFile(path.join(data, 'dlq/blocks/00aa.otel_logs.native'), 'rows');
    await writeFile(path.join(data, 'dlq/blocks/00aa.otel_logs.native.txt'), 'table otel_logs\nrows 7\nreason too odd\n');
    const { blocks } = await json('list');
    assert.deepEqual(blocks.map(({ file, table, rows, bytes, reason }) => ({ file, table, rows, bytes, reason })),
      [{ file: '00aa.otel_logs.native', table: 'otel_logs', rows: 7, bytes: 4, reason: 'too odd' }]);
    assert.match((await dlq('show', '00aa.otel_logs.native')).stdout, /too odd/);
    await appendFile(path.join(data, 'dlq/dlq.jsonl'), 'not ours\n');
    assert.match((await dlq('list')).stdout, /1 lines are not what ObserveX writes/);
  });
});
