// SPDX-License-Identifier: Apache-2.0
//
// Goal: users log in through an OpenID provider, with code, PKCE, state and nonce; the tenant and role are what it says at each
// login; an answer that was not asked for, is another login's, another client's or a forger's opens nothing; a user with a
// password is not taken over.
// Method: a provider written here (none can be installed on the machines of these tests), which checks what it is sent as the
// standards say; requests by hand as a browser makes them, and Chromium.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { writeFile, mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { chromium } from 'playwright-core';
import { Server } from './harness.mjs';
import { Key } from './issuer.mjs';

const browserFile = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((f) => f && existsSync(f));
const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

class Provider {
  static async start() {
    const p = new Provider();
    p.key = new Key('RS256', 'k1');
    p.codes = new Map(); // code to what it was given for
    p.says = {}; // claims of the next token
    p.wrongs = []; // what was sent that should not have been
    p.server = http.createServer((req, res) => p.answer(req, res).catch((e) => { p.wrongs.push(e.message); res.statusCode = 400; res.end(); }));
    await new Promise((r) => p.server.listen(0, '127.0.0.1', r));
    p.url = `http://127.0.0.1:${p.server.address().port}`;
    return p;
  }
  async answer(req, res) {
    const url = new URL(req.url, this.url);
    const json = (o) => { res.setHeader('content-type', 'application/json'); res.end(JSON.stringify(o)); };
    if (url.pathname === '/.well-known/openid-configuration')
      return json({ issuer: this.url, authorization_endpoint: `${this.url}/authorize`, token_endpoint: `${this.url}/token`, jwks_uri: `${this.url}/jwks` });
    if (url.pathname === '/jwks') return json({ keys: [this.key.jwk] });
    if (url.pathname === '/authorize') {
      const q = Object.fromEntries(url.searchParams);
      assert.equal(q.response_type, 'code');
      assert.equal(q.client_id, 'observex client');
      assert.equal(q.redirect_uri, this.redirect);
      assert.equal(q.code_challenge_method, 'S256');
      assert.match(q.scope, /openid/);
      const code = `${randomBytes(8).toString('hex')}/+`; // encoded in the address
      this.codes.set(code, q);
      res.statusCode = 302;
      res.setHeader('location', `${q.redirect_uri}?${new URLSearchParams({ code, state: q.state })}`);
      return res.end();
    }
    assert.equal(`${req.method} ${url.pathname}`, 'POST /token');
    const form = new URLSearchParams(await new Promise((r) => { let b = ''; req.on('data', (d) => { b += d; }); req.on('end', () => r(b)); }));
    const basic = Buffer.from(req.headers.authorization.split(' ')[1], 'base64').toString().split(':').map(decodeURIComponent);
    assert.deepEqual(basic, ['observex client', 'a secret: of 1 client']);
    const given = this.codes.get(form.get('code'));
    this.codes.delete(form.get('code')); // each is good once
    if (given === undefined || form.get('redirect_uri') !== given.redirect_uri || form.get('grant_type') !== 'authorization_code'
      || createHash('sha256').update(form.get('code_verifier')).digest('base64url') !== given.code_challenge) {
      res.statusCode = 400;
      return json({ error: 'invalid_grant' });
    }
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: this.url, aud: 'observex client', sub: 's-1', iat: now, exp: now + 60, nonce: given.nonce,
      email: 'Anna@acme.example', email_verified: true, tenant: 'acme', role: ['users', 'editor'], ...this.says };
    return json({ access_token: 'x', token_type: 'Bearer', id_token: (this.signs ?? this.key).token(claims) });
  }
  stop() { return new Promise((r) => { this.server.closeAllConnections?.(); this.server.close(r); }); }
}

async function freePort() {
  const probe = net.createServer();
  await new Promise((r) => probe.listen(0, '127.0.0.1', r));
  const { port } = probe.address();
  await new Promise((r) => probe.close(r));
  return port;
}

