// SPDX-License-Identifier: Apache-2.0
//
// Goal: who sends or asks by hand learns what became of it: by a sentence and by the exit code.
// Method: `observex send` with good, half bad and refused requests, in both encodings, and with nobody listening;
// `observex trace` with more spans than are wanted.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { binary, Server, until } from './harness.mjs';

function cli(...args) {
  return new Promise((resolve) => {
    execFile(binary, args, (error, stdout, stderr) => resolve({ code: error?.code ?? 0, stdout, stderr }));
  });
}

const send = (...args) => cli('send', ...args);

const span = (traceId, i) => {
  const now = BigInt(Date.now()) * 1000000n;
  return { traceId, spanId: `00000000000000a${i}`, name: 'n', startTimeUnixNano: `${now}`, endTimeUnixNano: `${now}` };
};
const request = (...ids) => JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: ids.map(span) }] }] });

describe('the command line', () => {
  let server;
  const file = async (name, bytes) => {
    const name_in_dir = path.join(server.dir, name);
    await writeFile(name_in_dir, bytes);
    return name_in_dir;
  };

  before(async () => { server = await Server.start(); });
  after(async () => {
    await server?.stop();
    await server?.remove();
  });

  test('send says that all of it was taken', async () => {
    const got = await send('--otlp-http', server.http, await file('good.json', request('a'.repeat(32))));
    assert.equal(got.code, 0, got.stderr);
    assert.match(got.stdout, /200 traces, all of it acknowledged/);
  });

  test('send fails when a part was refused, and says which', async () => {
    const got = await send('--otlp-http', server.http, await file('half.json', request('b'.repeat(32), '0'.repeat(32))));
    assert.equal(got.code, 1);
    assert.match(got.stdout, /200 traces, 1 of 2 spans refused: 1 trace_id/);
  });

  test('sql only reads, unless --write says otherwise', async () => {
    const sql = (...args) => cli('sql', '--data', path.join(server.dir, 'data'), ...args);
    const dropped = await sql('DROP TABLE otel_logs');
    assert.equal(dropped.code, 1);
    assert.match(dropped.stderr, /READONLY/);
    assert.match(dropped.stderr, /needs --write/);
    const read = await sql('SELECT count() FROM otel_logs SETTINGS max_threads = 1');
    assert.equal(read.code, 0, read.stderr);
    assert.equal(read.stdout, '0\n');
    for (const statement of ['CREATE TABLE mine (n UInt8) ENGINE = MergeTree ORDER BY n', 'INSERT INTO mine VALUES (7)', 'DROP TABLE mine']) {
      const done = await sql('--write', statement);
      assert.equal(done.code, 0, done.stderr);
    }
  });

  test('a table that is missing is named, is no secret of SQL to who asks, and comes back as it is written', async () => {
    const sql = (...args) => cli('sql', '--data', path.join(server.dir, 'data'), ...args);
    assert.equal((await sql('--write', 'DROP TABLE otel_logs SYNC')).code, 0);
    const asked = await server.get('/api/v1/logs?time=5m');
    assert.equal(asked.status, 500);
    assert.equal(asked.json.error.message, 'a table of the store is missing');
    assert.equal(asked.json.error.retryable, false);
    const reasons = await until('/ready to name it', async () => {
      const { status, json } = await server.get('/ready');
      return status === 503 ? json.reasons : undefined;
    });
    assert.match(reasons.join(), /table otel_logs is missing/);
    assert.deepEqual((await server.ask('/api/v1/status')).storage.missing_tables, ['otel_logs']);
    assert.equal((await sql('--write', 'TRUNCATE TABLE schema_migrations')).code, 0);
    await server.stop();
    await server.launch();
    await until('/ready again', async () => ((await server.get('/ready')).status === 200 ? true : undefined));
    assert.deepEqual((await server.ask('/api/v1/logs?time=5m')).logs, []);
  });

  test('the tenant of requests without a key can be given keys', async () => {
    const data = ['--data', path.join(server.dir, 'data')];
    const made = await cli('key', 'create', ...data, '--tenant', 'default', '--json');
    assert.equal(made.code, 0, made.stderr);
    const { key } = JSON.parse(made.stdout);
    const given = await send('--otlp-http', server.http, '--key', key, await file('keyed.json', request('e'.repeat(32))));
    assert.equal(given.code, 0, given.stdout + given.stderr);
    await until('the span, without a key', async () => ((await server.get(`/api/v1/traces/${'e'.repeat(32)}`)).status === 200 ? true : undefined));
    assert.match((await cli('tenant', 'list', ...data)).stdout, /^default +/m);
  });

  test('send reads a refusal in either encoding', async () => {
    const bad = await send('--otlp-http', server.http, '--signal', 'traces', await file('bad.pb', Buffer.from([0x0a, 0x7f])));
    assert.equal(bad.code, 1);
    assert.match(bad.stdout, /400 traces, record 0: not a protobuf traces request/);
    const key = await send('--otlp-http', server.http, '--generate', '1', '--key', 'nope');
    assert.equal(key.code, 1);
    assert.match(key.stderr, /with 401: x-api-key: unknown/);
  });

  test('sampling check names each mistake with its line, and says what correct rules do', async () => {
    const good = await cli('sampling', 'check', await file('good.yaml', 'sampling:\n  default:\n    rates: [{probability: 1}]\n'));
    assert.equal(good.code, 0, good.stderr);
    assert.match(good.stdout, /: correct\n.*everything is kept/);
    const bad = await cli('sampling', 'check',
      await file('bad.yaml', 'sampling:\n  default:\n    rates:\n      - probabilty: 0.1\n    window: 3d\n'));
    assert.equal(bad.code, 64);
    assert.match(bad.stderr, /bad\.yaml:4: sampling\.default\.rates\[0\]\.probabilty: unknown; did you mean probability\?/);
    assert.match(bad.stderr, /bad\.yaml:5: sampling\.default\.window: '3d' is not a duration/);
    assert.equal((await cli('sampling', 'check', '/nonexistent')).code, 1);
  });

  test('send says that it waits when nothing listens', async () => {
    const child = spawn(binary, ['send', '--otlp-http', 'http://127.0.0.1:1', '--generate', '1']);
    let text = '';
    child.stderr.on('data', (d) => { text += d; });
    await until('a line', async () => (text.includes('\n') ? true : undefined));
    child.kill();
    assert.match(text, /127\.0\.0\.1:1 does not answer: .*; trying again until it does/);
  });

  test('trace shows as much of the tree as is wanted, and says so', async () => {
    const id = 'c'.repeat(32), show = (...args) => cli('trace', id, '--api', server.api, ...args);
    await send('--otlp-http', server.http, await file('three.json', request(id, id, id)));
    await until('the trace', async () => ((await show()).code === 0 ? true : undefined));
    assert.match((await show()).stdout, / 3 spans/);
    const some = await show('--limit', '2');
    assert.equal(some.code, 0, some.stderr);
    assert.equal(some.stdout.match(/unknown_service/g).length, 2, some.stdout);
    assert.match(some.stdout, /more/);
    const wrong = await show('--limit', '0');
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr, /limit=0 is not valid: give a whole number from 1/);
  });
});
