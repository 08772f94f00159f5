// SPDX-License-Identifier: Apache-2.0
//
// Goal: in production the console asks who one is; a password opens a session on every node for what the user's role may see, and
// logging out, disabling him, or his time being over ends it on every node; no other page gives orders in his name.
// Method: two nodes on one PostgreSQL, one with TLS; the command line as operators type it; requests by hand, and Chromium.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';
import { Server, askOverTls, binary, until } from './harness.mjs';
import { Postgres, postgresBin } from './postgres.mjs';

const run = promisify(execFile);
const skip = (await postgresBin()) === undefined && 'this machine has no PostgreSQL in /usr/lib/postgresql';
const browserFile = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((f) => f && existsSync(f));
const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

describe('users of the console', { timeout: 240000, skip }, () => {
  let pg, a, b, operator, made;
  before(async () => {
    pg = await Postgres.start();
    const file = path.join(pg.dir, 'node.pw');
    await writeFile(file, 'a password of the node\n', { mode: 0o600 });
    const { stdout } = await run(binary, ['control', 'init', '--url', pg.ownerUrl, '--role-password-file', file,
      '--operator-user', 'root', '--json']);
    made = JSON.parse(stdout);
    operator = made.operator_key;
    const common = ['--mode', 'production', '--control-url', pg.nodeUrl, '--control-password-file', file];
    a = await Server.start(common);
    await run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
      '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', path.join(a.dir, 'key.pem'),
      '-out', path.join(a.dir, 'cert.pem')]);
    b = await Server.start([...common, '--tls-cert-file', path.join(a.dir, 'cert.pem'), '--tls-key-file', path.join(a.dir, 'key.pem')],
      { ca: await readFile(path.join(a.dir, 'cert.pem')) });
    for (const tenant of ['acme', 'globex']) await cli('tenant', 'create', tenant);
    await cli('user', 'create', 'anna', '--tenant', 'acme', '--role', 'admin', '--password-file', await passwordFile('anna of acme 1'));
    await cli('user', 'create', 'vera', '--tenant', 'acme', '--password-file', await passwordFile('vera of acme 1'));
  });
  after(async () => {
    for (const server of [b, a]) {
      await server?.stop();
      await server?.remove();
    }
    await pg?.stop();
  });

  async function passwordFile(text) {
    const file = path.join(pg.dir, `${text.replaceAll(' ', '-')}.pw`);
    await writeFile(file, `${text}\n`, { mode: 0o600 });
    return file;
  }
  async function cli(...args) {
    const { stdout } = await run(binary, [...args, '--api', a.api, '--key', operator, '--json']);
    return JSON.parse(stdout);
  }
  async function request(server, target, { cookie, csrf, body, method, headers } = {}) {
    const options = { method: method ?? (body === undefined ? 'GET' : 'POST'),
      body: body === undefined ? undefined : JSON.stringify(body),
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...(cookie ? { cookie } : {}),
        ...(csrf ? { 'x-observex-csrf': csrf } : {}), ...headers } };
    if (server.scheme === 'https') {
      const res = await askOverTls(server.api + target, { ...options, ...server.tls });
      return { status: res.status, json: res.json, setCookie: res.headers.get('set-cookie'), retry: res.headers.get('retry-after') };
    }
    const res = await fetch(server.api + target, options);
    const text = await res.text();
    let json;
    try { json = JSON.parse(text); } catch { /* a page */ }
    return { status: res.status, json, setCookie: res.headers.get('set-cookie'), retry: res.headers.get('retry-after') };
  }
  // The cookie as a browser sends it back, and what goes with it.
  async function login(server, tenant, user, password) {
    const { status, json, setCookie } = await request(server, '/api/v1/login', { body: { tenant, user, password } });
    assert.equal(status, 200, JSON.stringify(json));
    return { cookie: setCookie.split(';')[0], csrf: json.csrf, setCookie, json };
  }
  // A cookie of one node as another one is sent it: the name differs with and without TLS, the value is the same.
  const forNode = (server, s) => ({ ...s, cookie: `${server.scheme === 'https' ? '__Host-observex' : 'observex'}=${s.cookie.split('=')[1]}` });

  test('without a session nobody sees anything, and is told who one has to be', async () => {
    for (const target of ['/api/v1/services', '/api/v1/status', '/api/v1/users', '/api/v1/audit'])
      assert.equal((await request(a, target)).status, 401, target);
    const { status, json } = await request(a, '/api/v1/session');
    assert.equal(status, 200);
    assert.deepEqual(json, { authenticated: false, mode: 'production' });
    assert.equal((await request(a, '/')).status, 200, 'the page itself shows nothing');
  });

  test('a login opens what the role may see, on every node; its cookie is kept from scripts and other sites', async () => {
    const s = await login(a, 'acme', 'anna', 'anna of acme 1');
    assert.match(s.setCookie, /^observex=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/);
    const over = await login(b, 'acme', 'anna', 'anna of acme 1');
    assert.match(over.setCookie, /^__Host-observex=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Secure$/);
    for (const server of [a, b]) {
      const mine = forNode(server, s);
      assert.equal((await request(server, '/api/v1/services', mine)).status, 200);
      assert.equal((await request(server, '/api/v1/users', mine)).json.users.length, 2);
      assert.equal((await request(server, '/api/v1/tenants', mine)).status, 403, 'an admin is no operator');
      assert.equal((await request(server, '/api/v1/session', mine)).json.user, 'anna');
    }
    assert.equal((await request(b, '/api/v1/services', s)).status, 401, 'under TLS only the protected name counts');
    const viewer = await login(a, 'acme', 'vera', 'vera of acme 1');
    assert.equal((await request(a, '/api/v1/services', viewer)).status, 200);
    assert.equal((await request(a, '/api/v1/users', viewer)).status, 403);
    const res = await fetch(`${a.http}/v1/logs`, { method: 'POST', body: '{}', headers: { 'content-type': 'application/json', cookie: s.cookie } });
    assert.equal(res.status, 401, 'no telemetry is sent with a cookie');
  });

  test('an operator made with the database runs the platform and reads no telemetry', async () => {
    const s = await login(a, 'platform', 'root', made.operator_password);
    assert.equal(s.json.role, 'operator');
    assert.equal((await request(a, '/api/v1/tenants', s)).status, 200);
    assert.equal((await request(a, '/api/v1/services', s)).status, 403);
  });

  test('orders need what only a page of ours knows', async () => {
    const s = await login(a, 'acme', 'anna', 'anna of acme 1');
    const body = { name: 'of a page', role: 'viewer' };
    for (const csrf of [undefined, 'f'.repeat(32), s.csrf.slice(1), ''])
      assert.equal((await request(a, '/api/v1/keys', { cookie: s.cookie, csrf, body })).status, 403, csrf);
    const other = await login(a, 'acme', 'vera', 'vera of acme 1');
    assert.equal((await request(a, '/api/v1/keys', { cookie: s.cookie, csrf: other.csrf, body })).status, 403, 'another session\'s');
    assert.equal((await request(b, '/api/v1/keys', { ...forNode(b, s), csrf: undefined, body })).status, 403, 'where it is looked up first');
    assert.equal((await request(a, '/api/v1/logout', { cookie: s.cookie, body: {} })).status, 403);
    const form = await fetch(`${a.api}/api/v1/keys`, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'text/plain',
      cookie: s.cookie, 'x-observex-csrf': s.csrf } });
    assert.equal(form.status, 415, 'and are JSON');
    assert.equal((await request(a, '/api/v1/keys', { ...s, body })).status, 201);
  });

  test('logging out, and disabling a user, ends sessions on every node within a second', async () => {
    const s = await login(a, 'acme', 'anna', 'anna of acme 1'), t = await login(a, 'acme', 'anna', 'anna of acme 1');
    for (const x of [s, t]) assert.equal((await request(b, '/api/v1/services', forNode(b, x))).status, 200);
    const out = await request(a, '/api/v1/logout', { ...s, body: {} });
    assert.equal(out.status, 200);
    assert.match(out.setCookie, /^observex=; .*Max-Age=0$/);
    assert.equal((await request(a, '/api/v1/services', s)).status, 401);
    let began = Date.now();
    await until('the end at the other node', async () => ((await request(b, '/api/v1/services', forNode(b, s))).status === 401 ? true : undefined), 5000, 20);
    console.log(`      a logout was heard of at the other node after ${Date.now() - began} ms`);
    assert.equal((await request(b, '/api/v1/services', forNode(b, t))).status, 200, 'the other session goes on');
    await cli('user', 'disable', 'anna', '--tenant', 'acme');
    began = Date.now();
    await until('the end at the other node', async () => ((await request(b, '/api/v1/services', forNode(b, t))).status === 401 ? true : undefined), 5000, 20);
    console.log(`      a user's end was heard of at the other node after ${Date.now() - began} ms`);
    const gone = await request(a, '/api/v1/services', t);
    assert.equal(gone.status, 401);
    assert.match(gone.json.error.message, /session has ended: log in again/);
    await cli('user', 'enable', 'anna', '--tenant', 'acme');
    assert.equal((await request(a, '/api/v1/services', t)).status, 401, 'it does not come back');
  });

  test('every login that was right, wrong, or ended is in the audit log of the tenant, and no password', async () => {
    await request(a, '/api/v1/login', { body: { tenant: 'acme', user: 'vera', password: 'not the password' } });
    const s = await login(a, 'acme', 'anna', 'anna of acme 1');
    const { json } = await request(a, '/api/v1/audit?limit=500', s);
    const of = (outcome, detail, who) => json.entries.some((e) => e.action === 'session' && e.outcome === outcome && e.detail === detail && e.who === who);
    assert.ok(of('granted', 'log in', 'user anna of tenant acme'), JSON.stringify(json.entries.slice(0, 5)));
    assert.ok(of('refused', 'log in', 'user vera of tenant acme'));
    assert.ok(of('granted', 'log out', 'user anna of tenant acme'));
    assert.ok(json.entries.some((e) => e.action === 'users.write' && e.detail === 'change user anna, disable'
      && e.before === 'admin, active' && e.after === 'admin, disabled'));
    assert.doesNotMatch(JSON.stringify(json), /of acme 1|not the password|argon2/);
    assert.equal((await request(a, '/api/v1/audit', await login(a, 'acme', 'vera', 'vera of acme 1'))).status, 403);
  });

  test('who guesses waits, and the others do not', async () => {
    let answer; // a hash may take longer than the first waits do
    for (let i = 0; i < 15 && answer?.status !== 429; i++) {
      answer = await request(a, '/api/v1/login', { body: { tenant: 'acme', user: 'nobody', password: `guess ${i}` } });
      assert.equal(answer.status, i < 5 || answer.status !== 429 ? 401 : 429);
    }
    const { status, json, retry } = answer;
    assert.equal(status, 429);
    assert.match(json.error.message, /too many attempts: try again in \d+ s/);
    assert.ok(Number(retry) >= 1);
    await login(a, 'acme', 'anna', 'anna of acme 1');
    assert.ok(await metric('observex_logins_total', 'right') > 0);
    for (const result of ['wrong', 'limited']) assert.ok(await metric('observex_logins_total', result) > 0, result);
  });
  async function metric(name, result) { return a.metric(name, { result }); }

  test('in a browser: login, what the role may see, logout', { skip: browserFile ? false : 'NOT TESTED: no Chromium here' }, async () => {
    const browser = await chromium.launch({ executablePath: browserFile, args: flags });
    const complaints = [];
    try {
      const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, ignoreHTTPSErrors: true });
      page.setDefaultTimeout(30000);
      page.on('console', (m) => complaints.push(`${m.type()}: ${m.text()}`));
      page.on('pageerror', (e) => complaints.push(`error: ${e.message}`));
      await page.goto(`${b.api}/`);
      await page.getByRole('heading', { name: 'Log in to ObserveX' }).waitFor();
      assert.equal(await page.locator('main').isVisible(), false, 'nothing is shown before');
      if (process.env.SHOTS) await page.screenshot({ path: path.join(process.env.SHOTS, 'login.png') });
      await page.fill('#login-tenant', 'acme');
      await page.fill('#login-user', 'anna');
      await page.fill('#login-password', 'not the password');
      await page.keyboard.press('Enter');
      await page.getByText('Tenant, user or password is not right.').waitFor();
      if (process.env.SHOTS) await page.screenshot({ path: path.join(process.env.SHOTS, 'wrong.png') });
      await page.fill('#login-password', 'anna of acme 1');
      await page.keyboard.press('Enter');
      await page.locator('#account-name').getByText('anna').waitFor();
      await page.locator('#version').getByText('tenant acme').waitFor();
      assert.match(await page.locator('#toast').innerText(), /Last login .* from 127\.0\.0\.1/);
      assert.equal(await page.evaluate(() => document.cookie), '', 'no script sees the cookie');
      await page.locator('#account summary').click();
      if (process.env.SHOTS) await page.screenshot({ path: path.join(process.env.SHOTS, 'in.png') });
      await page.reload();
      await page.locator('#account-name').getByText('anna').waitFor();
      await page.locator('#account summary').click();
      await page.locator('#logout').click();
      await page.getByRole('heading', { name: 'Log in to ObserveX' }).waitFor();
      assert.equal(await page.inputValue('#login-tenant'), 'acme', 'it remembers who, not what');
      await page.fill('#login-tenant', 'platform');
      await page.fill('#login-user', 'root');
      await page.fill('#login-password', made.operator_password);
      await page.keyboard.press('Enter');
      await page.locator('#no-telemetry-note').waitFor();
      assert.equal(await page.locator('#logs').isVisible(), false);
      if (process.env.SHOTS) await page.screenshot({ path: path.join(process.env.SHOTS, 'operator.png') });
      const bad = complaints.filter((c) => !/status of (401|403)/.test(c));
      assert.deepEqual(bad, [], 'the browser complains of nothing but refusals');
    } finally {
      await browser.close();
    }
  });
});
