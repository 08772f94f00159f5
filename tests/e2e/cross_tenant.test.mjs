// SPDX-License-Identifier: Apache-2.0
//
// Goal: nothing that tenant acme sends or asks shows it, changes or hides anything of tenant victim, and no answer tells whether
// something of victim's exists.
// Method: more than three hundred attempts with acme's keys (an admin's, a viewer's, a sender's) or forged ones. Victim's telemetry
// holds words that must stand in no answer; what is asked by an id of victim's must be answered as an id that never was; no
// attempt may give 5xx. At the end victim's telemetry, keys and quotas are as they were.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { Server, binary, until } from './harness.mjs';

const run = promisify(execFile);
const SECRET = 'zq9victimsecret';
const TRACE = 'feedfacefeedfacefeedfacefeedface', NO_TRACE = 'feedfacefeedfacefeedfacefeedfacd';

let server, attempts = 0;
const keys = {};

async function cli(...args) {
  const { stdout } = await run(binary, [...args, '--data', path.join(server.dir, 'data'), '--json']);
  return JSON.parse(stdout);
}

// The path goes out as it is written, which fetch() would not do.
function raw(port, method, target, headers = {}, body = undefined) {
  return new Promise((resolve, reject) => {
    const [host, number] = port.split(':');
    const req = http.request({ host, port: number, method, path: target, headers, agent: false, insecureHTTPParser: true }, (res) => {
      const parts = [];
      res.on('data', (d) => parts.push(d));
      res.on('end', () => resolve({ status: res.statusCode, text: Buffer.concat(parts).toString(), headers: res.headers }));
      res.on('error', reject);
    });
    req.setTimeout(20000, () => req.destroy(new Error('no answer')));
    req.on('error', reject);
    req.end(body);
  });
}

function clean(what, answer) {
  attempts++;
  assert.ok(answer.status < 500, `${what}: ${answer.status} ${answer.text.slice(0, 300)}`);
  assert.ok(!answer.text.includes(SECRET), `${what} shows victim's telemetry: ${answer.text.slice(0, 300)}`);
  assert.ok(!answer.text.includes(keys.victim.id) || what.includes(keys.victim.id), `${what} shows victim's key`);
  return answer;
}

async function ask(target, key = keys.admin.key, more = {}) {
  return clean(`GET ${target} ${JSON.stringify(more)}`, await raw(server.ready.api, 'GET', target, { 'x-api-key': key, ...more }));
}

async function order(target, body, key = keys.admin.key, method = 'POST', more = {}) {
  return clean(`${method} ${target} ${JSON.stringify(body)}`, await raw(server.ready.api, method, target,
    { 'x-api-key': key, 'content-type': 'application/json', ...more }, body === undefined ? undefined : JSON.stringify(body)));
}

const nano = () => `${BigInt(Date.now()) * 1000000n}`;
const attribute = (key, value) => ({ key, value: { stringValue: value } });
function telemetry(word, traceId, more = []) {
  const resource = { attributes: [attribute('service.name', `shop-${word}`), attribute('host', word), ...more] };
  return {
    traces: { resourceSpans: [{ resource, scopeSpans: [{ spans: [{ traceId, spanId: 'feedfacefeedface', name: `op ${word}`,
      kind: 2, startTimeUnixNano: nano(), endTimeUnixNano: nano(), attributes: [attribute('word', word)] }] }] }] },
    logs: { resourceLogs: [{ resource, scopeLogs: [{ logRecords: [{ timeUnixNano: nano(), traceId, severityNumber: 17,
      body: { stringValue: `log of ${word}` }, attributes: [attribute('word', word)] }] }] }] },
    metrics: { resourceMetrics: [{ resource, scopeMetrics: [{ metrics: [{ name: `metric.${word}`, gauge: { dataPoints: [{
      timeUnixNano: nano(), asDouble: 1, attributes: [attribute('word', word)] }] } }] }] }] },
  };
}
async function send(signal, body, headers) {
  return raw(server.ready.otlp_http, 'POST', `/v1/${signal}`, { 'content-type': 'application/json', ...headers }, JSON.stringify(body));
}
async function seen(key) {
  const answers = await Promise.all(['/api/v1/traces?time=1h', '/api/v1/logs?time=1h', '/api/v1/metrics', '/api/v1/services?time=1h']
    .map((t) => raw(server.ready.api, 'GET', t, { 'x-api-key': key })));
  for (const a of answers) assert.equal(a.status, 200, a.text);
  return answers.map((a) => a.text).join('\n');
}

