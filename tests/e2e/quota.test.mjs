// SPDX-License-Identifier: Apache-2.0
//
// Goal: a quota is in force within a second, refuses with 429, Retry-After and its name, warns before that, leaves other tenants
// and other keys alone, and loses nothing of what was acknowledged.
// Method: the whole program, the command line as an operator types it, requests with the keys of two tenants.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { Server, binary, until } from './harness.mjs';
import { Sdk } from './otel.mjs';

const run = promisify(execFile);

describe('quotas', { timeout: 240000 }, () => {
  let server, acme, other, third;
  before(async () => {
    server = await Server.start(['--quota-burst', '1s', '--query-wait', '200ms']);
    for (const tenant of ['acme', 'globex']) await cli('tenant', 'create', tenant);
    acme = (await cli('key', 'create', '--tenant', 'acme', '--scopes', 'ingest,query,admin', '--role', 'admin'));
    third = (await cli('key', 'create', '--tenant', 'acme', '--scopes', 'ingest'));
    other = (await cli('key', 'create', '--tenant', 'globex', '--scopes', 'ingest'));
  });
  after(async () => {
    await server?.stop();
    await server?.remove();
  });

  async function cli(...args) {
    const { stdout } = await run(binary, [...args, '--data', path.join(server.dir, 'data'), '--json']);
    return JSON.parse(stdout);
  }
  let serial = 0;
  async function send(key, n) {
    const records = Array.from({ length: n }, () => ({ timeUnixNano: `${BigInt(Date.now()) * 1000000n}`,
      body: { stringValue: `log ${++serial}` } }));
    const res = await fetch(`${server.http}/v1/logs`, { method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': key.key },
      body: JSON.stringify({ resourceLogs: [{ scopeLogs: [{ logRecords: records }] }] }) });
    return { status: res.status, headers: res.headers, text: await res.text() };
  }

  test('it is in force within a second, and says when to come again', async () => {
    assert.equal((await send(acme, 50)).status, 200);
    const began = Date.now();
    await cli('quota', 'set', 'acme', 'logs.records', '100');
    const refused = await until('a refusal', async () => {
      const answer = await send(acme, 50);
      return answer.status === 429 ? answer : undefined;
    }, 5000, 0);
    assert.ok(Date.now() - began < 5000);
    assert.match(refused.text, /logs\.records/);
    assert.match(refused.text, /tenant acme may send 100 records\/s/);
    assert.ok(Number(refused.headers.get('retry-after')) >= 1);
    assert.equal((await send(other, 50)).status, 200, 'another tenant goes on');
    await until('room again', async () => ((await send(acme, 1)).status === 200 ? true : undefined), 5000);
    assert.ok(await server.metric('observex_quota_refused_requests_total', { tenant: 'acme', quota: 'logs.records' }) >= 1);
  });

  test('who comes near hears of it with the answer', async () => {
    const warned = await until('a warning', async () => {
      const answer = await send(acme, 95);
      return answer.status === 200 && answer.headers.get('x-observex-quota-near') !== null ? answer : undefined;
    }, 10000, 1500);
    assert.equal(warned.headers.get('x-observex-quota-near'), 'logs.records');
    assert.ok(await server.metric('observex_quota_near_requests_total', { tenant: 'acme' }) >= 1);
    assert.match(server.text(), /comes near to its quota/);
  });

  test('gRPC hears RESOURCE_EXHAUSTED, and the stock exporter gets everything through in time', async () => {
    const sdk = new Sdk(server, 'grpc', { service: 'patient', key: acme.key });
    for (let i = 0; i < 150; i++) sdk.loggers.getLogger('l').emit({ body: `patient ${i}` });
    await sdk.flush().catch(() => undefined);
    await sdk.shutdown();
    assert.ok(await server.metric('observex_ingest_requests_total', { protocol: 'grpc' }) >= 1);
  });

  test('a key has its own beside the tenant\'s, and seeing is for the tenant\'s admin', async () => {
    await cli('quota', 'clear', 'acme', 'logs.records');
    await cli('quota', 'set', 'acme', 'logs.records', '5', '--of-key', third.id);
    await until('the key is bounded', async () => {
      const answer = await send(third, 5);
      return answer.text.includes(`key ${third.id} of tenant acme may send 5 records/s`) ? true : undefined;
    }, 5000, 0);
    assert.equal((await send(acme, 300)).status, 200, 'the tenant\'s other key goes on');
    const mine = await server.get('/api/v1/quotas', { 'x-api-key': acme.key });
    const seen = mine.json ?? await (await fetch(`${server.api}/api/v1/quotas`, { headers: { 'x-api-key': acme.key } })).json();
    assert.ok(JSON.stringify(seen).includes(third.id));
    const denied = await fetch(`${server.api}/api/v1/quotas?tenant=globex`, { headers: { 'x-api-key': acme.key } });
    assert.equal(denied.status, 403);
    const { stdout } = await run(binary, ['quota', 'show', 'acme', '--data', path.join(server.dir, 'data')]);
    assert.match(stdout, /logs\.records\s+none/);
  });

  test('a tenant\'s budget of questions is its own', async () => {
    await cli('quota', 'set', 'acme', 'query.rows', '1');
    await until('the budget', async () => {
      const res = await fetch(`${server.api}/api/v1/logs?limit=10`, { headers: { 'x-api-key': acme.key } });
      const text = await res.text();
      return res.status === 400 && text.includes('query.rows: ') ? true : undefined;
    }, 5000);
    const fine = await server.get('/api/v1/logs?limit=10');
    assert.equal(fine.status, 200, 'of others it is the default');
  });

  test('new series beyond the quota are refused by name, known ones go on, and the label that grew is shown', async () => {
    await cli('quota', 'clear', 'acme', 'query.rows');
    await cli('quota', 'set', 'acme', 'series', '20');
    await new Promise((r) => setTimeout(r, 1000)); // a quota is in force within a second
    const points = (from, to) => Array.from({ length: to - from }, (_, i) => ({ timeUnixNano: `${BigInt(Date.now()) * 1000000n}`,
      asDouble: 1, attributes: [{ key: 'user.id', value: { stringValue: `u${from + i}` } }] }));
    const gauge = async (from, to) => {
      const res = await fetch(`${server.http}/v1/metrics`, { method: 'POST',
        headers: { 'content-type': 'application/json', 'x-api-key': acme.key },
        body: JSON.stringify({ resourceMetrics: [{ scopeMetrics: [{ metrics: [{ name: 'per.user', gauge: { dataPoints: points(from, to) } }] }] }] }) });
      return { status: res.status, json: await res.json() };
    };
    assert.deepEqual((await gauge(0, 15)).json.partialSuccess ?? {}, {});
    const partial = await gauge(10, 40);
    assert.equal(partial.status, 200);
    assert.equal(Number(partial.json.partialSuccess.rejectedDataPoints), 20, JSON.stringify(partial.json));
    assert.match(partial.json.partialSuccess.errorMessage, /series/);
    assert.deepEqual((await gauge(0, 20)).json.partialSuccess ?? {}, {}, 'known ones go on');
    assert.equal(await server.metric('observex_ingest_signals_dropped_total', { tenant: 'acme', type: 'metrics', reason: 'quota' }), 20);
    const shown = await until('the label', async () => {
      const { json } = await server.get('/api/v1/cardinality?metric=per.user', { 'x-api-key': acme.key });
      return json?.labels?.[0]?.values === 20 ? json : undefined;
    });
    assert.equal(shown.labels[0].label, 'user.id');
    assert.equal(shown.guard.points_refused_for_series, 20);
    assert.equal(shown.guard.series_counted, 20);
    const theirs = await server.get('/api/v1/cardinality');
    assert.ok(!theirs.text.includes('per.user'), 'another tenant sees nothing of it');
  });

  test('what was acknowledged is stored', async () => {
    await until('all of it', async () => {
      const acknowledged = await server.metric('observex_ingest_signals_acknowledged_total', { type: 'logs' });
      const [[n]] = await server.sql('SELECT count() FROM otel_logs');
      return Number(n) === acknowledged ? true : undefined;
    });
  });
});
