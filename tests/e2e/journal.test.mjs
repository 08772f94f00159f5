// SPDX-License-Identifier: Apache-2.0
//
// Goal: damage in the journals is found, named and repaired by hand, never under a running server; and whatever is damaged, a
// server starts on it, keeps what is whole, and stores nothing twice.
// Method: a server takes requests and is killed; bytes and names of its journals are changed; SQL counts what came through.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { open, readdir, readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { binary, Server, until } from './harness.mjs';

function cli(...args) {
  return new Promise((resolve) => {
    execFile(binary, args, { maxBuffer: 256 << 20 }, (error, stdout, stderr) => {
      resolve({ code: error?.code ?? 0, stdout, stderr });
    });
  });
}

describe('journals', () => {
  let server, data, wal;
  const acknowledged = new Map(); // body -> how often it may be stored
  const verify = async () => {
    const { code, stdout } = await cli('journal', 'verify', data, '--json');
    return { code, journals: JSON.parse(stdout) };
  };
  const post = async (names) => {
    for (const name of names) {
      const body = { resourceLogs: [{ scopeLogs: [{ logRecords: [{ timeUnixNano: `${BigInt(Date.now()) * 1000000n}`,
        body: { stringValue: name } }] }] }] };
      const res = await fetch(`${server.http}/v1/logs`, { method: 'POST', body: JSON.stringify(body),
        headers: { 'content-type': 'application/json' } });
      assert.equal(res.status, 200);
      acknowledged.set(name, 1);
    }
  };
  const stored = async () => new Map((await server.sql('SELECT body, count() FROM otel_logs GROUP BY 1'))
    .map(([body, n]) => [body, Number(n)]));
  const names = (prefix, n) => Array.from({ length: n }, (_, i) => `${prefix}-${i}`);
  const kill = async () => {
    server.kill(server.child.pid);
    await server.exited;
  };

  before(async () => {
    server = await Server.start(['--wal-segment-bytes', '1MiB']);
    data = path.join(server.dir, 'data');
    wal = path.join(data, 'wal');
  });
  after(async () => {
    await server?.stop();
    await server?.remove();
  });

  test('of a server that runs are sound, can be looked into, and are not repaired', async () => {
    await post(names('a', 20));
    await until('all stored', async () => ((await stored()).size === acknowledged.size ? true : undefined));
    const { code, journals } = await verify();
    assert.equal(code, 0);
    assert.deepEqual(journals.map((j) => j.kind), ['wal', 'outbox']);
    const inspected = JSON.parse((await cli('journal', 'inspect', wal, '--json')).stdout);
    assert.equal(inspected.entries.filter((e) => e.tenant === 'default' && e.signal === 'logs').length, 20);
    assert.equal((await cli('wal', 'inspect', '--data', data)).code, 0); // the older name
    for (const more of [[], ['--json']]) {
      const nothing = await cli('wal', 'inspect', '--data', data, '--segment', '99', ...more);
      assert.equal(nothing.code, 1);
      assert.match(nothing.stderr, /there is no segment 99: the journal has /);
      assert.equal(nothing.stdout, '');
    }
    assert.equal((await cli('wal', 'inspect', '--data', data, '--segment', `${inspected.segments[0].segment}`)).code, 0);
    await until('blocks in the outbox', async () => {
      const outbox = JSON.parse((await cli('journal', 'inspect', path.join(data, 'outbox'), '--json')).stdout);
      return outbox.entries.some((e) => e.blocks?.some((b) => b.table === 'otel_logs')) ? true : undefined;
    });
    const refused = await cli('journal', 'repair', data, '--originals', path.join(server.dir, 'kept'));
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /already runs/);
  });

  test('with a flipped bit name its place and whose it was, and are sound once repaired', async () => {
    await kill();
    const [{ seq, segment }] = JSON.parse((await cli('journal', 'inspect', wal, '--json')).stdout).entries;
    const file = path.join(wal, `${segment.toString(16).padStart(16, '0')}.seg`);
    const { segments } = JSON.parse((await cli('journal', 'inspect', wal, '--json')).stdout);
    const offset = seq - segments.find((s) => s.segment === segment).first_seq;
    const handle = await open(file, 'r+');
    const { buffer } = await handle.read(Buffer.alloc(200), 0, 200, offset);
    const at = buffer.indexOf('a-0'); // in the record's body: its envelope stays readable
    await handle.write(Buffer.from('A'), 0, 1, offset + at);
    await handle.close();
    const before = await readFile(file);
    const found = await verify();
    assert.equal(found.code, 1);
    const [finding] = found.journals[0].findings.filter((f) => f.damage);
    assert.equal(finding.segment, segment);
    assert.equal(finding.offset, offset);
    assert.match(finding.hits[0], /tenant default, logs, 1 records/);
    const kept = path.join(server.dir, 'kept');
    const dry = JSON.parse((await cli('journal', 'repair', data, '--dry-run', '--json')).stdout);
    assert.equal(dry[0].steps.length, 1);
    assert.deepEqual(await readFile(file), before);
    const repaired = await cli('journal', 'repair', data, '--originals', kept);
    assert.equal(repaired.code, 0, repaired.stdout + repaired.stderr);
    assert.match(repaired.stdout, /fill/);
    assert.deepEqual(await readFile(path.join(kept, 'wal', path.basename(file))), before);
    assert.equal((await verify()).code, 0);
    await server.launch();
    await post(names('b', 5));
    await until('all stored', async () => ((await stored()).size === acknowledged.size ? true : undefined));
    assert.deepEqual(await stored(), acknowledged);
  });

  test('with a flipped bit in the outbox store nothing twice: what may be stored is set aside', async () => {
    await post(names('g', 5));
    await until('all stored', async () => ((await stored()).size === acknowledged.size ? true : undefined));
    const outbox = path.join(data, 'outbox');
    const look = async () => JSON.parse((await cli('journal', 'inspect', outbox, '--json')).stdout);
    const block = (entries) => entries.filter((e) => e.blocks?.some((b) => b.table === 'otel_logs')).at(-1);
    // Another entry behind it, otherwise it would be a torn end.
    await until('the news of the stored block', async () => {
      const { entries } = await look();
      return block(entries) && entries.at(-1).seq > block(entries).seq ? true : undefined;
    });
    await kill();
    const { entries, segments } = await look();
    const hit = block(entries);
    const { first_seq: first } = segments.find((s) => s.segment === hit.segment);
    const handle = await open(path.join(outbox, `${hit.segment.toString(16).padStart(16, '0')}.seg`), 'r+');
    const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, hit.seq - first + 60);
    await handle.write(Buffer.from([buffer[0] ^ 1]), 0, 1, hit.seq - first + 60);
    await handle.close();
    assert.equal((await verify()).code, 1);
    await server.launch();
    await post(names('h', 2));
    await until('all stored', async () => ((await stored()).size === acknowledged.size ? true : undefined));
    assert.deepEqual(await stored(), acknowledged);
    const { set_aside: aside } = JSON.parse((await cli('dlq', 'list', '--data', data, '--json')).stdout);
    assert.ok(aside.length > 0 && aside.every((a) => a.tenant === 'default'));
  });

  test('with segments under wrong names get them back', async () => {
    for (let round = 0; round < 3; round++) { // each start begins a segment
      await kill();
      await server.launch();
      await post(names(`c${round}`, 3));
    }
    await until('all stored', async () => ((await stored()).size === acknowledged.size ? true : undefined));
    await post(names('d', 3));
    await kill();
    const segments = (await readdir(wal)).filter((f) => f.endsWith('.seg')).sort();
    if (segments.length >= 2) { // what was stored may be released down to the newest
      const [x, y] = segments.slice(-2).map((f) => path.join(wal, f));
      await rename(x, `${x}.tmp-name`);
      await rename(y, x);
      await rename(`${x}.tmp-name`, y);
    } else {
      await rename(path.join(wal, segments[0]), path.join(wal, '0000000000000fff.seg'));
    }
    assert.equal((await verify()).code, 1);
    const repaired = await cli('journal', 'repair', wal, '--originals', path.join(server.dir, 'kept2'));
    assert.equal(repaired.code, 0, repaired.stdout + repaired.stderr);
    assert.match(repaired.stdout, /rename/);
    assert.deepEqual((await readdir(wal)).filter((f) => f.endsWith('.seg')).sort(), segments);
    assert.equal((await verify()).code, 0);
    await server.launch();
    await until('all stored', async () => ((await stored()).size === acknowledged.size ? true : undefined));
    assert.deepEqual(await stored(), acknowledged);
  });

  test('that are damaged never keep a server from starting', async () => {
    await post(names('e', 4));
    await until('all stored', async () => ((await stored()).size === acknowledged.size ? true : undefined));
    await kill();
    for (const below of ['wal', 'outbox']) {
      for (const file of (await readdir(path.join(data, below))).filter((f) => f.endsWith('.seg'))) {
        const handle = await open(path.join(data, below, file), 'r+');
        await handle.write(Buffer.alloc(6000, 0x5a), 0, 6000, 0); // both copies of the header, and entries
        await handle.close();
      }
    }
    const found = await verify();
    assert.equal(found.code, 1);
    assert.ok(found.journals.every((j) => j.findings.some((f) => f.kind === 'bad_header')));
    const unrepaired = await cli('journal', 'repair', data, '--originals', path.join(server.dir, 'kept3'));
    assert.equal(unrepaired.code, 1);
    assert.match(unrepaired.stdout, /leave/);
    await server.launch();
    await post(names('f', 2));
    await until('all stored', async () => ((await stored()).size === acknowledged.size ? true : undefined));
    assert.deepEqual(await stored(), acknowledged);
    assert.ok((await readdir(wal)).some((f) => f.endsWith('.seg.damaged')));
  });
});
