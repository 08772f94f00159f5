// SPDX-License-Identifier: Apache-2.0
//
// Goal: bad requests get their documented status (docs/ingest.md) on both ports, the server stays up, and the counters add
// up for every case: one request more under its status, and records received = acknowledged + dropped.
// Method: raw sockets and hand-made OTLP requests, mutated ones from a seed; figures of /metrics before and after.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import http2 from 'node:http2';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Server, until } from './harness.mjs';

// Sends bytes, reads until the peer closes or an answer with its body is complete.
async function raw(address, bytes, { end = false, timeoutMs = 15000 } = {}) {
  const [host, port] = address.split(':');
  const socket = net.connect(Number(port), host);
  await once(socket, 'connect');
  let text = '';
  socket.on('error', () => {});
  socket.on('data', (d) => { text += d.toString('latin1'); });
  socket.write(bytes);
  if (end) socket.end();
  await until('an answer', async () => {
    const head = text.indexOf('\r\n\r\n');
    const length = /content-length: (\d+)/i.exec(text)?.[1];
    return socket.destroyed || (head >= 0 && text.length >= head + 4 + Number(length ?? 0)) ? true : undefined;
  }, timeoutMs, 10).finally(() => socket.destroy());
  return { status: Number(/^HTTP\/1\.[01] (\d+)/.exec(text)?.[1] ?? 0), text };
}

function request(path, { headers = {}, body = '', method = 'POST' } = {}) {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(body);
  const all = { host: 'localhost', 'content-type': 'application/json', 'content-length': bytes.length, connection: 'close', ...headers };
  const head = Object.entries(all).filter(([, v]) => v !== undefined).map(([k, v]) => `${k}: ${v}\r\n`).join('');
  return Buffer.concat([Buffer.from(`${method} ${path} HTTP/1.1\r\n${head}\r\n`), bytes]);
}

const nowNs = () => `${BigInt(Date.now()) * 1000000n}`;

const logs = (records) => JSON.stringify({ resourceLogs: [{
  resource: { attributes: [{ key: 'service.name', value: { stringValue: 'bad-input' } }] },
  scopeLogs: [{ logRecords: records }] }] });
const log = (over = {}) => ({ timeUnixNano: nowNs(), severityNumber: 9, body: { stringValue: 'fine' }, ...over });

const spans = (list) => JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: list }] }] });
let counter = 0;
const span = (over = {}) => ({ traceId: 'ab'.repeat(16), spanId: (0x1000 + ++counter).toString(16).padStart(16, '0'), name: 'op', kind: 1,
  startTimeUnixNano: nowNs(), endTimeUnixNano: nowNs(), ...over });

function deep(n) {
  let v = '{"stringValue":"x"}';
  for (let i = 0; i < n; i++) v = `{"arrayValue":{"values":[${v}]}}`;
  return `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"${nowNs()}","body":${v}}]}]}]}`;
}

const seed = Number(process.env.BAD_INPUT_SEED ?? Date.now() % 1e9);
console.log(`BAD_INPUT_SEED=${seed}`);

// xorshift
function chance(seed) {
  let x = seed >>> 0 || 1;
  return (n) => { x ^= x << 13; x >>>= 0; x ^= x >>> 17; x ^= x << 5; x >>>= 0; return x % n; };
}

// An ExportLogsServiceRequest of one log record without a body: the smallest one that is right.
function protobufLog() {
  const time = Buffer.alloc(9);
  time[0] = 0x09;
  time.writeBigUInt64LE(BigInt(nowNs()), 1);
  let bytes = time;
  for (const field of [0x12, 0x12, 0x0a]) bytes = Buffer.concat([Buffer.from([field, bytes.length]), bytes]);
  return bytes;
}

// The bytes with one of them changed, or cut off behind it.
function mutate(bytes, pick) {
  const copy = Buffer.from(bytes);
  const at = pick(copy.length);
  copy[at] ^= 1 << pick(8);
  return pick(2) === 0 ? copy : copy.subarray(0, at + 1);
}

