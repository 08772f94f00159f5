// SPDX-License-Identifier: Apache-2.0
//
// Goal: what OTLP has and no stock SDK sends yet comes back too: entities of a resource, enum numbers without a name.
// Method: OTLP/JSON by hand for all three signals, read back through the API.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Server, until } from './harness.mjs';

const ns = () => `${BigInt(Date.now()) * 1000000n}`;
const resource = { attributes: [{ key: 'service.name', value: { stringValue: 'rare' } }, { key: 'host.id', value: { stringValue: 'h-1' } }],
  entityRefs: [{ schemaUrl: 'https://opentelemetry.io/schemas/1.40.0', type: 'host', idKeys: ['host.id'], descriptionKeys: ['host.name', 'host.arch'] },
    { type: 'service', idKeys: ['service.name'] }] };
const stored = [{ schema_url: 'https://opentelemetry.io/schemas/1.40.0', type: 'host', id_keys: ['host.id'], description_keys: ['host.name', 'host.arch'] },
  { schema_url: '', type: 'service', id_keys: ['service.name'], description_keys: [] }];
const traceId = 'ab'.repeat(16);

describe('rare fields', { timeout: 120000 }, () => {
  let server;
  before(async () => { server = await Server.start(); });
  after(async () => { await server.stop(); await server.remove(); });

  async function send(signal, body) {
    const res = await fetch(`${server.http}/v1/${signal}`, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } });
    assert.equal(res.status, 200);
    assert.deepEqual(await res.json(), {});
  }
  const ask = async (path, list) => until(path, async () => {
    const answer = await server.ask(path);
    return answer[list]?.length > 0 ? answer[list][0] : undefined;
  });

  test('a span', async () => {
    await send('traces', { resourceSpans: [{ resource, scopeSpans: [{ spans: [{ traceId, spanId: '00000000000000a1', name: 'op', kind: 9,
      startTimeUnixNano: ns(), endTimeUnixNano: ns(), status: { code: 7 } }] }] }] });
    const span = await ask(`/api/v1/traces/${traceId}`, 'spans');
    assert.deepEqual(span.resource.entity_refs, stored);
    assert.equal(span.kind, 9);
    assert.equal(span.status_code, 7);
    assert.equal(await server.metric('observex_ingest_unknown_enum_values_total', { tenant: 'default', type: 'traces' }), 2);
  });

  test('a log record', async () => {
    await send('logs', { resourceLogs: [{ resource, scopeLogs: [{ logRecords: [{ timeUnixNano: ns(), severityNumber: 40, severityText: 'odd', body: { stringValue: 'x' } }] }] }] });
    const log = await ask('/api/v1/logs?service=rare', 'logs');
    assert.deepEqual(log.resource.entity_refs, stored);
    assert.equal(log.severity_number, 40);
  });

  test('a metric', async () => {
    await send('metrics', { resourceMetrics: [{ resource, scopeMetrics: [{ metrics: [{ name: 'rare.sum',
      sum: { aggregationTemporality: 5, dataPoints: [{ timeUnixNano: ns(), asInt: '3' }] } }] }] }] });
    const series = await ask('/api/v1/metrics?name=rare.sum', 'series');
    assert.deepEqual(series.resource.entity_refs, stored);
    assert.equal(series.temporality, 5);
  });

  test('a resource without entities has an empty list', async () => {
    await send('logs', { resourceLogs: [{ resource: { attributes: [{ key: 'service.name', value: { stringValue: 'plain' } }] },
      scopeLogs: [{ logRecords: [{ timeUnixNano: ns(), body: { stringValue: 'x' } }] }] }] });
    assert.deepEqual((await ask('/api/v1/logs?service=plain', 'logs')).resource.entity_refs, []);
  });
});