describe('logging in through an OpenID provider', { timeout: 180000 }, () => {
  let provider, server, dir;
  before(async () => {
    provider = await Provider.start();
    dir = await mkdtemp(path.join(tmpdir(), 'observex-oidc-'));
    await writeFile(path.join(dir, 'secret'), 'a secret: of 1 client\n');
    const port = await freePort();
    provider.redirect = `http://127.0.0.1:${port}/api/v1/oidc/callback`;
    server = await Server.start(['--api', `127.0.0.1:${port}`, '--oidc-issuer', provider.url, '--oidc-client-id', 'observex client',
      '--oidc-client-secret-file', path.join(dir, 'secret'), '--oidc-redirect-uri', provider.redirect, '--oidc-name', 'Acme ID']);
    for (const id of ['acme', 'globex']) assert.equal((await post('/api/v1/tenants', { id })).status, 201);
  });
  after(async () => {
    await server?.stop();
    await server?.remove();
    await provider?.stop();
    if (dir) await rm(dir, { recursive: true, force: true });
  });

  const post = (target, body) => fetch(server.api + target, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } });
  const go = (url, cookie) => fetch(url, { redirect: 'manual', headers: cookie ? { cookie } : {} });
  const cookieOf = (res, name) => res.headers.getSetCookie?.().find((c) => c.startsWith(`${name}=`)) ??
    res.headers.get('set-cookie')?.split(/,\s*(?=observex)/).find((c) => c.startsWith(`${name}=`));
  // The first half: what the browser holds, and where the provider sends it back to.
  async function beginLogin() {
    const begun = await go(`${server.api}/api/v1/oidc/login`);
    assert.equal(begun.status, 302);
    const pending = cookieOf(begun, 'observex-oidc');
    assert.match(pending, /^observex-oidc=[\w-]{43}\.[\w-]{43}\.[\w-]{43}; Path=\/; HttpOnly; SameSite=Lax; Max-Age=600$/);
    const back = await go(begun.headers.get('location'));
    assert.equal(back.status, 302, provider.wrongs.join());
    return { pending: pending.split(';')[0], back: back.headers.get('location') };
  }
  async function login(says = {}) {
    provider.says = says;
    const { pending, back } = await beginLogin();
    const res = await go(back, pending);
    return { location: res.headers.get('location'), session: cookieOf(res, 'observex')?.split(';')[0], res };
  }
  const whoIs = async (session) => (await (await go(`${server.api}/api/v1/session`, session)).json());

  test('the tenant, the name and the role are what the provider says', async () => {
    const { location, session, res } = await login();
    assert.equal(location, '/', provider.wrongs.join());
    assert.match(cookieOf(res, 'observex-oidc'), /Max-Age=0/, 'what began the login is good once');
    const who = await whoIs(session);
    assert.equal(`${who.tenant} ${who.user} ${who.role}`, 'acme anna@acme.example editor');
    const again = await login({ role: 'admin' });
    assert.equal((await whoIs(again.session)).role, 'admin', 'at each login');
    assert.equal((await whoIs(session)).role, 'local operator', 'an earlier session with the other role has ended (and this is development mode)');
    const { json } = await server.get('/api/v1/users?tenant=acme');
    assert.deepEqual(json.users.map((u) => `${u.name} ${u.role} ${u.last_login_from}`), ['anna@acme.example admin 127.0.0.1']);
    const audit = (await server.get('/api/v1/audit?limit=500')).json.entries;
    assert.ok(audit.some((e) => e.who === 'user anna@acme.example of tenant acme' && e.detail === 'log in through the provider' && e.outcome === 'granted'));
  });

  test('an answer that was not asked for, or is another login\'s, opens nothing', async () => {
    const refused = async (back, pending, word = 'refused') => {
      const res = await go(back, pending);
      assert.equal(res.headers.get('location'), `/#login=${word}`);
      assert.equal(cookieOf(res, 'observex'), undefined);
    };
    provider.says = {};
    const a = await beginLogin(), b = await beginLogin();
    await refused(a.back, undefined);
    await refused(a.back, b.pending);
    const mixed = new URL(a.back);
    mixed.searchParams.set('state', new URL(b.back).searchParams.get('state'));
    await refused(mixed.href, b.pending);
    await refused(`${server.api}/api/v1/oidc/callback?error=access_denied&state=${new URL(a.back).searchParams.get('state')}`, a.pending);
    const { pending, back } = await beginLogin();
    assert.equal((await go(back, pending)).headers.get('location'), '/');
    await refused(back, pending);
  });

  test('a token that is forged, of another login or for another client opens nothing', async () => {
    // One by one with a right login between them, since who fails again and again has to wait.
    for (const [what, says] of Object.entries({ 'another nonce': { nonce: 'n'.repeat(43) }, 'no nonce': { nonce: undefined },
      'another client': { aud: 'other' }, 'another client beside': { aud: ['observex client', 'other'], azp: 'other' },
      'another issuer': { iss: 'https://evil.example' }, ended: { exp: 1 }, nobody: { sub: undefined } })) {
      assert.equal((await login(says)).location, '/#login=refused', what);
      assert.equal((await login()).location, '/', what);
    }
    provider.signs = new Key('RS256', 'k1');
    assert.equal((await login()).location, '/#login=refused', 'another key');
    provider.signs = undefined;
  });

  test('who gets no tenant or role, has no name here, or is not who has it, has no access', async () => {
    assert.equal((await login()).location, '/');
    assert.equal((await post('/api/v1/users', { tenant: 'acme', name: 'boss', role: 'admin', password: 'a password of the boss' })).status, 201);
    for (const [what, says] of Object.entries({ 'no tenant': { tenant: undefined }, 'no such tenant': { tenant: 'nobody' }, 'no role': { role: 'users' },
      'an operator': { role: 'operator' }, 'no name': { email: 'a b' }, 'a mail address that nobody has verified': { email_verified: false },
      'one of which nothing is said': { email_verified: undefined },
      'a user with a password': { email: 'boss' }, 'another person of the same name': { sub: 's-2' } })) {
      assert.equal((await login(says)).location, '/#login=no-access', what);
      assert.equal((await login()).location, '/', what);
    }
    assert.equal((await login({ tenant: 'globex' })).location, '/', 'in another tenant he is another');
    const wrong = await post('/api/v1/login', { tenant: 'acme', user: 'anna@acme.example', password: 'oidc:whatever it is' });
    assert.equal(wrong.status, 401, 'he has no password');
    await post('/api/v1/users/change', { tenant: 'acme', name: 'anna@acme.example', state: 'disabled' });
    assert.equal((await login()).location, '/#login=no-access', 'disabled here');
    await post('/api/v1/users/change', { tenant: 'acme', name: 'anna@acme.example', state: 'active' });
  });

  test('in a browser', { skip: browserFile ? false : 'NOT TESTED: no Chromium here' }, async () => {
    provider.says = {};
    const browser = await chromium.launch({ executablePath: browserFile, args: flags });
    try {
      const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
      page.setDefaultTimeout(30000);
      // In development mode nobody here has to log in: the page is told otherwise until it has.
      await page.route('**/api/v1/session', async (route) => ((await page.context().cookies()).some((c) => c.name === 'observex') ? route.continue()
        : route.fulfill({ contentType: 'application/json', body: '{"authenticated":false,"mode":"production","provider":"Acme ID"}' })));
      await page.goto(`${server.api}/#login=no-access`);
      await page.getByText('gives you no access here').waitFor();
      if (process.env.SHOTS) await page.screenshot({ path: path.join(process.env.SHOTS, 'provider.png') });
      await page.getByRole('link', { name: 'Log in with Acme ID' }).click();
      await page.locator('#account-name').getByText('anna@acme.example').waitFor();
      assert.equal(new URL(page.url()).hash, '');
    } finally {
      await browser.close();
    }
  });
});
