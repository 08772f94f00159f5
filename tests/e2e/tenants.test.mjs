// SPDX-License-Identifier: Apache-2.0
//
// Goal: a key opens its tenant and no other; a repeated request is stored once, also after kill -9; the bare engine
// socket and the debug port show what they should and no more.
// Method: development keys of two tenants, the same bytes sent again, raw HTTP over the Unix socket.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import http from 'node:http';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { Server, binary, until } from './harness.mjs';

const run = promisify(execFile);

function logsRequest(service, texts) {
  const ns = `${BigInt(Date.now()) * 1000000n}`;
  return JSON.stringify({ resourceLogs: [{ resource: { attributes: [{ key: 'service.name', value: { stringValue: service } }] },
    scopeLogs: [{ logRecords: texts.map((text) => ({ timeUnixNano: ns, severityNumber: 9, body: { stringValue: text } })) }] }] });
}

describe('tenants, repeats and side doors', { timeout: 120000 }, () => {
  let server;
  const keys = {};

  before(async () => {
    server = await Server.start();
    for (const tenant of ['team-a', 'team-b']) {
      const { stdout } = await run(binary, ['key', 'dev', '--data', path.join(server.dir, 'data'), tenant]);
      keys[tenant] = stdout.trim();
    }
  });
  after(async () => { await server.stop(); await server.remove(); });

  async function send(body, headers = {}) {
    const res = await fetch(`${server.http}/v1/logs`, { method: 'POST', body,
      headers: { 'content-type': 'application/json', ...headers } });
    return { status: res.status, json: await res.json() };
  }

  async function texts(service, headers) {
    const res = await fetch(`${server.api}/api/v1/logs?service=${service}&time=5m`, { headers });
    assert.equal(res.status, 200);
    return (await res.json()).logs.map((l) => l.body).sort();
  }

  test('each tenant sees its own records, whichever header carries the key', async () => {
    assert.equal((await send(logsRequest('shared', ['of a']), { 'x-api-key': keys['team-a'] })).status, 200);
    assert.equal((await send(logsRequest('shared', ['of b']), { authorization: `Bearer ${keys['team-b']}` })).status, 200);
    assert.equal((await send(logsRequest('shared', ['of default']))).status, 200);
    const as = (tenant) => ({ 'x-api-key': keys[tenant] });
    await until('all three', async () => ((await server.sql("SELECT count() FROM otel_logs WHERE service_name = 'shared'"))[0][0] === '3' ? true : undefined));
    assert.deepEqual(await texts('shared', as('team-a')), ['of a']);
    assert.deepEqual(await texts('shared', as('team-b')), ['of b']);
    assert.deepEqual(await texts('shared', {}), ['of default']);
  });

  test('a wrong key is refused although the request comes from this machine', async () => {
    const bent = keys['team-a'].replace('team-a', 'team-b');
    for (const headers of [{ 'x-api-key': 'nonsense' }, { 'x-api-key': bent }, { authorization: 'Basic dTpw' }]) {
      const { status, json } = await send(logsRequest('shared', ['intruder']), headers);
      assert.equal(status, 401);
      assert.equal(json.code, 16);
      assert.equal((await fetch(`${server.api}/api/v1/services`, { headers })).status, 401);
    }
  });

  test('orders that hash a secret queue on their own, and no question waits for them', async () => {
    const order = (target, body) => fetch(`${server.api}${target}`, { method: 'POST', body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' } });
    assert.equal((await order('/api/v1/tenants', { id: 'hashed' })).status, 201);
    const { key } = await (await order('/api/v1/keys', { tenant: 'hashed' })).json();
    let open = 60;
    const orders = Array.from({ length: open }, () => order('/api/v1/keys/verify', { key }).then((r) => { open -= 1; return r.status; }));
    assert.equal((await fetch(`${server.api}/api/v1/services`)).status, 200);
    assert.ok(open > 0, 'the question was answered while orders waited');
    const answers = await Promise.all(orders);
    assert.ok(answers.includes(200) && answers.includes(429), `${answers}`);
    assert.ok(answers.every((a) => a === 200 || a === 429), `${answers}`);
  });

  test('a page of another site whose name leads here reads and writes nothing', async () => {
    const ask = (base, path_, { method = 'GET', body, ...headers }) => new Promise((resolve, reject) => {
      const req = http.request(base + path_, { method, headers }, (res) => {
        let text = '';
        res.on('data', (part) => { text += part; });
        res.on('end', () => resolve({ status: res.statusCode, text }));
      });
      req.on('error', reject);
      req.end(body);
    });
    const read = (headers) => ask(server.api, '/api/v1/logs?time=5m', headers);
    const refused = await read({ host: 'evil.example:8080' });
    assert.equal(refused.status, 403);
    assert.match(refused.text, /listen\.hosts/);
    assert.equal((await read({ host: 'localhost:8080' })).status, 200);
    assert.equal((await read({ host: 'evil.example', 'x-api-key': keys['team-a'] })).status, 200, 'a key counts under any name');
    const write = (headers) => ask(server.http, '/v1/logs', { method: 'POST', body: logsRequest('page', ['from a page']),
      'content-type': 'application/json', ...headers });
    assert.equal((await write({ host: 'evil.example', origin: 'http://evil.example' })).status, 403);
    assert.equal((await write({ host: 'localhost', origin: 'http://localhost:3000' })).status, 200);
    assert.equal((await write({ host: 'host.docker.internal' })).status, 200, 'no browser');
  });

  test('the same bytes again are acknowledged and stored once, before and after kill -9 of the node', async () => {
    const body = logsRequest('repeated', ['one', 'two', 'three']);
    for (let i = 0; i < 3; i++)
      assert.equal((await send(body)).status, 200);
    assert.equal((await send(body, { 'x-api-key': keys['team-a'] })).status, 200, 'another tenant, another request');
    assert.equal(await server.metric('observex_ingest_signals_duplicate_total', { tenant: 'default', type: 'logs' }), 6);
    const { node_pid: old } = await server.readReady();
    process.kill(old, 'SIGKILL');
    await until('another node', async () => ((await server.readReady()).node_pid !== old ? true : undefined));
    await until('acknowledged again', async () => ((await send(body).catch(() => ({}))).status === 200 ? true : undefined));
    assert.equal((await send(logsRequest('repeated', ['last']))).status, 200);
    await until('the last record', async () => ((await texts('repeated', {})).includes('last') ? true : undefined));
    assert.deepEqual(await texts('repeated', {}), ['last', 'one', 'three', 'two']);
    assert.deepEqual(await texts('repeated', { 'x-api-key': keys['team-a'] }), ['one', 'three', 'two']);
  });

  test('the bare engine socket shows nothing', async () => {
    const answer = await new Promise((resolve, reject) => {
      const req = http.get({ socketPath: server.ready.engine_socket, path: '/?query=SELECT%20count()%20FROM%20otel_logs' }, (res) => {
        let text = '';
        res.on('data', (d) => { text += d; });
        res.on('end', () => resolve({ status: res.statusCode, text }));
      });
      req.on('error', reject);
    });
    assert.equal(answer.status, 403);
    assert.match(answer.text, /516/);
  });

  test('the debug port shows the supervision tree', async () => {
    const tree = await (await fetch(`http://${server.ready.debug}/debug/actors`)).json();
    const names = tree.children.map((c) => c.id);
    for (const name of ['tenants', 'outbox', 'wal', 'writer/traces', 'writer/logs', 'writer/metrics', 'gateway/0', 'api/0'])
      assert.ok(names.includes(name), `${name} is missing in ${names}`);
    assert.ok(tree.children.every((c) => c.state === 'running' && c.crashes === 0), JSON.stringify(tree));
    const tenants = tree.children.find((c) => c.id === 'tenants').children.map((c) => c.id).sort();
    assert.deepEqual(tenants, ['tenant/default', 'tenant/team-a']);
    assert.equal((await fetch(`http://${server.ready.debug}/nothing`)).status, 404);
  });
});
