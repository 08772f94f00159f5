// SPDX-License-Identifier: Apache-2.0
//
// Goal: an issuer's tokens open the tenant that they name, for what their role and scopes say, on every port; forged, ended and
// foreign ones get 401 with one sentence; the issuer's new keys are taken without a restart.
// Method: an issuer of our own, whose keys are made by Node's crypto; the stock exporter with a bearer token; the whole server.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Server, until } from './harness.mjs';
import { Issuer, Key, hs256 } from './issuer.mjs';
import { Sdk } from './otel.mjs';

describe('tokens of an issuer', { timeout: 180000 }, () => {
  let issuer, server, rsa;
  before(async () => {
    issuer = await Issuer.start();
    rsa = new Key('RS256', 'rsa-1');
    issuer.keys = [rsa, new Key('ES256', 'ec-1'), new Key('EdDSA', 'ed-1')];
    server = await Server.start(['--jwt-issuer', issuer.url, '--jwt-audience', 'observex', '--jwt-jwks-url',
      `${issuer.url}/jwks`, '--jwt-scope-claim', 'scope']);
    for (const tenant of ['acme', 'globex'])
      assert.equal((await order('/api/v1/tenants', { id: tenant })).status, 201);
  });
  after(async () => {
    await server?.stop();
    await server?.remove();
    await issuer?.stop();
  });

  async function order(target, body, headers = {}) {
    const res = await fetch(server.api + target, { method: 'POST', body: JSON.stringify(body),
      headers: { 'content-type': 'application/json', ...headers } });
    return { status: res.status, json: await res.json() };
  }
  const bearer = (token) => ({ authorization: `Bearer ${token}` });
  const all = 'query ingest admin';
  async function send(token, signal = 'logs') {
    const res = await fetch(`${server.http}/v1/${signal}`, { method: 'POST', body: '{}',
      headers: { 'content-type': 'application/json', ...bearer(token) } });
    return { status: res.status, json: await res.json() };
  }
  // 503 while the issuer is being asked.
  async function ask(token, target = '/api/v1/services') {
    return until('an answer', async () => {
      const got = await server.get(target, bearer(token));
      return got.status === 503 ? undefined : got;
    });
  }

  test('each algorithm opens the tenant that the token names', async () => {
    for (const key of issuer.keys) {
      const token = key.token(issuer.claims({ tenant: 'acme', role: 'editor', scope: all }));
      assert.equal((await ask(token)).status, 200, key.alg);
      assert.equal((await send(token)).status, 200, key.alg);
      assert.equal((await server.get('/api/v1/services', { 'x-api-key': token })).status, 200, 'as x-api-key, too');
    }
  });

  test('what the stock exporter sends with a token is the tenant\'s, and nobody else\'s', async () => {
    const token = (tenant) => rsa.token(issuer.claims({ tenant, role: 'editor', scope: all }));
    process.env.OTEL_EXPORTER_OTLP_HEADERS = `authorization=Bearer ${token('acme')}`;
    const sdk = new Sdk(server, 'grpc', { service: 'by-token' });
    delete process.env.OTEL_EXPORTER_OTLP_HEADERS;
    sdk.tracers.getTracer('t').startSpan('one').end();
    await sdk.flush();
    await sdk.shutdown();
    await until('the span', async () => {
      const { json } = await ask(token('acme'));
      return json.services.some((s) => (s.name ?? s) === 'by-token') ? true : undefined;
    });
    assert.deepEqual((await ask(token('globex'))).json.services, []);
    const [[tenant]] = await server.sql("SELECT any(tenant_id) FROM otel_traces WHERE service_name = 'by-token'");
    assert.equal(tenant, 'acme');
  });

  test('role and scopes say what it is for', async () => {
    const of = (role, scope, tenant = 'acme') => rsa.token(issuer.claims({ tenant, role, scope }));
    assert.equal((await send(of('viewer', all))).status, 403, 'viewers send nothing');
    const traces = of('editor', 'openid ingest.traces');
    assert.equal((await send(traces, 'traces')).status, 200);
    const logs = await send(traces, 'logs');
    assert.equal(logs.status, 403);
    assert.match(JSON.stringify(logs.json), /ingest\.traces/);
    assert.equal((await ask(traces)).status, 403);
    assert.equal((await ask(of('editor', all), '/api/v1/keys')).status, 403);
    assert.equal((await ask(of('admin', all), '/api/v1/keys')).status, 200);
    assert.equal((await ask(of('admin', all), '/api/v1/tenants')).status, 403);
    for (const [who, token] of Object.entries({
      'no tenant': rsa.token(issuer.claims({ role: 'admin', scope: all })),
      'no role': rsa.token(issuer.claims({ tenant: 'acme', scope: all })),
      'no scope': rsa.token(issuer.claims({ tenant: 'acme', role: 'admin' })),
      'an operator elsewhere': of('operator', all),
      'an admin of the platform': of('admin', all, 'platform'),
      'a tenant that is not there': of('admin', all, 'nobody'),
    })) assert.equal((await ask(token)).status, 403, who);
    const operator = rsa.token(issuer.claims({ tenant: 'platform', role: 'operator', scope: 'admin' }));
    assert.equal((await ask(operator, '/api/v1/tenants')).status, 403, 'there is no platform tenant in development');
  });

  test('forged, ended and foreign ones get 401 with one sentence', async () => {
    const claims = issuer.claims({ tenant: 'acme', role: 'editor', scope: all });
    const now = claims.iat, thief = new Key('RS256', 'rsa-1'), good = rsa.token(claims);
    const [head, , signature] = good.split('.');
    const other = Buffer.from(JSON.stringify({ ...claims, tenant: 'globex' })).toString('base64url');
    const pem = rsa.publicKey.export({ type: 'spki', format: 'pem' });
    const bad = {
      'another key': thief.token(claims),
      'another payload': `${head}.${other}.${signature}`,
      ended: rsa.token({ ...claims, iat: now - 3700, exp: now - 100 }),
      'not yet': rsa.token({ ...claims, nbf: now + 1000 }),
      'never ends': rsa.token({ ...claims, exp: undefined }),
      'too old': rsa.token({ ...claims, iat: now - 100000 }),
      'another issuer': rsa.token({ ...claims, iss: 'https://evil.example' }),
      'another audience': rsa.token({ ...claims, aud: ['billing'] }),
      'alg none': `${Buffer.from('{"alg":"none"}').toString('base64url')}.${good.split('.')[1]}.`,
      'the public key as a secret': hs256(pem, claims),
      crit: rsa.token(claims, { crit: ['exp'] }),
      'a key of another kind': rsa.token(claims, { kid: 'ec-1' }),
      'its key along': thief.token(claims, { kid: 'x', jwk: thief.jwk, jku: 'https://evil.example/jwks' }),
    };
    const sentences = new Set();
    for (const [what, token] of Object.entries(bad)) {
      const got = await ask(token);
      assert.equal(got.status, 401, what);
      sentences.add(got.json.error.message);
      assert.equal((await send(token)).status, 401, what);
    }
    assert.equal(sentences.size, 1, [...sentences].join('\n'));
    assert.match([...sentences][0], /^this token is not accepted here/);
    assert.equal((await ask(good)).status, 200);
    for (const result of ['good', 'forged', 'expired', 'foreign', 'malformed'])
      assert.ok(await server.metric('observex_jwt_verified_total', { result }) > 0, result);
  });

  test('a disabled tenant\'s tokens are refused within a second, on every port', async () => {
    const token = rsa.token(issuer.claims({ tenant: 'globex', role: 'editor', scope: all }));
    assert.equal((await ask(token)).status, 200);
    const patch = (state) => fetch(`${server.api}/api/v1/tenants/globex`, { method: 'PATCH',
      body: JSON.stringify({ state }), headers: { 'content-type': 'application/json' } });
    assert.equal((await patch('disabled')).status, 200);
    await until('the refusal', async () => ((await send(token)).status === 403 ? true : undefined), 5000);
    assert.equal((await ask(token)).status, 403);
    assert.equal((await patch('active')).status, 200);
    await until('it goes on', async () => ((await send(token)).status === 200 ? true : undefined), 5000);
  });

  test('an order given by a token names it in the audit log', async () => {
    const token = rsa.token(issuer.claims({ tenant: 'acme', role: 'admin', scope: all, sub: 'carol@acme' }));
    const made = await order('/api/v1/keys', { name: 'by token', role: 'viewer' }, bearer(token));
    assert.equal(made.status, 201, JSON.stringify(made.json));
    const { json } = await ask(token, '/api/v1/audit?limit=5');
    assert.ok(json.entries.some((e) => e.who === 'token of carol@acme, tenant acme' && e.action === 'keys.write'),
      JSON.stringify(json.entries));
  });

  test('a new key of the issuer is taken without a restart, and one that it takes away is good no more', async () => {
    const fresh = new Key('EdDSA', 'ed-2');
    const old = issuer.keys[2], before = issuer.asked;
    const was = old.token(issuer.claims({ tenant: 'acme', role: 'editor', scope: all }));
    assert.equal((await ask(was)).status, 200);
    issuer.keys = [issuer.keys[0], fresh];
    const token = fresh.token(issuer.claims({ tenant: 'acme', role: 'editor', scope: all }));
    await until('the new key', async () => ((await ask(fresh.token(issuer.claims({ tenant: 'acme', role: 'editor',
      scope: all, jti: `${Math.random()}` })))).status === 200 ? true : undefined), 60000, 1000);
    assert.equal((await ask(token)).status, 200);
    assert.equal((await ask(was)).status, 401);
    assert.equal(issuer.asked, before + 1, 'asked once, not for each token');
  });
});
