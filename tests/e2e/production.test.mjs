// SPDX-License-Identifier: Apache-2.0
//
// Goal: production mode with a real PostgreSQL: who has no key gets nothing, a key opens its tenant for what it is for, a
// revocation ends it on every node, and an outage of PostgreSQL stops no known key and lets no other in.
// Method: two nodes on one PostgreSQL, the command line as an operator types it, the stock SDK with a header, PostgreSQL
// halted and started again.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { Server, binary, until } from './harness.mjs';
import { Sdk, protocols } from './otel.mjs';
import { Postgres, postgresBin } from './postgres.mjs';

const run = promisify(execFile);
const skip = (await postgresBin()) === undefined && 'this machine has no PostgreSQL in /usr/lib/postgresql';

function logsRequest(service, text) {
  return JSON.stringify({ resourceLogs: [{ resource: { attributes: [{ key: 'service.name', value: { stringValue: service } }] },
    scopeLogs: [{ logRecords: [{ timeUnixNano: `${BigInt(Date.now()) * 1000000n}`, body: { stringValue: text } }] }] }] });
}

describe('production mode', { timeout: 240000, skip }, () => {
  let pg, a, b, operator;
  const password = 'correct horse: battery \'staple\'';

  before(async () => {
    pg = await Postgres.start();
    const file = path.join(pg.dir, 'node.pw');
    await writeFile(file, `${password}\n`, { mode: 0o600 });
    const { stdout } = await run(binary, ['control', 'init', '--url', pg.ownerUrl, '--role-password-file', file, '--json']);
    operator = JSON.parse(stdout).operator_key;
    const flags = ['--mode', 'production', '--control-url', pg.nodeUrl, '--control-password-file', file];
    a = await Server.start(flags);
    b = await Server.start(flags);
  });
  after(async () => {
    for (const server of [a, b]) {
      await server?.stop();
      await server?.remove();
    }
    await pg?.stop();
  });

  // As the operator types it; --json gives the object.
  async function cli(...args) {
    const { stdout } = await run(binary, [...args, '--api', a.api, '--key', operator, '--json']);
    return JSON.parse(stdout);
  }
  async function send(server, key, service, text, signal = 'logs') {
    const headers = { 'content-type': 'application/json' };
    if (key !== undefined) headers['x-api-key'] = key;
    const res = await fetch(`${server.http}/v1/${signal}`, { method: 'POST', body: logsRequest(service, text), headers });
    return { status: res.status, retryAfter: res.headers.get('retry-after'), json: await res.json() };
  }
  async function ask(server, key, target) {
    const res = await fetch(server.api + target, { headers: { 'x-api-key': key } });
    return { status: res.status, json: await res.json() };
  }
  async function newKey(...args) {
    return cli('key', 'create', ...args);
  }

  test('without PostgreSQL it refuses to start and says what to set', async () => {
    const dir = path.join(a.dir, 'never');
    const e = await run(binary, ['serve', '--mode', 'production', '--data', dir]).then(() => null, (x) => x);
    assert.equal(e.code, 64);
    assert.match(e.stderr, /control\.url: production mode keeps tenants, keys and roles in PostgreSQL: set control\.url \(OBSERVE_X_CONTROL_URL or OBSERVE_X_POSTGRES_URL/);
  });

  test('as the owner of the tables it refuses to start', async () => {
    const dir = path.join(a.dir, 'owner');
    const e = await run(binary, ['serve', '--mode', 'production', '--control-url', pg.ownerUrl, '--data', dir,
      '--otlp-grpc', '127.0.0.1:0', '--otlp-http', '127.0.0.1:0', '--api', '127.0.0.1:0', '--debug', '127.0.0.1:0',
      '--heart-max-restarts', '0']).then(() => null, (x) => x);
    assert.notEqual(e, null);
    assert.match(e.stderr, /is a superuser or has BYPASSRLS/);
  });

  test('init shows the operator\'s key once', async () => {
    const { stdout } = await run(binary, ['control', 'init', '--url', pg.ownerUrl, '--json']);
    assert.deepEqual(JSON.parse(stdout), { migrations_applied: 0, role: 'ready', operator_key: null });
  });

  test('nobody gets in without a key that is kept', async () => {
    await writeFile(path.join(a.dir, 'data/dev.secret'), '0'.repeat(64));
    const { stdout } = await run(binary, ['key', 'dev', 'acme', '--data', path.join(a.dir, 'data')]);
    for (const key of [undefined, stdout.trim(), 'nonsense', `ox_live_${'0'.repeat(49)}`]) {
      assert.equal((await send(a, key, 'x', 'intruder')).status, 401, key);
      assert.equal((await fetch(`${a.api}/api/v1/services`, { headers: key ? { 'x-api-key': key } : {} })).status, 401, key);
      assert.equal((await fetch(`${a.api}/api/v1/tenants`, { headers: key ? { 'x-api-key': key } : {} })).status, 401, key);
    }
    assert.doesNotMatch(a.text(), /development mode/);
  });

  test('the first request of a key waits for its look-up, with the stock SDK and every protocol', async () => {
    const acme = await cli('tenant', 'create', 'acme', '--name', 'Acme Corp');
    assert.equal(acme.state, 'active');
    await cli('tenant', 'create', 'other');
    const reader = await newKey('--tenant', 'acme', '--role', 'viewer');
    const stranger = await newKey('--tenant', 'other', '--role', 'viewer');
    for (const protocol of protocols) {
      const { key } = await newKey('--tenant', 'acme', '--scopes', 'ingest', '--name', protocol);
      const sdk = new Sdk(a, protocol, { service: `shop-${protocol}`, key });
      sdk.tracers.getTracer('t').startSpan('order').end();
      sdk.loggers.getLogger('t').emit({ body: 'ordered', severityNumber: 9 });
      sdk.meters.getMeter('t').createCounter('orders').add(1);
      await sdk.flush();
      await sdk.shutdown();
      const traces = await until('the trace', async () => {
        const { status, json } = await ask(a, reader.key, `/api/v1/traces?service=shop-${protocol}`);
        assert.equal(status, 200);
        return json.traces.length > 0 ? json.traces : undefined;
      });
      assert.equal(traces[0].root_operation, 'order');
      const { json } = await ask(a, stranger.key, `/api/v1/traces?service=shop-${protocol}`);
      assert.deepEqual(json.traces, [], 'another tenant sees nothing of it');
    }
  });

  test('a key is good for its scopes and its role, and for no more', async () => {
    const onlyTraces = await newKey('--tenant', 'acme', '--scopes', 'ingest.traces');
    const { status, json } = await send(a, onlyTraces.key, 'x', 'refused');
    assert.equal(status, 403);
    assert.match(json.message, /this key may not send logs: its scopes are ingest\.traces; it needs ingest\.logs/);
    assert.equal((await ask(a, onlyTraces.key, '/api/v1/logs')).status, 403);
    const viewer = await newKey('--tenant', 'acme', '--role', 'viewer');
    assert.equal((await send(a, viewer.key, 'x', 'refused')).status, 403);
    assert.equal((await ask(a, viewer.key, '/api/v1/keys')).status, 403);
    const telemetry = await ask(a, operator, '/api/v1/logs');
    assert.equal(telemetry.status, 403);
    assert.match(telemetry.json.error.message, /role operator may not read telemetry/);
    const admin = await newKey('--tenant', 'acme', '--role', 'admin');
    const own = await ask(a, admin.key, '/api/v1/keys');
    assert.equal(own.status, 200);
    assert.ok(own.json.keys.every((k) => k.tenant === 'acme'));
    assert.equal((await ask(a, admin.key, '/api/v1/tenants')).status, 403);
    const other = (await cli('key', 'list', '--tenant', 'other')).keys[0];
    assert.equal((await ask(a, admin.key, `/api/v1/keys/${other.id}`)).status, 404);
  });

  test('a revocation ends a key on both nodes', async (t) => {
    const { id, key } = await newKey('--tenant', 'acme', '--scopes', 'ingest');
    for (const server of [a, b]) assert.equal((await send(server, key, 'revoked', 'before')).status, 200);
    await cli('key', 'revoke', id);
    const start = Date.now();
    for (const [name, server] of [['the node that was told', a], ['the other node', b]]) {
      await until(name, async () => ((await send(server, key, 'revoked', 'after')).status === 401 ? true : undefined), 30000, 2);
      t.diagnostic(`${name} refuses the key ${Date.now() - start} ms after the answer to the revocation`);
    }
    const shown = await cli('key', 'show', id);
    assert.equal(shown.state, 'revoked');
    const kept = await ask(a, operator, `/api/v1/keys/${id}`);
    assert.equal(kept.json.key, undefined);
  });

  test('a disabled tenant is refused on both nodes and taken again', async () => {
    const { key } = await newKey('--tenant', 'other', '--scopes', 'ingest');
    for (const server of [a, b]) assert.equal((await send(server, key, 'other', 'before')).status, 200);
    await cli('tenant', 'disable', 'other');
    for (const server of [a, b])
      await until('refused', async () => ((await send(server, key, 'other', 'meanwhile')).status === 401 ? true : undefined));
    await cli('tenant', 'enable', 'other');
    for (const server of [a, b])
      await until('taken', async () => ((await send(server, key, 'other', 'again')).status === 200 ? true : undefined));
  });

  test('rotation overlaps', async () => {
    const old = await newKey('--tenant', 'acme', '--scopes', 'ingest', '--name', 'rotated');
    assert.equal((await send(b, old.key, 'rotation', 'old')).status, 200);
    const fresh = await cli('key', 'rotate', old.id, '--overlap', '1s');
    assert.equal(fresh.rotated_from, old.id);
    assert.equal(fresh.name, 'rotated');
    assert.equal((await send(b, fresh.key, 'rotation', 'new')).status, 200);
    await until('the old one has ended', async () => ((await send(b, old.key, 'rotation', 'late')).status === 401 ? true : undefined));
    assert.equal((await send(b, fresh.key, 'rotation', 'new again')).status, 200);
  });

  test('verify tells whose a key is, and its last use is written down', async () => {
    const { id, key } = await newKey('--tenant', 'acme', '--scopes', 'ingest.logs');
    assert.equal((await send(a, key, 'verified', 'x')).status, 200);
    const v = await cli('key', 'verify', key);
    assert.equal(v.good, true);
    assert.equal(v.fingerprint, 'right');
    assert.equal(v.tenant, 'acme');
    await until('the last use', async () => ((await cli('key', 'show', id)).last_used !== null ? true : undefined));
    const stored = await pg.sql(`SELECT octet_length(digest), left(fingerprint, 31) FROM observex.api_keys WHERE key_id = '${id}'`);
    assert.equal(stored, '32|$argon2id$v=19$m=65536,t=3,p=4$');
  });

  test('while PostgreSQL is away known keys go on and no other gets in', async () => {
    const known = await newKey('--tenant', 'acme', '--scopes', 'ingest');
    const reader = await newKey('--tenant', 'acme', '--role', 'viewer');
    const late = await newKey('--tenant', 'acme', '--scopes', 'ingest');
    assert.equal((await send(a, known.key, 'outage', 'before')).status, 200);
    assert.equal((await ask(a, reader.key, '/api/v1/services')).status, 200);
    await pg.halt();
    const refused = await send(a, late.key, 'outage', 'late');
    assert.equal(refused.status, 503);
    assert.ok(Number(refused.retryAfter) >= 1);
    for (let i = 0; i < 20; i++) assert.equal((await send(a, known.key, 'outage', `during ${i}`)).status, 200);
    assert.equal((await ask(a, reader.key, '/api/v1/services')).status, 200);
    assert.equal((await send(a, undefined, 'outage', 'none')).status, 401);
    await until('the outage is noticed', async () => ((await a.metric('observex_control_up')) === 0 ? true : undefined));
    const ready = await a.get('/ready');
    assert.equal(ready.status, 200, 'ingest goes on, so traffic may come');
    assert.match(ready.json.notes[0], /the control plane \(postgresql\) has not answered for/);
    const e = await cli('key', 'revoke', known.id).then(() => null, (x) => x);
    assert.match(e.stderr, /503|known keys/);
    await until('it is counted', async () => ((await a.metric('observex_control_stale_seconds')) > 0 ? true : undefined));
    await pg.resume();
    await until('the late key gets in', async () => ((await send(a, late.key, 'outage', 'late')).status === 200 ? true : undefined));
    assert.equal((await a.get('/ready')).json.notes, undefined);
    await cli('key', 'revoke', known.id);
    await until('and revocations are heard of again', async () => ((await send(a, known.key, 'outage', 'end')).status === 401 ? true : undefined));
  });

  test('a PostgreSQL that stands still holds up nobody who is known', async () => {
    const known = await newKey('--tenant', 'acme', '--scopes', 'ingest');
    const late = await newKey('--tenant', 'acme', '--scopes', 'ingest');
    assert.equal((await send(a, known.key, 'stillness', 'before')).status, 200);
    await pg.freeze();
    try {
      const waiting = Array.from({ length: 8 }, (_, i) => send(a, late.key, 'stillness', `late ${i}`));
      let answered = false;
      Promise.all(waiting).then(() => { answered = true; });
      let during = 0;
      while (!answered) {
        assert.equal((await send(a, known.key, 'stillness', `during ${during}`)).status, 200);
        during++;
      }
      assert.ok(during > 10, `${during} requests of a known key while others waited`);
      for (const { status } of await Promise.all(waiting)) assert.equal(status, 503);
    } finally {
      await pg.thaw();
    }
    await until('the late key gets in', async () => ((await send(a, late.key, 'stillness', 'after')).status === 200 ? true : undefined));
  });

  test('a node that is restarted while PostgreSQL is away starts, and knows its keys when it is back', async () => {
    const { key } = await newKey('--tenant', 'acme', '--scopes', 'ingest');
    await pg.halt();
    await b.stop();
    await b.launch();
    assert.equal((await send(b, key, 'restart', 'during')).status, 503);
    await pg.resume();
    await until('the key gets in', async () => ((await send(b, key, 'restart', 'after')).status === 200 ? true : undefined));
  });
});
