// SPDX-License-Identifier: Apache-2.0
//
// Goal: bad requests get their documented status on both ports, the server stays up, and the counters add up.
// Method: raw sockets and a hand-made OTLP request; figures of /metrics before and after.
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

describe('bad input', { timeout: 240000 }, () => {
  let server;
  before(async () => { server = await Server.start(); });
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
  ];
  for (const [what, path, options, status] of cases)
    test(`${what}: ${status}`, async () => {
      const answer = await raw(server.ready.otlp_http, request(path, options));
      assert.equal(answer.status, status, answer.text.slice(0, 600));
      assert.equal((await server.get('/health')).status, 200);
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

  test('gRPC: a broken message is INVALID_ARGUMENT, an unknown method UNIMPLEMENTED', async () => {
    const session = http2.connect(server.grpc);
    session.on('error', () => {});
    const call = async (path, message) => {
      const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' });
      let status;
      stream.on('response', (h) => { status ??= h['grpc-status']; });
      stream.on('trailers', (h) => { status ??= h['grpc-status']; });
      stream.on('data', () => {});
      const frame = Buffer.alloc(5);
      frame.writeUInt32BE(message.length, 1);
      stream.end(Buffer.concat([frame, message]));
      await once(stream, 'close');
      return Number(status);
    };
    const service = '/opentelemetry.proto.collector.logs.v1.LogsService';
    assert.equal(await call(`${service}/Export`, Buffer.from([0x0a, 0xff, 1])), 3);
    assert.equal(await call(`${service}/Import`, Buffer.alloc(0)), 12);
    assert.equal(await call(`${service}/Export`, Buffer.alloc(0)), 0);
    session.destroy();
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

  test('records received = acknowledged + dropped by reason; acknowledged = stored', async () => {
    await until('the books to balance', async () => {
      const received = await server.metric('observex_ingest_signals_received_total');
      const acknowledged = await server.metric('observex_ingest_signals_acknowledged_total');
      const dropped = await server.metric('observex_ingest_signals_dropped_total');
      const stored = await server.metric('observex_ingest_signals_stored_total');
      assert.ok(received > 0);
      assert.equal(received, acknowledged + dropped, `received ${received}, acknowledged ${acknowledged}, dropped ${dropped}`);
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
