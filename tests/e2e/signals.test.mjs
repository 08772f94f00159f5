// SPDX-License-Identifier: Apache-2.0
//
// Goal: whatever the stock SDK sends over each of its three protocols comes back from the API, field by field.
// Method: every kind of field that the SDK can make; the exporters' input is kept and compared with the answers.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, TraceFlags, trace } from '@opentelemetry/api';
import { SeverityNumber } from '@opentelemetry/api-logs';
import { createTraceState } from '@opentelemetry/api';
import { Server, until } from './harness.mjs';
import { Sdk, protocols, scopeOf, time, value } from './otel.mjs';

const everyType = {
  'text': 'Grüße, 世界 \u{1F600} "quoted" \\ \n\t',
  'empty': '',
  'int': 42,
  'negative': -7,
  'safe.integer': Number.MAX_SAFE_INTEGER,
  'double': 1.5,
  'tiny': 5e-324,
  'yes': true,
  'no': false,
  'strings': ['a', 'b,c', ''],
  'ints': [1, 2, 3],
  'doubles': [0.5, 1.25],
  'bools': [true, false],
};

const kinds = ['INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'];
const statuses = ['UNSET', 'OK', 'ERROR'];

function makeSpans(sdk) {
  const tracer = sdk.tracers.getTracer('e2e-tracer', '1.2.3', { schemaUrl: 'https://opentelemetry.io/schemas/1.21.0' });
  const linked = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags: TraceFlags.SAMPLED,
    traceState: createTraceState('vendor=abc,other=1') };
  const root = tracer.startSpan('GET /checkout', {
    kind: SpanKind.SERVER, root: true, attributes: everyType,
    links: [{ context: linked, attributes: { why: 'retry', n: 2 } }, { context: linked }],
  });
  let context = trace.setSpan(ROOT_CONTEXT, root);
  for (const [i, kind] of [SpanKind.INTERNAL, SpanKind.CLIENT, SpanKind.PRODUCER, SpanKind.CONSUMER].entries()) {
    const child = tracer.startSpan(`child ${i}`, { kind, attributes: { i } }, context);
    child.addEvent('cache miss', { key: 'k', size: 3, ratio: 0.25, hit: false, tags: ['x', 'y'] });
    child.addEvent('bare');
    if (i === 1) child.recordException(new TypeError('pool exhausted'));
    child.setStatus(i === 1 ? { code: SpanStatusCode.ERROR, message: 'pool exhausted' }
      : { code: i === 2 ? SpanStatusCode.OK : SpanStatusCode.UNSET });
    if (i === 1) context = trace.setSpan(ROOT_CONTEXT, child); // the rest hangs one level deeper
    child.end();
  }
  root.end();
  return root.spanContext();
}

function makeMetrics(sdk) {
  const meter = sdk.meters.getMeter('e2e-meter', '4.5.6', { schemaUrl: 'https://opentelemetry.io/schemas/1.22.0' });
  const counter = meter.createCounter('requests.total', { description: 'Requests served', unit: '{request}', valueType: 0 });
  const bytes = meter.createCounter('bytes.total', { unit: 'By', valueType: 1 });
  const active = meter.createUpDownCounter('active', { description: 'now', valueType: 0 });
  const latency = meter.createHistogram('latency', { unit: 'ms', advice: { explicitBucketBoundaries: [1, 5, 10, 100] } });
  const exponential = meter.createHistogram('exponential.latency', { unit: 's' });
  const gauge = meter.createGauge('temperature', { unit: 'Cel' });
  const pool = meter.createObservableGauge('pool.used', { valueType: 0 });
  const cpu = meter.createObservableCounter('cpu.time', { unit: 's' });
  const queue = meter.createObservableUpDownCounter('queue.length', { valueType: 0 });
  pool.addCallback((r) => { r.observe(95, { pool: 'a' }); r.observe(3, { pool: 'b', primary: true }); });
  cpu.addCallback((r) => r.observe(12.25, { cpu: 0 }));
  queue.addCallback((r) => r.observe(-4));
  counter.add(3, { route: '/a', status: 200 });
  counter.add(4, { route: '/b', status: 500, list: ['x', 'y'] });
  counter.add(Number.MAX_SAFE_INTEGER - 10, { route: '/big' });
  bytes.add(0.1);
  bytes.add(0.2);
  active.add(10);
  active.add(-13);
  for (const v of [0.5, 4, 7, 70, 700, 7000]) {
    latency.record(v, { route: '/a' });
    exponential.record(v / 1000, { route: '/a' });
  }
  exponential.record(0, { route: '/a' });
  gauge.record(-273.15, { place: 'lab' });
}

