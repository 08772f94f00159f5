// SPDX-License-Identifier: Apache-2.0
//
// The stock OpenTelemetry SDK with each of its three OTLP exporters, and what they were given to send.
import * as grpc from '@grpc/grpc-js';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor, AlwaysOnSampler } from '@opentelemetry/sdk-trace-base';
import { MeterProvider, PeriodicExportingMetricReader, AggregationType } from '@opentelemetry/sdk-metrics';
import { LoggerProvider, BatchLogRecordProcessor } from '@opentelemetry/sdk-logs';
import { OTLPTraceExporter as TraceProto } from '@opentelemetry/exporter-trace-otlp-proto';
import { OTLPTraceExporter as TraceJson } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as TraceGrpc } from '@opentelemetry/exporter-trace-otlp-grpc';
import { OTLPMetricExporter as MetricProto } from '@opentelemetry/exporter-metrics-otlp-proto';
import { OTLPMetricExporter as MetricJson } from '@opentelemetry/exporter-metrics-otlp-http';
import { OTLPMetricExporter as MetricGrpc } from '@opentelemetry/exporter-metrics-otlp-grpc';
import { OTLPLogExporter as LogProto } from '@opentelemetry/exporter-logs-otlp-proto';
import { OTLPLogExporter as LogJson } from '@opentelemetry/exporter-logs-otlp-http';
import { OTLPLogExporter as LogGrpc } from '@opentelemetry/exporter-logs-otlp-grpc';

export const protocols = ['http/protobuf', 'http/json', 'grpc'];

// Hands everything on and keeps it; failed exports are kept apart.
class Tee {
  constructor(inner) {
    this.inner = inner;
    this.sent = [];
    this.failed = [];
  }
  export(batch, done) {
    this.inner.export(batch, (result) => {
      if (result.code === 0) this.sent.push(batch);
      else this.failed.push(result.error ?? result);
      done(result);
    });
  }
  forceFlush() { return this.inner.forceFlush?.() ?? Promise.resolve(); }
  shutdown() { return this.inner.shutdown(); }
  selectAggregationTemporality(t) { return this.inner.selectAggregationTemporality(t); }
  selectAggregation(t) { return this.inner.selectAggregation?.(t) ?? { type: AggregationType.DEFAULT }; }
}

// tls: ca, cert, key as PEM; cert and key may be missing.
function exporters(server, protocol, compression, tls) {
  if (protocol === 'grpc') {
    const credentials = tls && grpc.credentials.createSsl(tls.ca, tls.key ?? null, tls.cert ?? null);
    const o = { url: server.grpc, compression, credentials };
    return [new TraceGrpc(o), new MetricGrpc(o), new LogGrpc(o)];
  }
  const at = (signal) => ({ url: `${server.http}/v1/${signal}`, compression, httpAgentOptions: tls });
  return protocol === 'http/json'
    ? [new TraceJson(at('traces')), new MetricJson(at('metrics')), new LogJson(at('logs'))]
    : [new TraceProto(at('traces')), new MetricProto(at('metrics')), new LogProto(at('logs'))];
}

export class Sdk {
  constructor(server, protocol, { service, attributes = {}, compression = 'none', key, tls }) {
    const resource = resourceFromAttributes({ 'service.name': service, ...attributes });
    // As whoever runs a program gives it a key.
    if (key !== undefined) process.env.OTEL_EXPORTER_OTLP_HEADERS = `x-api-key=${key}`;
    [this.spans, this.metrics, this.logs] = exporters(server, protocol, compression, tls).map((e) => new Tee(e));
    delete process.env.OTEL_EXPORTER_OTLP_HEADERS;
    this.tracers = new BasicTracerProvider({
      resource,
      sampler: new AlwaysOnSampler(),
      spanProcessors: [new BatchSpanProcessor(this.spans)],
    });
    this.meters = new MeterProvider({
      resource,
      readers: [new PeriodicExportingMetricReader({ exporter: this.metrics, exportIntervalMillis: 3600000 })],
      views: [{
        instrumentName: 'exponential.*',
        aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM, options: { recordMinMax: true, maxSize: 160 } },
      }],
    });
    this.loggers = new LoggerProvider({ resource, processors: [new BatchLogRecordProcessor({ exporter: this.logs })] });
  }
  async flush() {
    await Promise.all([this.tracers.forceFlush(), this.meters.forceFlush(), this.loggers.forceFlush()]);
    for (const tee of [this.spans, this.metrics, this.logs])
      if (tee.failed.length > 0) throw tee.failed[0];
  }
  shutdown() {
    return Promise.allSettled([this.tracers.shutdown(), this.meters.shutdown(), this.loggers.shutdown()]);
  }
}

// ---- what the API should answer ----

export function time([seconds, nanos]) {
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${String(nanos).padStart(9, '0')}Z`;
}

// OTLP has no way to tell 1.0 from 1: the SDK sends whole numbers as integers.
export function value(v) {
  if (v === undefined || v === null) return null;
  if (v instanceof Uint8Array) return { bytesValue: Buffer.from(v).toString('base64') };
  if (Array.isArray(v)) return v.map(value);
  if (typeof v === 'object') return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, value(x)]));
  if (typeof v === 'number' && !Number.isFinite(v))
    return { doubleValue: Number.isNaN(v) ? 'NaN' : v > 0 ? 'Infinity' : '-Infinity' };
  return v;
}

export const scopeOf = (s) => ({ name: s.name, version: s.version ?? '', schema_url: s.schemaUrl ?? '' });
export { AggregationType };