describe('one tenant against another', { timeout: 300000 }, () => {
  let before_;
  before(async () => {
    server = await Server.start([]);
    for (const tenant of ['acme', 'victim', 'platform']) await cli('tenant', 'create', tenant);
    keys.admin = await cli('key', 'create', '--tenant', 'acme', '--role', 'admin');
    keys.viewer = await cli('key', 'create', '--tenant', 'acme', '--role', 'viewer', '--scopes', 'query');
    keys.sender = await cli('key', 'create', '--tenant', 'acme', '--scopes', 'ingest');
    keys.revoked = await cli('key', 'create', '--tenant', 'victim', '--role', 'admin');
    keys.victim = await cli('key', 'create', '--tenant', 'victim', '--role', 'admin');
    await cli('key', 'revoke', keys.revoked.id);
    await cli('user', 'create', 'boss', '--tenant', 'victim', '--role', 'admin');
    await writeFile(path.join(server.dir, 'amy.pw'), 'a password of acme\n');
    await cli('user', 'create', 'amy', '--tenant', 'acme', '--role', 'admin', '--password-file', path.join(server.dir, 'amy.pw'));
    const theirs = telemetry(SECRET, TRACE), mine = telemetry('acmes', 'abababababababababababababababab');
    for (const signal of ['traces', 'logs', 'metrics']) {
      assert.equal((await send(signal, theirs[signal], { 'x-api-key': keys.victim.key })).status, 200);
      assert.equal((await send(signal, mine[signal], { 'x-api-key': keys.sender.key })).status, 200);
    }
    await until('both see their own', async () => {
      const a = await seen(keys.victim.key), b = await seen(keys.admin.key);
      return a.split(SECRET).length > 4 && b.split('acmes').length > 4 ? true : undefined;
    });
    before_ = { sql: await counts(), keys: await cli('key', 'list', '--tenant', 'victim'), quotas: await cli('quota', 'list') };
  });
  after(async () => {
    await server?.stop();
    await server?.remove();
  });
  async function counts() {
    return server.sql("SELECT (SELECT count() FROM otel_traces WHERE tenant_id='victim'),"
      + " (SELECT count() FROM otel_logs WHERE tenant_id='victim'), (SELECT count() FROM otel_metric_series WHERE tenant_id='victim')");
  }

  test('ids of the other are answered as ids that never were', async () => {
    const id = keys.victim.id, none = `${id.slice(0, -1)}${id.endsWith('x') ? 'y' : 'x'}`;
    const pairs = [
      [`/api/v1/traces/${TRACE}`, `/api/v1/traces/${NO_TRACE}`],
      [`/api/v1/traces/${TRACE}?correlate=true`, `/api/v1/traces/${NO_TRACE}?correlate=true`],
      [`/traces?trace_id=${TRACE}`, `/traces?trace_id=${NO_TRACE}`],
      [`/api/traces/${TRACE}`, `/api/traces/${NO_TRACE}`],
      [`/api/v1/traces/${TRACE.toUpperCase()}`, `/api/v1/traces/${NO_TRACE.toUpperCase()}`],
      [`/api/v1/logs?trace=${TRACE}`, `/api/v1/logs?trace=${NO_TRACE}`],
      [`/api/v1/logs?trace_id=${TRACE}`, `/api/v1/logs?trace_id=${NO_TRACE}`],
      [`/api/v1/logs?service=shop-${SECRET}`, '/api/v1/logs?service=shop-zq9nothingatall'],
      [`/api/v1/traces?service=shop-${SECRET}`, '/api/v1/traces?service=shop-zq9nothingatall'],
      [`/api/v1/traces?tags=word:${SECRET}`, '/api/v1/traces?tags=word:zq9nothingatall'],
      [`/api/v1/metrics?query=metric.${SECRET}`, '/api/v1/metrics?query=metric.zq9nothingatall'],
      [`/api/v1/metrics?name=metric.${SECRET}`, '/api/v1/metrics?name=metric.zq9nothingatall'],
      [`/api/v1/services/stats?service=shop-${SECRET}`, '/api/v1/services/stats?service=shop-zq9nothingatall'],
      [`/api/v1/keys/${id}`, `/api/v1/keys/${none}`],
      ['/api/v1/tenants/victim', '/api/v1/tenants/victin'],
      ['/api/v1/keys?tenant=victim', '/api/v1/keys?tenant=victin'],
      ['/api/v1/quotas?tenant=victim', '/api/v1/quotas?tenant=victin'],
      ['/api/v1/audit?tenant=victim', '/api/v1/audit?tenant=victin'],
    ];
    // What differs by nature: the id that was asked for, times, and how long it took.
    const level = (text) => text.replaceAll(SECRET, 'X').replaceAll('zq9nothingatall', 'X').replaceAll(TRACE, 'X').replaceAll(NO_TRACE, 'X')
      .replaceAll(TRACE.toUpperCase(), 'X').replaceAll(NO_TRACE.toUpperCase(), 'X').replaceAll(id, 'X').replaceAll(none, 'X')
      .replaceAll('victim', 'X').replaceAll('victin', 'X').replace(/"took_ms":\d+/g, '').replace(/"time_range":\{[^}]*\}/g, '')
      .replace(/"read_(rows|bytes)":\d+/g, '');
    for (const key of [keys.admin.key, keys.viewer.key, keys.sender.key]) {
      for (const [theirs, nothing] of pairs) {
        const a = await raw(server.ready.api, 'GET', theirs, { 'x-api-key': key }), b = await raw(server.ready.api, 'GET', nothing, { 'x-api-key': key });
        attempts++;
        assert.ok(a.status < 500);
        assert.equal(a.status, b.status, `${theirs}: ${a.text}\n${nothing}: ${b.text}`);
        assert.equal(level(a.text), level(b.text), theirs);
      }
    }
    for (const key of [keys.admin.key, keys.viewer.key, keys.sender.key]) {
      for (const verb of ['revoke', 'rotate']) {
        const a = await order(`/api/v1/keys/${id}/${verb}`, {}, key), b = await order(`/api/v1/keys/${none}/${verb}`, {}, key);
        assert.ok(a.status >= 400);
        assert.equal(a.status, b.status);
        assert.equal(level(a.text), level(b.text));
      }
    }
  });

  test('orders about the other are refused', async () => {
    const orders = [
      ['/api/v1/tenants', { id: 'victim2' }], ['/api/v1/tenants', { id: 'victim' }],
      ['/api/v1/keys', { tenant: 'victim' }], ['/api/v1/keys', { tenant: 'victim', role: 'admin' }],
      ['/api/v1/keys', { role: 'operator' }], ['/api/v1/keys', { tenant: 'platform', role: 'operator' }],
      ['/api/v1/quotas', { tenant: 'victim', quota: 'logs.records', value: 1 }],
      ['/api/v1/quotas', { tenant: 'acme', quota: 'logs.records', value: 0 }],
      ['/api/v1/quotas/clear', { tenant: 'victim', quota: 'logs.records' }],
      ['/api/v1/quarantine/victim/revoke', { acknowledge_crashes: 1 }],
      ['/api/v1/config/reload', {}], ['/admin/storage/readonly', { read_only: true }],
    ];
    for (const key of [keys.admin.key, keys.viewer.key, keys.sender.key]) {
      for (const [target, body] of orders) {
        const answer = await order(target, body, key);
        assert.ok(answer.status >= 400 && answer.status < 500, `${target} ${JSON.stringify(body)} gives ${answer.status} ${answer.text}`);
      }
      const disabled = await order('/api/v1/tenants/victim', { state: 'disabled' }, key, 'PATCH');
      assert.ok(disabled.status >= 400);
    }
  });

  test('users, sessions and logins of the other are out of reach, and names tell nothing', async () => {
    // boss is victim's user, nobody is no one's.
    for (const key of [keys.admin.key, keys.viewer.key, keys.sender.key]) {
      for (const [target, more] of [['/api/v1/users/change', { role: 'viewer' }], ['/api/v1/users/change', { state: 'disabled' }],
        ['/api/v1/users/password', {}], ['/api/v1/users', {}], ['/api/v1/users', { role: 'admin' }]]) {
        const a = await order(target, { tenant: 'victim', name: 'boss', ...more }, key);
        const b = await order(target, { tenant: 'victim', name: 'nobody', ...more }, key);
        assert.ok(a.status >= 400, `${target} ${a.text}`);
        assert.deepEqual([a.status, a.text], [b.status, b.text.replaceAll('nobody', 'boss')], target);
      }
      assert.ok(!(await ask('/api/v1/users?limit=500', key)).text.includes('boss'));
      for (const after of ['victim/a', 'victim/boss', 'victim/%00', "victim/'", '/'])
        assert.ok(!(await ask(`/api/v1/users?after=${after}`, key)).text.includes('boss'), after);
      assert.ok((await ask('/api/v1/users?tenant=victim', key)).status >= 400);
    }
    const sentences = new Set();
    for (const tenant of ['victim', 'acme', 'nobody', 'VICTIM', "victim' --"]) {
      const a = await clean(`login ${tenant}`, await raw(server.ready.api, 'POST', '/api/v1/login', { 'content-type': 'application/json' },
        JSON.stringify({ tenant, user: 'boss', password: 'a password of acme' })));
      assert.equal(a.status, 401, a.text);
      sentences.add(a.text);
    }
    assert.equal(sentences.size, 1);
    // acme's own session beside victim's words, and cookies that are none
    const login = await raw(server.ready.api, 'POST', '/api/v1/login', { 'content-type': 'application/json' },
      JSON.stringify({ tenant: 'acme', user: 'amy', password: 'a password of acme' }));
    assert.equal(login.status, 200, login.text);
    const cookie = login.headers['set-cookie'][0].split(';')[0], { csrf } = JSON.parse(login.text);
    const asAmy = async (method, target, body) => clean(`${method} ${target} as amy`, await raw(server.ready.api, method, target,
      { cookie, 'content-type': 'application/json', 'x-observex-csrf': csrf }, body && JSON.stringify(body)));
    for (const target of ['/api/v1/traces?time=1h', `/api/v1/traces/${TRACE}`, '/api/v1/logs?time=1h&tenant=victim', '/api/v1/services?time=1h',
      '/api/v1/users', '/api/v1/keys', '/api/v1/audit?tenant=victim', '/api/v1/users?tenant=victim']) await asAmy('GET', target);
    for (const [target, body] of [['/api/v1/users/change', { tenant: 'victim', name: 'boss', role: 'viewer' }], ['/api/v1/keys', { tenant: 'victim' }],
      [`/api/v1/keys/${keys.victim.id}/revoke`, {}], ['/api/v1/users', { tenant: 'platform', name: 'amy', role: 'operator' }],
      ['/api/v1/users/change', { name: 'amy', role: 'operator' }]]) assert.ok((await asAmy('POST', target, body)).status >= 400, target);
    const value = cookie.split('=')[1];
    for (const bent of [value.slice(1), `${value}A`, value.toLowerCase(), 'victim', '', value.split('').reverse().join('')]) {
      const a = await clean(`cookie ${bent}`, await raw(server.ready.otlp_http, 'POST', '/v1/logs', { 'content-type': 'application/json', cookie: `observex=${bent}` }, '{}'));
      assert.ok(a.status < 500);
      // In development mode a cookie that is none is as none at all: of tenant default, which is neither's.
      const seenBy = await clean(`cookie ${bent}`, await raw(server.ready.api, 'GET', '/api/v1/session', { cookie: `observex=${bent}` }));
      assert.equal(JSON.parse(seenBy.text).tenant, 'default', bent);
    }
    for (const token of ['eyJhbGciOiJub25lIn0.eyJ0ZW5hbnQiOiJ2aWN0aW0iLCJyb2xlIjoiYWRtaW4ifQ.', 'eyJ.eyJ.x', 'eyJhbGciOiJIUzI1NiJ9.eyJ0ZW5hbnQiOiJ2aWN0aW0ifQ.AAAA'])
      assert.equal((await ask('/api/v1/traces', token)).status, 401, token);
    assert.deepEqual(list(await cli('user', 'list', '--tenant', 'victim')), ['boss admin active']);
  });
  const list = (answer) => answer.users.map((u) => `${u.name} ${u.role} ${u.state}`);

  test('what is written into a field stays text', async () => {
    const payloads = ["' OR '1'='1", "victim' OR tenant_id = 'victim", `shop-${SECRET}' --`, "'; SELECT * FROM otel_logs; --", '\\',
      "\\' OR 1=1 --", "') UNION ALL SELECT * FROM otel_traces --", '{x:String}', "' SETTINGS log_comment = 't:victim",
      '%27%20OR%201%3D1', '*', '.*', '(?i)zq9victim.*', '"', '`tenant_id`', '\u0000', '𝕧𝕚𝕔𝕥𝕚𝕞', "a' AND sleep(3) AND 'a'='a"];
    const fields = [
      ['/api/v1/traces', 'service'], ['/api/v1/traces', 'operation'], ['/api/v1/traces', 'tags'], ['/api/v1/traces', 'status'],
      ['/api/v1/traces', 'minDuration'], ['/api/v1/logs', 'service'], ['/api/v1/logs', 'q'], ['/api/v1/logs', 'level'],
      ['/api/v1/logs', 'trace'], ['/api/v1/metrics', 'query'], ['/api/v1/metrics', 'name'], ['/api/v1/services/stats', 'service'],
      ['/api/v1/keys', 'after'], ['/api/v1/quotas', 'tenant'], ['/api/v1/traces', 'tenant'], ['/api/v1/logs', 'tenant_id'],
    ];
    for (const [target, field] of fields) {
      for (const payload of payloads) {
        // What was asked may be repeated in the answer; nothing else of the word may.
        const answer = await raw(server.ready.api, 'GET', `${target}?${field}=${encodeURIComponent(payload)}`, { 'x-api-key': keys.admin.key });
        attempts++;
        assert.ok(answer.status < 500, `${target} ${field}=${payload}: ${answer.status} ${answer.text}`);
        if (!payload.includes(SECRET)) assert.ok(!answer.text.includes(SECRET), `${target} ${field}=${payload}: ${answer.text}`);
        if (answer.status === 200) {
          for (const list of ['traces', 'logs', 'series', 'services', 'keys', 'set'])
            assert.ok(!JSON.stringify(JSON.parse(answer.text)[list] ?? '').includes(SECRET), `${target} ${field}=${payload}`);
        }
      }
    }
  });

  test('forged and replayed keys open nothing', async () => {
    const v = keys.victim.key, id = keys.victim.id;
    const flip = (at) => v.slice(0, at) + (v[at] === 'A' ? 'B' : 'A') + v.slice(at + 1);
    const forged = [keys.revoked.key, v.slice(0, -1), `${v}A`, v.toUpperCase(), v.toLowerCase(), ` ${v}x`, id, `ox_live_${id}`,
      'ox_live_', `ox_dev_victim_${'0'.repeat(32)}`, 'victim', "' OR 1=1 --", '0'.repeat(57), 'null', 'undefined',
      `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from('{"tenant":"victim","role":"admin"}').toString('base64url')}.`,
      ...[8, 12, 20, 30, 40, 50, v.length - 1].map(flip)];
    for (const key of forged) {
      for (const headers of [{ 'x-api-key': key }, { authorization: `Bearer ${key}` }]) {
        const read = clean(`forged ${JSON.stringify(headers)}`, await raw(server.ready.api, 'GET', '/api/v1/logs', headers));
        assert.equal(read.status, 401, `${JSON.stringify(headers)} reads: ${read.text}`);
        const sent = clean('forged', await send('logs', telemetry('forged', NO_TRACE).logs, headers));
        assert.equal(sent.status, 401, `${JSON.stringify(headers)} sends: ${sent.text}`);
      }
    }
    for (const authorization of ['Basic dmljdGltOnZpY3RpbQ==', `Digest ${id}`, `Bearer${id}`, `bearer: ${id}`, `Token ${id}`])
      assert.equal(clean(authorization, await raw(server.ready.api, 'GET', '/api/v1/logs', { authorization })).status, 401);
  });

  test('headers that claim another tenant say nothing', async () => {
    const claims = ['x-tenant', 'x-tenant-id', 'x-scope-orgid', 'tenant', 'tenant-id', 'x-observex-tenant', 'x-org-id', 'x-forwarded-user',
      'x-remote-user', 'x-user', 'x-clickhouse-user', 'x-clickhouse-database', 'log_comment', 'x-clickhouse-log-comment', 'x-original-user',
      'x-auth-request-user', 'x-forwarded-tenant', 'x-role', 'x-scopes', 'x-key-id'];
    for (const name of claims) {
      const answer = await ask('/api/v1/logs?time=1h', keys.admin.key, { [name]: 'victim' });
      assert.equal(answer.status, 200);
      assert.ok(answer.text.includes('acmes'), `${name} hides one's own`);
      const sent = await send('logs', telemetry('claimed', NO_TRACE).logs, { 'x-api-key': keys.sender.key, [name]: 'victim' });
      attempts++;
      assert.equal(sent.status, 200);
    }
    for (const [name, value] of [['x-forwarded-for', '127.0.0.1'], ['forwarded', 'for=127.0.0.1'], ['x-real-ip', '::1'],
      ['x-http-method-override', 'DELETE'], ['x-original-url', '/api/v1/tenants/victim'], ['x-rewrite-url', '/api/v1/tenants'],
      ['host', 'victim'], ['cookie', 'tenant=victim; session=admin'], ['x-ssl-client-s-dn', 'CN=victim'], ['x-client-cert', 'victim']])
      assert.equal((await ask('/api/v1/tenants', keys.admin.key, { [name]: value })).status, 403, name);
  });

  test('paths with tricks lead nowhere else', async () => {
    const paths = ['/api/v1/traces/../tenants', '/api/v1/traces/..%2ftenants', '/api/v1/traces/%2e%2e/tenants', '//api/v1/tenants',
      '/api/v1//tenants', '/api/v1/./tenants', '/api/v1/tenants/', '/api/v1/tenants//', '/api/v1/tenants;x=1', '/api/v1/tenants%00',
      '/api/v1/tenants%20', '/API/V1/TENANTS', '/api/v1/Tenants', '/api/v1/tenants/victim/', '/api/v1/tenants/victim%2f..',
      '/api/v1/tenants/acme/../victim', '/api/v1/keys/../tenants/victim', '/api/v1/keys/%2e%2e%2ftenants', '/api/v1/tenants?x=/api/v1/logs',
      '/api/v1/logs/../../../admin/storage/readonly', '/admin/storage/readonly', '/admin/storage/readonly/', '/debug/actors', '/debug/fault/wal/panic',
      '/api/v1/crashes', '/api/crashes', '/api/v1/quarantine', '/api/quarantine', `http://victim/api/v1/tenants`, `http://127.0.0.1/api/v1/tenants/victim`,
      '/api/v1/traces/' + 'a'.repeat(5000), '/api/v1/traces/%', '/api/v1/traces/%zz', '/?tenant=victim', '/play', '/replicas_status', '/?query=SELECT%201'];
    for (const target of paths) {
      for (const key of [keys.admin.key, keys.viewer.key]) {
        const answer = await ask(target, key);
        assert.ok(answer.status >= 400 || target.startsWith('/?'), `${target} gives ${answer.status}: ${answer.text.slice(0, 200)}`);
        assert.ok(!answer.text.includes('"state":"active"'), `${target} shows tenants`);
      }
    }
  });

  test('cursors of others, and bent ones, show nothing of others', async () => {
    for (let i = 0; i < 3; i++)
      for (const [word, key] of [['acmes', keys.sender.key], [SECRET, keys.victim.key]])
        assert.equal((await send('logs', telemetry(word, i % 2 ? TRACE : NO_TRACE).logs, { 'x-api-key': key })).status, 200);
    const cursorOf = async (key) => until('a cursor', async () => {
      const a = await raw(server.ready.api, 'GET', '/api/v1/logs?after=start&limit=1', { 'x-api-key': key });
      return JSON.parse(a.text).meta.cursor;
    });
    const theirs = await cursorOf(keys.victim.key), mine = await cursorOf(keys.admin.key);
    const bent = [theirs, theirs.slice(1), theirs.slice(0, -1), `${theirs}A`, theirs + mine, mine + theirs];
    for (let i = 0; i < mine.length; i++) bent.push(mine.slice(0, i) + (mine[i] === '0' ? '1' : '0') + mine.slice(i + 1));
    for (const cursor of bent) await ask(`/api/v1/logs?limit=10&after=${encodeURIComponent(cursor)}`);
    before_.sql = undefined; // victim has sent more
    await until('it is stored', async () => ((await counts())[0][1] === '4' ? true : undefined));
    before_.sql = await counts();
  });

  test('what claims to be of the other is one\'s own', async () => {
    const claims = ['tenant', 'tenant_id', 'tenant.id', 'observex.tenant', 'x-api-key', 'log_comment', 'block_id', 'service.namespace'];
    for (const name of claims) {
      for (const signal of ['traces', 'logs', 'metrics']) {
        const answer = await send(signal, telemetry('pretended', NO_TRACE, [attribute(name, 'victim')])[signal], { 'x-api-key': keys.sender.key });
        attempts++;
        assert.equal(answer.status, 200, answer.text);
      }
    }
    // The same bytes from two tenants are two requests: neither hears that the other has sent them.
    const body = telemetry('the same bytes', NO_TRACE).logs;
    const first = await send('logs', body, { 'x-api-key': keys.sender.key });
    const second = await send('logs', body, { 'x-api-key': keys.sender.key });
    assert.deepEqual([first.status, first.text], [second.status, second.text]);
    await until('acme has it', async () => ((await server.sql("SELECT count() FROM otel_logs WHERE tenant_id = 'acme' AND body = 'log of the same bytes'"))[0][0] === '1' ? true : undefined));
    const ofVictim = await seen(keys.victim.key);
    for (const word of ['pretended', 'claimed', 'acmes', 'forged', 'the same bytes']) assert.ok(!ofVictim.includes(word), `victim sees "${word}"`);
    attempts += 2;
  });

  test('victim has what it had, and the attempts were enough', async () => {
    assert.deepEqual(await counts(), before_.sql);
    const list = (k) => k.keys.map(({ id, role, state, revoked, expires }) => ({ id, role, state, revoked, expires }));
    assert.deepEqual(list(await cli('key', 'list', '--tenant', 'victim')), list(before_.keys));
    assert.deepEqual(await cli('quota', 'list'), before_.quotas);
    assert.equal((await raw(server.ready.api, 'GET', '/api/v1/logs', { 'x-api-key': keys.victim.key })).status, 200);
    assert.equal((await cli('tenant', 'show', 'victim')).state, 'active');
    assert.ok(attempts >= 300, `${attempts} attempts`);
    console.log(`${attempts} attempts`);
  });
});
