// SPDX-License-Identifier: Apache-2.0
//
// Goal: what a rule drops or hashes stands in no file of the data directory: not in the log, not in dead letters, not in
// storage; what no rule names is stored as it was sent, and a new rule holds from a reload on.
// Method: the whole program without compression of its own journals' requests; the stock SDK by all protocols; every byte of the
// directory is searched.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { Server, binary, until } from './harness.mjs';
import { Sdk, protocols } from './otel.mjs';

const run = promisify(execFile);

describe('redaction', { timeout: 240000 }, () => {
  let server, dir, rules;
  before(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'observex-rules-'));
    rules = path.join(dir, 'rules');
    await writeFile(rules, 'all * drop *.password\ntraces,logs * hash user.*\n');
    server = await Server.start(['--redact-file', rules, '--writer-compression-level', '0']);
  });
  after(async () => {
    await server?.stop();
    await server?.remove();
    await rm(dir, { recursive: true, force: true });
  });

  // Files that hold the word, by what they hold and not by what they are compressed to.
  async function found(word) {
    const { stdout } = await run('grep', ['-rlaF', word, path.join(server.dir, 'data')]).catch((e) => e);
    return (stdout ?? '').split('\n').filter((l) => l !== '');
  }

  for (const protocol of protocols) {
    test(`what the rules name is stored nowhere, by ${protocol}`, async () => {
      const service = `redacted-${protocol.replace('/', '-')}`;
      const sdk = new Sdk(server, protocol, { service, attributes: { 'db.password': 'zqsecretword' } });
      const span = sdk.tracers.getTracer('t').startSpan('one', { attributes: { 'user.email': 'zqsecretmail', fine: 'zqfineword' } });
      span.addEvent('e', { 'api.password': 'zqsecretword' });
      span.end();
      sdk.loggers.getLogger('l').emit({ body: { 'user.name': 'zqsecretname', said: 'zqfineword' }, attributes: { 'user.email': 'zqsecretmail' } });
      sdk.meters.getMeter('m').createCounter('c').add(1, { 'x.password': 'zqsecretword', fine: 'zqfineword' });
      await sdk.flush();
      await sdk.shutdown();
      const [email] = await until('the span', async () => {
        const [row] = await server.sql(`SELECT attributes['user.email'] FROM otel_traces WHERE service_name = '${service}'`);
        return row;
      });
      assert.match(email, /^h:[0-9a-f]{32}$/);
      const [logged] = await until('the log', async () => {
        const [row] = await server.sql(`SELECT attributes['user.email'], body FROM otel_logs WHERE service_name = '${service}'`);
        return row === undefined ? undefined : [row];
      });
      assert.equal(logged[0], email, 'equal values have equal hashes');
      assert.match(logged[1], /zqfineword/);
      for (const word of ['zqsecretword', 'zqsecretmail', 'zqsecretname']) assert.deepEqual(await found(word), [], word);
      assert.ok((await found('zqfineword')).length > 0, 'the search finds what is there');
    });
  }

  test('a refused record is a dead letter without it', async () => {
    const res = await fetch(`${server.http}/v1/logs`, { method: 'POST', headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ resourceLogs: [{ scopeLogs: [{ logRecords: [{ timeUnixNano: '5', body: { stringValue: 'zqdeadletter' },
        attributes: [{ key: 'a.password', value: { stringValue: 'zqsecretdead' } }] }] }] }] }) });
    assert.match(await res.text(), /time_too_old/);
    await until('the dead letter', async () => ((await found('zqdeadletter')).length > 0 ? true : undefined));
    assert.deepEqual(await found('zqsecretdead'), []);
  });

  test('a new rule holds from a reload on, a bad file changes nothing', async () => {
    const send = async (word) => {
      const res = await fetch(`${server.http}/v1/logs`, { method: 'POST', headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ resourceLogs: [{ scopeLogs: [{ logRecords: [{ timeUnixNano: `${BigInt(Date.now()) * 1000000n}`,
          body: { stringValue: word }, attributes: [{ key: 'card.number', value: { stringValue: word + 'card' } }, { key: 'a.password', value: { stringValue: word + 'password' } }] }] }] }] }) });
      assert.equal(res.status, 200);
    };
    const reload = () => run(binary, ['config', 'reload', '--data', path.join(server.dir, 'data')]);
    await writeFile(rules, 'all * drop *.password\nlogs * drop card.*\n');
    await reload();
    await send('zqsecond');
    await until('it is stored', async () => ((await server.sql("SELECT count() FROM otel_logs WHERE body = 'zqsecond'"))[0][0] === '1' ? true : undefined));
    assert.deepEqual(await found('zqsecondcard'), []);
    await writeFile(rules, 'all * mask everything\n');
    await reload();
    assert.match(server.text(), /neither drop nor hash/);
    await send('zqthird');
    await until('it is stored', async () => ((await server.sql("SELECT count() FROM otel_logs WHERE body = 'zqthird'"))[0][0] === '1' ? true : undefined));
    assert.deepEqual(await found('zqthirdpassword'), []);
    assert.ok(await server.metric('observex_redacted_attributes_total', { action: 'drop' }) > 0);
    assert.ok(await server.metric('observex_redacted_attributes_total', { action: 'hash' }) > 0);
  });
});
