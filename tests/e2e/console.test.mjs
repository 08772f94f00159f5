// SPDX-License-Identifier: Apache-2.0
//
// Goal: who opens the console in a browser finds services, traces and logs, and what a sender wrote is shown as text.
// Method: a real Chromium on a real server; the records carry markup, numbers beyond 2^53 and a failed span. Any line
// on the browser's console, such as a violation of the page's policy, is a failure.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { chromium } from 'playwright-core';
import { Server, until } from './harness.mjs';

const browserFile = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((f) => f && existsSync(f));
const skip = browserFile ? false : 'NOT TESTED: no Chromium here; apt-get install chromium, or CHROMIUM=/path';
if (skip) console.error(`observex e2e: the console is ${skip}`);

const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];
const hostile = '<img src=x onerror="window.hacked=1"></script><b>bold</b>';
const traceId = 'c0ffee00c0ffee00c0ffee00c0ffee00';
const now = BigInt(Date.now()) * 1000000n;
const text = (key, value) => ({ key, value: { stringValue: value } });
const service = (name) => ({ attributes: [text('service.name', name)] });
const span = (fields) => ({ traceId, kind: 2, startTimeUnixNano: `${now - 3000000000n}`, endTimeUnixNano: `${now}`, ...fields });

const traces = { resourceSpans: [
  { resource: service('front'), scopeSpans: [{ spans: [span({ spanId: '00000000000000a1', name: 'GET /cart' })] }] },
  { resource: service('store'), scopeSpans: [{ spans: [
    span({ spanId: '00000000000000a2', parentSpanId: '00000000000000a1', name: hostile, startTimeUnixNano: `${now - 2000000000n}`,
      endTimeUnixNano: `${now - 1000000000n}`, status: { code: 2, message: 'no stock' },
      attributes: [{ key: 'order.id', value: { intValue: '9007199254740993' } }, text('note', hostile)],
      events: [{ name: 'exception', timeUnixNano: `${now - 1500000000n}`, attributes: [text('exception.type', 'OutOfStock')] },
      { name: 'timeless' }] }),
    span({ spanId: '00000000000000a3', parentSpanId: '00000000000000a2', name: 'SELECT' })] }] }] };
const logs = { resourceLogs: [{ resource: service('store'), scopeLogs: [{ logRecords: [
  { timeUnixNano: `${now}`, severityNumber: 17, severityText: 'ERROR', traceId, spanId: '00000000000000a2', body: { stringValue: `shelf empty ${hostile}` } },
  { timeUnixNano: `${now}`, severityNumber: 9, severityText: 'INFO', body: { stringValue: 'lights are on' } }] }] }] };