describe('bad input', { timeout: 240000 }, () => {
  let server;
  before(async () => {
    server = await Server.start(['--gateway-header-timeout', '500ms', '--gateway-body-timeout', '500ms']);
  });

  // Requests by status and records, as the server counts them.
  const books = async () => {
    const { text } = await server.get('/metrics');
    const requests = {};
    for (const [, labels, n] of text.matchAll(/^observex_ingest_requests_total\{(.*)\} (\d+)$/gm)) {
      const status = /status="(\d+)"/.exec(labels)[1];
      requests[status] = (requests[status] ?? 0) + Number(n);
    }
    const sum = (name) => [...text.matchAll(new RegExp(`^observex_ingest_signals_${name}_total\\{.*\\} (\\d+)$`, 'gm'))]
      .reduce((all, m) => all + Number(m[1]), 0);
    return { requests, missing: sum('received') - sum('acknowledged') - sum('duplicate') - sum('dropped') };
  };

  // Does `send` and expects that one request was counted, under the status that it resolves to.
  const counted = async (send) => {
    const was = await books();
    const status = await send();
    was.requests[status] = (was.requests[status] ?? 0) + 1;
    await until('the request to be counted, once', async () => {
      assert.deepEqual(await books(), { requests: was.requests, missing: 0 });
      return true;
    }, 5000);
    assert.equal((await server.get('/health')).status, 200);
    return status;
  };
  after(async () => { await server.stop(); await server.remove(); });

  const cases = [
    ['an empty object is an empty request', '/v1/logs', { body: '{}' }, 200],
    ['no JSON', '/v1/logs', { body: '{"resourceLogs":[' }, 400],
    ['JSON of a wrong type', '/v1/logs', { body: '{"resourceLogs":7}' }, 400],
    ['a wrong field type deep inside', '/v1/logs', { body: logs([log({ severityNumber: 'loud' })]) }, 400],
    ['nested too deep', '/v1/logs', { body: deep(5000) }, 400],
    ['truncated protobuf', '/v1/traces', { headers: { 'content-type': 'application/x-protobuf' }, body: Buffer.from([0x0a, 0xff, 0xff, 0x03, 1]) }, 400],
    ['a group in protobuf', '/v1/traces', { headers: { 'content-type': 'application/x-protobuf' }, body: Buffer.from([0x0b, 0x0c]) }, 400],
    ['no content type', '/v1/logs', { headers: { 'content-type': undefined }, body: '{}' }, 415],
    ['an unknown content type', '/v1/logs', { headers: { 'content-type': 'text/plain' }, body: '{}' }, 415],
    ['an unknown encoding', '/v1/logs', { headers: { 'content-encoding': 'br' }, body: '{}' }, 415],
    ['broken gzip', '/v1/logs', { headers: { 'content-encoding': 'gzip' }, body: Buffer.from([0x1f, 0x8b, 8, 0, 0]) }, 400],
    ['a bomb', '/v1/logs', { headers: { 'content-encoding': 'gzip' }, body: gzipSync(Buffer.alloc(64 << 20)) }, 413],
    ['a declared length beyond the limit', '/v1/logs', { headers: { 'content-length': 11 << 20 }, body: '' }, 413],
    ['GET', '/v1/logs', { method: 'GET', headers: { 'content-length': 0 } }, 405],
    ['another path', '/v1/profiles', { body: '{}' }, 404],
    ['an unknown key', '/v1/logs', { headers: { 'x-api-key': 'nobody' }, body: '{}' }, 401],
    ['a body that does not arrive', '/v1/logs', { headers: { 'content-length': 100 }, body: '{' }, 408],
    ['a chunk size that is no number', '/v1/logs', { headers: { 'content-length': undefined, 'transfer-encoding': 'chunked' }, body: 'xyz\r\n' }, 400],
    ['headers beyond the limit', '/v1/logs', { headers: { 'x-large': 'a'.repeat(40000) }, body: '{}' }, 431],
  ];
  for (const port of ['otlp_http', 'otlp_grpc'])
    for (const [what, path, options, status] of cases)
      test(`${what}, on port ${port}: ${status}`, async () => {
        await counted(async () => {
          const answer = await raw(server.ready[port], request(path, options));
          assert.equal(answer.status, status, answer.text.slice(0, 600));
          return status;
        });
      });

  test('headers that do not arrive: 408', async () => {
    for (const port of ['otlp_http', 'otlp_grpc']) {
      const answer = await raw(server.ready[port], Buffer.from('POST /v1/logs HTTP/1.1\r\nhost: a\r\n'));
      assert.equal(answer.status, 408, answer.text);
    }
  });

  test('mutated requests: accepted, or refused with 400, and counted', async () => {
    const pick = chance(seed);
    for (let i = 0; i < 100; i++) {
      const [type, body] = i % 2 === 0 ? ['application/json', Buffer.from(logs([log()]))] : ['application/x-protobuf', protobufLog()];
      await counted(async () => {
        const answer = await raw(server.ready[i % 3 === 0 ? 'otlp_grpc' : 'otlp_http'],
          request('/v1/logs', { headers: { 'content-type': type }, body: mutate(body, pick) }));
        assert.ok([200, 400].includes(answer.status), answer.text);
        return answer.status;
      });
    }
  });

  test('bytes that are no HTTP: 400 or a closed connection', async () => {
    for (const bytes of ['\x16\x03\x01\x02\x00\x01\x00', 'GARBAGE\r\n\r\n', 'POST /v1/logs HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx',
      'POST /v1/logs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n', `GET /${'a'.repeat(70000)} HTTP/1.1\r\n\r\n`]) {
      const answer = await raw(server.ready.otlp_http, Buffer.from(bytes, 'latin1'), { end: true });
      assert.ok([0, 400, 414, 431].includes(answer.status), `${answer.status} for ${JSON.stringify(bytes.slice(0, 40))}`);
    }
    assert.equal((await server.get('/health')).status, 200);
  });

  test('a request cut off in the middle counts as nothing', async () => {
    const bytes = request('/v1/logs', { body: logs([log({ body: { stringValue: 'cut-off' } })]) });
    await raw(server.ready.otlp_http, bytes.subarray(0, bytes.length - 10), { end: true });
    const found = await server.ask('/api/v1/logs?q=cut-off');
    assert.equal(found.logs.length, 0);
  });

  describe('gRPC', () => {
    let session;
    before(() => {
      session = http2.connect(server.grpc);
      session.on('error', () => {});
    });
    after(() => session.destroy());

    // Resolves to the status of gRPC.
    const call = async (path, message, { headers = {}, flag = 0, length = message.length } = {}) => {
      const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers', ...headers });
      let status;
      stream.on('error', () => {});
      stream.on('response', (h) => { status ??= h['grpc-status']; });
      stream.on('trailers', (h) => { status ??= h['grpc-status']; });
      stream.on('data', () => {});
      const frame = Buffer.alloc(5);
      frame[0] = flag;
      frame.writeUInt32BE(length, 1);
      stream.end(Buffer.concat([frame, message]));
      await once(stream, 'close');
      return Number(status);
    };
    const method = '/opentelemetry.proto.collector.logs.v1.LogsService/Export';
    const gzip = { headers: { 'grpc-encoding': 'gzip' }, flag: 1 };
    const cases = [
      ['an empty message', method, Buffer.alloc(0), {}, 0],
      ['a record', method, protobufLog(), {}, 0],
      ['a broken message', method, Buffer.from([0x0a, 0xff, 1]), {}, 3],
      ['a message shorter than its length', method, Buffer.alloc(3), { length: 100 }, 3],
      ['a message larger than the limit', method, Buffer.alloc(11 << 20), {}, 3],
      ['broken gzip', method, Buffer.from([0x1f, 0x8b, 8, 0]), gzip, 3],
      ['a bomb', method, gzipSync(Buffer.alloc(64 << 20)), gzip, 3],
      ['an unknown encoding', method, Buffer.alloc(4), { headers: { 'grpc-encoding': 'br' }, flag: 1 }, 12],
      ['an unknown key', method, Buffer.alloc(0), { headers: { 'x-api-key': 'nobody' } }, 16],
      ['an unknown method', method.replace('Export', 'Import'), Buffer.alloc(0), {}, 12],
    ];
    for (const [what, path, message, options, status] of cases)
      test(`${what}: ${status}`, async () => {
        await counted(async () => {
          const got = await call(path, message, options);
          assert.equal(got, status);
          return status;
        });
      });

    test('mutated messages: accepted, or INVALID_ARGUMENT, and counted', async () => {
      const pick = chance(seed + 1);
      for (let i = 0; i < 50; i++)
        await counted(async () => {
          const got = await call(method, mutate(protobufLog(), pick));
          assert.ok([0, 3].includes(got), `${got}`);
          return got;
        });
    });
  });

  test('good records go on, bad ones are counted and named in the partial success', async () => {
    const received = await server.metric('observex_ingest_signals_received_total');
    const bad = [
      span({ traceId: '00'.repeat(16) }),
      span({ spanId: '00'.repeat(8) }),
      span({ name: '' }),
      span({ startTimeUnixNano: '0' }),
      span({ startTimeUnixNano: `${BigInt(Date.now() - 3 * 86400000) * 1000000n}`, endTimeUnixNano: `${BigInt(Date.now() - 3 * 86400000) * 1000000n}` }),
      span({ startTimeUnixNano: `${BigInt(Date.now() + 3 * 3600000) * 1000000n}`, endTimeUnixNano: `${BigInt(Date.now() + 3 * 3600000) * 1000000n}` }),
      span({ endTimeUnixNano: `${BigInt(Date.now() - 60000) * 1000000n}` }),
    ];
    const answer = await fetch(`${server.http}/v1/traces`, { method: 'POST', headers: { 'content-type': 'application/json' },
      body: spans([span({ name: 'good-1' }), ...bad, span({ name: 'good-2' })]) });
    assert.equal(answer.status, 200);
    const partial = (await answer.json()).partialSuccess;
    assert.equal(Number(partial.rejectedSpans), bad.length);
    assert.ok(partial.errorMessage.length > 0);
    const stored = await until('the good ones', async () => {
      const r = await server.get(`/api/v1/traces/${'ab'.repeat(16)}`);
      return r.status === 200 && r.json.spans.length === 2 ? r.json.spans : undefined;
    });
    assert.deepEqual(stored.map((s) => s.name).sort(), ['good-1', 'good-2']);
    assert.equal(stored[0].service_name, 'unknown_service');
    assert.equal(await server.metric('observex_ingest_signals_received_total') - received, bad.length + 2);
  });

  test('records received = acknowledged + repeats + dropped by reason; acknowledged = stored', async () => {
    await until('the books to balance', async () => {
      const received = await server.metric('observex_ingest_signals_received_total');
      const acknowledged = await server.metric('observex_ingest_signals_acknowledged_total');
      const repeats = await server.metric('observex_ingest_signals_duplicate_total'); // two mutations that mean the same
      const dropped = await server.metric('observex_ingest_signals_dropped_total');
      const stored = await server.metric('observex_ingest_signals_stored_total');
      assert.ok(received > 0);
      assert.equal(received, acknowledged + repeats + dropped, `received ${received}, acknowledged ${acknowledged}, repeats ${repeats}, dropped ${dropped}`);
      assert.equal(acknowledged, stored, `acknowledged ${acknowledged}, stored ${stored}`);
      return true;
    }, 10000);
  });

  test('requests are counted once each, by status', async () => {
    const before = await server.metric('observex_ingest_requests_total');
    const ok = await server.metric('observex_ingest_requests_total', { status: '200' });
    for (const body of ['{}', '{', '{}', logs([log()])])
      await raw(server.ready.otlp_http, request('/v1/logs', { body }));
    assert.equal(await server.metric('observex_ingest_requests_total') - before, 4);
    assert.equal(await server.metric('observex_ingest_requests_total', { status: '200' }) - ok, 3);
  });
});
