// SPDX-License-Identifier: Apache-2.0
//
// Goal: an operator sees on the console who is quarantined and why, and lifts it by typing the number of crashes; a tenant
// sees nothing of it.
// Method: a real Chromium on a real server whose tenant `noisy` crashes on every request (OBSERVE_X_TEST_FAULTS).
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';
import { binary, Server, until } from './harness.mjs';

const run = promisify(execFile);
const browserFile = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((f) => f && existsSync(f));
const skip = browserFile ? false : 'NOT TESTED: no Chromium here; apt-get install chromium, or CHROMIUM=/path';
const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

describe('quarantine on the console', { skip, timeout: 240000 }, () => {
  let server, browser, page, key;

  before(async () => {
    process.env.OBSERVE_X_TEST_FAULTS = 'panic@tenant:noisy';
    server = await Server.start();
    delete process.env.OBSERVE_X_TEST_FAULTS;
    key = (await run(binary, ['key', 'dev', '--data', path.join(server.dir, 'data'), 'noisy'])).stdout.trim();
    for (let i = 0; i < 12; i++)
      await run(binary, ['send', '--generate', '1', '--seed', String(i + 1), '--otlp-http', server.http, '--key', key]);
    browser = await chromium.launch({ executablePath: browserFile, args: flags });
    page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    page.setDefaultTimeout(30000);
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
    await server?.remove();
  });

  test('the tenant, its crashes and the question are shown', async () => {
    const [q] = await until('the quarantine', async () => {
      const { quarantine } = await server.ask('/api/v1/quarantine');
      return quarantine.length > 0 ? quarantine : undefined;
    }, 60000);
    await page.goto(`${server.api}/`);
    await page.locator('#quarantine-rows').getByText('noisy', { exact: true }).waitFor();
    const row = await page.locator('#quarantine-rows').innerText();
    assert.ok(row.includes(`after ${q.crashes} crashes`), row);
    assert.ok(row.includes('a test asked for this panic'), row);
    await page.locator('#crash-rows button').first().click();
    assert.match(await page.locator('#crash-rows .details').first().innerText(), /tenant noisy, log entry \d+/);
  });

  test('another number is refused with the question, the right one lifts it', async () => {
    const field = page.locator('#quarantine-rows input');
    await field.fill('1');
    await page.getByRole('button', { name: 'Lift the quarantine' }).click();
    await page.locator('#trouble-note').getByText('to lift the quarantine repeat that number').waitFor();
    const { quarantine: [q] } = await server.ask('/api/v1/quarantine');
    await field.fill(String(q.crashes));
    await page.getByRole('button', { name: 'Lift the quarantine' }).click();
    await until('the end of the quarantine', async () => {
      const { quarantine } = await server.ask('/api/v1/quarantine');
      return quarantine.every((x) => x.crashes !== q.crashes) ? true : undefined;
    }, 30000);
  });

  test('a tenant is not asked, and sees nothing', async () => {
    const other = await browser.newPage();
    await other.addInitScript((k) => sessionStorage.setItem('key', k), key);
    const refused = [];
    other.on('response', (r) => { if (r.status() === 403) refused.push(r.url()); });
    await other.goto(`${server.api}/`);
    await other.locator('body[data-loaded=yes]').waitFor();
    assert.equal(await other.locator('#trouble').isVisible(), false);
    assert.deepEqual(refused, []);
    await other.close();
  });
});