function makeLogs(sdk, context) {
  const logger = sdk.loggers.getLogger('e2e-logger', '7.8.9', { schemaUrl: 'https://opentelemetry.io/schemas/1.23.0' });
  const severities = [SeverityNumber.TRACE, SeverityNumber.DEBUG2, SeverityNumber.INFO, SeverityNumber.WARN3,
    SeverityNumber.ERROR, SeverityNumber.FATAL4];
  const now = Date.now();
  for (const [i, severityNumber] of severities.entries())
    logger.emit({ severityNumber, severityText: SeverityNumber[severityNumber], body: `Database connection pool exhausted ${i}`,
      attributes: { ...everyType, i }, timestamp: now - 1000 + i, observedTimestamp: now + i,
      context: trace.setSpanContext(ROOT_CONTEXT, context) });
  logger.emit({ body: { message: 'nested', list: [1, 'two', { three: 3.5 }], none: null, flag: true } });
  logger.emit({ body: ['a', 1, false] });
  logger.emit({ body: 12345 });
  logger.emit({ body: 0.125 });
  logger.emit({ body: true });
  logger.emit({ body: new Uint8Array([0, 1, 254, 255]) });
  logger.emit({ eventName: 'session.start', attributes: { nested: { deep: { er: [1, { x: 'y' }] } }, raw: new Uint8Array([9]) } });
}

const byId = (a, b) => (a.span_id < b.span_id ? -1 : 1);

function expectedSpan(s, resource) {
  return {
    trace_id: s.spanContext().traceId,
    span_id: s.spanContext().spanId,
    parent_span_id: s.parentSpanContext?.spanId ?? '',
    name: s.name,
    kind: kinds[s.kind],
    start_time: time(s.startTime),
    end_time: time(s.endTime),
    status_code: statuses[s.status.code],
    status_message: s.status.message ?? '',
    trace_state: s.spanContext().traceState?.serialize() ?? '',
    attributes: value(s.attributes),
    dropped_attributes_count: s.droppedAttributesCount,
    dropped_events_count: s.droppedEventsCount,
    dropped_links_count: s.droppedLinksCount,
    events: s.events.map((e) => ({ time: time(e.time), name: e.name, attributes: value(e.attributes ?? {}),
      dropped_attributes_count: e.droppedAttributesCount ?? 0 })),
    links: s.links.map((l) => ({ trace_id: l.context.traceId, span_id: l.context.spanId,
      trace_state: l.context.traceState?.serialize() ?? '', attributes: value(l.attributes ?? {}),
      dropped_attributes_count: l.droppedAttributesCount ?? 0 })),
    scope: scopeOf(s.instrumentationScope),
    resource,
  };
}

function actualSpan(s) {
  const { start_time_unix_nano, end_time_unix_nano, ...rest } = s;
  return {
    ...Object.fromEntries(['trace_id', 'span_id', 'parent_span_id', 'name', 'kind', 'start_time', 'end_time', 'status_code',
      'status_message', 'trace_state', 'attributes', 'dropped_attributes_count', 'dropped_events_count',
      'dropped_links_count'].map((k) => [k, rest[k]])),
    events: s.events.map(({ time_unix_nano, ...e }) => e),
    links: s.links.map(({ flags, ...l }) => l),
    scope: { name: s.scope.name, version: s.scope.version, schema_url: s.scope.schema_url },
    resource: s.resource.attributes,
  };
}