describe('the console', { skip, timeout: 240000 }, () => {
  let server, browser, page;
  const complaints = [];

  before(async () => {
    server = await Server.start();
    browser = await chromium.launch({ executablePath: browserFile, args: flags });
    page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    page.setDefaultTimeout(30000);
    page.on('console', (m) => complaints.push(`${m.type()}: ${m.text()}`));
    page.on('pageerror', (e) => complaints.push(`error: ${e.message}`));
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
    await server?.remove();
  });

  async function send(signal, body) {
    const res = await fetch(`${server.http}/v1/${signal}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
    assert.equal(res.status, 200, await res.text());
  }

  test('before the first record it says how to send one', async () => {
    const res = await page.goto(`${server.api}/`);
    const policy = res.headers()['content-security-policy'];
    assert.match(policy, /default-src 'none'/);
    assert.doesNotMatch(policy, /unsafe/);
    await page.getByText('Nothing has arrived in this time range').waitFor();
    const ways = await page.locator('#hello').innerText();
    assert.ok(ways.includes(`OTEL_EXPORTER_OTLP_ENDPOINT=${server.http}`), ways);
    assert.equal(await page.locator('#ready').innerText(), 'Ready');
  });

  test('records appear by themselves', async () => {
    await send('traces', traces);
    await send('logs', logs);
    await page.locator('#services-rows').getByText('store').waitFor();
    assert.deepEqual((await page.locator('#services-rows th').allInnerTexts()).sort(), ['front', 'store']);
    assert.equal(await page.locator('#hello').isVisible(), false);
    assert.match(await page.locator('#acked-by').innerText(), /traces 3/);
  });

  test('a trace opens as a tree; its failed span unfolds with exact values and its log', async () => {
    await page.locator('#traces-rows button').first().focus();
    await page.keyboard.press('Enter');
    await page.locator('.span-row').nth(2).waitFor();
    assert.equal(await page.locator('#trace-title').innerText(), 'front: GET /cart');
    const names = await page.locator('.span-name').allTextContents();
    assert.deepEqual(names.map((n) => n.replace(/^!/, '')), ['front GET /cart', `store ${hostile}`, 'store SELECT']);
    assert.equal(await page.locator('.span-row.failed').count(), 1);
    await page.locator('.span-row.failed').click();
    const details = page.locator('.spans .details');
    const fields = await details.locator('.fields').first().innerText();
    assert.match(fields, /order\.id\s+9007199254740993/);
    assert.ok(fields.includes(hostile), fields);
    assert.match(await details.innerText(), /no stock[\s\S]*OutOfStock[\s\S]*timeless without time[\s\S]*shelf empty/);
    assert.match(page.url(), new RegExp(`trace=${traceId}`));
    await page.keyboard.press('Escape');
    assert.equal(await page.locator('#trace').isVisible(), false);
  });

  test('the address of a trace shows it again', async () => {
    const other = await browser.newPage();
    await other.goto(`${server.api}/#trace=${traceId}`);
    await other.locator('.span-row').nth(2).waitFor();
    await other.goto(`${server.api}/#trace=${'ee'.repeat(16)}`);
    await other.locator('#trace-note.bad').waitFor();
    assert.match(await other.locator('#trace-note').innerText(), /^Error: .*/);
    assert.equal(await other.locator('.span-row').count(), 0);
    await other.close();
  });

  test('failed, slowest and newest', async () => {
    for (const tab of ['Slowest', 'Newest', 'Failed']) {
      await page.getByRole('button', { name: tab, exact: true }).click();
      await page.locator(`[data-tab=${tab.toLowerCase()}][aria-pressed=true]`).waitFor();
      await page.locator('#traces-rows').getByText('GET /cart').waitFor();
      assert.equal(await page.locator('#scatter circle').count(), 1);
    }
  });

  test('logs by words and by level', async () => {
    await page.fill('#logs-words', 'lights');
    await until('one log', async () => ((await page.locator('#logs-rows .log-row').count()) === 1 ? true : undefined));
    assert.match(await page.locator('#logs-rows').innerText(), /lights are on/);
    await page.fill('#logs-words', '');
    await page.selectOption('#logs-level', 'error');
    await page.locator('#logs-rows').getByText('shelf empty').waitFor();
    assert.equal(await page.locator('#logs-rows .log-row').count(), 1);
    await page.selectOption('#logs-level', '');
    await page.locator('#logs-rows').getByText('lights are on').waitFor();
  });

  test('a record that is open stays where it is', async () => {
    const row = page.locator('#logs-rows .log-row', { hasText: 'lights are on' });
    await row.click();
    await page.getByText('Not refreshed while a record is open.').waitFor();
    assert.match(await page.locator('#logs-rows .details').innerText(), /lights are on[\s\S]*service\.name\s+store/);
    await row.click();
    assert.equal(await page.locator('#logs-rows .details').count(), 0);
    await until('the note to go', async () => ((await page.locator('#logs-note').innerText()) === '' ? true : undefined));
  });

  test('a choice of a service narrows traces and logs', async () => {
    await page.locator('#services-rows').getByRole('button', { name: 'front' }).click();
    await page.getByText('Traces of front').waitFor();
    await page.getByText('No log record fits.').waitFor();
    await page.locator('#all-services').click();
    await page.locator('#logs-rows').getByText('lights are on').waitFor();
  });

  test('nothing of a sender ran, and the page broke no rule of its policy', async () => {
    assert.equal(await page.evaluate(() => window.hacked), undefined);
    assert.equal(await page.locator('main b', { hasText: 'bold' }).count(), 0);
    assert.deepEqual(complaints, []);
  });

  test('it fits 400 and 1280 pixels', async () => {
    for (const width of [400, 1280]) {
      await page.setViewportSize({ width, height: 900 });
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${width} px`);
    }
  });

  test('an error of the API is shown with its sentence, and what was there stays', async () => {
    await page.route('**/api/v1/logs?*', (route) => route.fulfill({ status: 503, contentType: 'application/json',
      body: '{"error":{"code":"STORAGE_DOWN","message":"storage does not answer","hint":"it is being restarted"}}' }));
    await page.getByText('Error: storage does not answer. it is being restarted').waitFor();
    assert.equal(await page.locator('#logs-rows .log-row').count(), 2);
    await page.unroute('**/api/v1/logs?*');
    await until('the error to go', async () => ((await page.locator('#logs-note').innerText()) === '' ? true : undefined));
  });

  test('where a key is wanted it asks for one, and sends it from then on', async () => {
    const other = await browser.newPage();
    await other.route('**/api/v1/**', (route) => (route.request().headers()['x-api-key'] === 'k-1' ? route.continue({ headers: {} })
      : route.fulfill({ status: 401, contentType: 'application/json', body: '{"error":{"code":"UNAUTHENTICATED","message":"no key"}}' })));
    await other.goto(`${server.api}/`);
    await other.getByText('Use an API key instead').click();
    await other.fill('#key', 'k-1');
    await other.keyboard.press('Enter');
    await other.locator('#services-rows').getByText('store').waitFor();
    await other.locator('#key-form').waitFor({ state: 'hidden' });
    await other.close();
  });
});