function expectedLog(r) {
  return {
    time_missing: false,
    time: time(r.hrTime),
    observed_time: time(r.hrTimeObserved),
    severity_number: r.severityNumber ?? 0,
    severity_text: r.severityText ?? '',
    body: value(r.body),
    event_name: r.eventName ?? '',
    trace_id: r.spanContext?.traceId ?? '',
    span_id: r.spanContext?.spanId ?? '',
    flags: r.spanContext?.traceFlags ?? 0,
    attributes: value(r.attributes),
    dropped_attributes_count: r.droppedAttributesCount,
    scope: scopeOf(r.instrumentationScope),
  };
}

function actualLog(r) {
  return {
    ...Object.fromEntries(['time_missing', 'time', 'observed_time', 'severity_number', 'severity_text', 'body', 'event_name',
      'trace_id', 'span_id', 'flags', 'attributes', 'dropped_attributes_count'].map((k) => [k, r[k]])),
    scope: { name: r.scope.name, version: r.scope.version, schema_url: r.scope.schema_url },
  };
}

const sorted = (list) => [...list].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));

const metricTypes = ['histogram', 'exponential_histogram', 'gauge', 'sum'];
const temporalities = ['delta', 'cumulative'];

function expectedPoint(metric, p) {
  const base = { time: time(p.endTime), start_time: time(p.startTime) };
  if (metric.dataPointType > 1) return { ...base, value: p.value };
  const v = p.value;
  const h = { ...base, count: v.count, sum: v.sum ?? null, min: v.min ?? null, max: v.max ?? null };
  if (metric.dataPointType === 0)
    return { ...h, explicit_bounds: v.buckets.boundaries, bucket_counts: v.buckets.counts };
  return { ...h, scale: v.scale, zero_count: v.zeroCount,
    positive: { offset: v.positive.offset, bucket_counts: v.positive.bucketCounts },
    negative: { offset: v.negative.offset, bucket_counts: v.negative.bucketCounts } };
}

function actualPoint(type, p) {
  const { time_unix_nano, start_time_unix_nano, flags, zero_threshold, ...rest } = p;
  // The API says null for a gauge's absent start; the SDK always sends one.
  return rest;
}

// {metric name -> {description..., series: {attributes as text -> points}}}
function expectedMetrics(batches) {
  const out = {};
  for (const batch of batches)
    for (const scope of batch.scopeMetrics)
      for (const metric of scope.metrics) {
        const d = metric.descriptor;
        const m = (out[d.name] ??= { description: d.description, unit: d.unit, type: metricTypes[metric.dataPointType],
          temporality: metric.dataPointType === 2 ? 'unspecified' : temporalities[metric.aggregationTemporality],
          monotonic: metric.isMonotonic ?? false, scope: scopeOf(scope.scope), series: {} });
        for (const p of metric.dataPoints)
          (m.series[JSON.stringify(sorted(Object.entries(value(p.attributes))))] ??= []).push(expectedPoint(metric, p));
      }
  return out;
}

function actualMetric(answer) {
  const out = { series: {} };
  for (const s of answer.series) {
    Object.assign(out, { description: s.description, unit: s.unit, type: s.type, temporality: s.temporality,
      monotonic: s.monotonic, scope: { name: s.scope.name, version: s.scope.version, schema_url: s.scope.schema_url } });
    out.series[JSON.stringify(sorted(Object.entries(s.attributes)))] = s.points.map((p) => actualPoint(s.type, p));
  }
  return out;
}

describe('what the stock SDK sends comes back', { timeout: 240000 }, () => {
  let server;
  before(async () => { server = await Server.start(); });
  after(async () => {
    const how = await server.stop();
    assert.equal(how.code, 0, `SIGTERM ends it with code 0: ${JSON.stringify(how)}\n${server.text()}`);
    await server.remove();
  });

  for (const [protocol, compression] of [...protocols.map((p) => [p, 'none']), ['http/protobuf', 'gzip'], ['grpc', 'gzip']])
    test(`${protocol}, compression ${compression}`, async () => {
      const service = `e2e-${protocol.replace('/', '-')}-${compression}`;
      const attributes = { 'deployment.environment.name': 'test', 'host.cpus': 8, 'list': ['a', 'b'] };
      const sdk = new Sdk(server, protocol, { service, attributes, compression });
      const resource = { 'service.name': service, ...attributes };
      const context = makeSpans(sdk);
      makeMetrics(sdk);
      makeLogs(sdk, context);
      await sdk.flush();

      // Traces
      const spans = sdk.spans.sent.flat();
      assert.equal(spans.length, 5);
      const got = await until('the trace', async () => {
        const r = await server.get(`/api/v1/traces/${context.traceId}?correlate=true`);
        return r.status === 200 && r.json.spans.length === 5 && r.json.logs.length === 6 ? r.json : undefined;
      });
      assert.deepEqual(got.spans.map(actualSpan).sort(byId), spans.map((s) => expectedSpan(s, resource)).sort(byId));
      assert.equal(got.spans[0].parent_span_id, '', 'the root comes first');
      // Tree order: each span right below its parent, whichever of two siblings with the same start comes first.
      const depth = new Map([['', -1]]);
      for (const s of got.spans) {
        assert.equal(s.depth, depth.get(s.parent_span_id) + 1, 'a parent comes before its children');
        depth.set(s.span_id, s.depth);
      }
      assert.deepEqual(got.spans.map((s) => s.depth).sort(), [0, 1, 1, 2, 2]);
      assert.equal(got.meta.partial, false);
      assert.equal(got.spans[0].service_name, service);
      assert.equal(got.error_count, 1);
      const found = await server.ask(`/api/v1/traces?service=${service}&tags=int:42,text:${encodeURIComponent(everyType.text)}`);
      assert.deepEqual(found.traces.map((t) => t.trace_id), [context.traceId]);
      assert.equal((await server.ask(`/api/v1/traces?service=${service}&minDuration=1h`)).traces.length, 0);

      // Logs
      const records = sdk.logs.sent.flat();
      const logs = await until('the logs', async () => {
        const r = await server.ask(`/api/v1/logs?service=${service}&limit=100`);
        return r.logs.length >= records.length ? r.logs : undefined;
      });
      assert.deepEqual(sorted(logs.map(actualLog)), sorted(records.map(expectedLog)));
      for (const r of logs) assert.deepEqual(r.resource.attributes, resource);
      const errors = await server.ask(`/logs?service=${service}&level=error&time=last_hour&q=pool+exhausted`);
      assert.deepEqual(errors.logs.map((l) => l.level), ['ERROR']);

      // Metrics
      const expected = expectedMetrics(sdk.metrics.sent);
      const names = await until('the metrics', async () => {
        const r = await server.ask(`/api/v1/metrics?service=${service}`);
        return r.metrics.length >= Object.keys(expected).length ? r.metrics : undefined;
      });
      assert.deepEqual(names.map((m) => m.name), Object.keys(expected).sort());
      for (const [name, m] of Object.entries(expected)) {
        const answer = await until(`the points of ${name}`, async () => {
          const r = await server.ask(`/api/v1/metrics?service=${service}&name=${name}`);
          return r.series.length >= Object.keys(m.series).length ? r : undefined;
        });
        assert.deepEqual(actualMetric(answer), m, name);
      }
      await sdk.shutdown();
    });

  test('services and their figures', async () => {
    const stats = await server.ask('/api/v1/services/stats');
    const one = stats.services.find((s) => s.name === 'e2e-grpc-none');
    assert.equal(one.spans, 5);
    assert.equal(one.errors, 1);
    assert.equal(one.logs, 13);
    assert.ok(one.points >= 11);
    const status = await server.ask('/api/v1/status');
    assert.equal(status.storage_ping.reachable, true);
  });
});
