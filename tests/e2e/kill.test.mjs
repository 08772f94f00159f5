// SPDX-License-Identifier: Apache-2.0
//
// Goal: kill -9 of heart, node and engine, alone and together, under load: each record that was acknowledged is
// stored exactly once, and no record is stored twice.
// Method: senders with unique ids note what was acknowledged; a process dies at a random moment; after the restart
// the owner's SQL counts every id. KILL_ROUNDS (default 1) repeats the list; KILL_SEED repeats the moments.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Server, until } from './harness.mjs';

const rounds = Number(process.env.KILL_ROUNDS ?? 1);
const seed = Number(process.env.KILL_SEED ?? Date.now() % 1000000);
let state = seed;
const random = () => { state = (state * 1103515245 + 12345) % 2147483648; return state / 2147483648; };

const perRequest = 50;

class Load {
  constructor(server, name) {
    this.server = server;
    this.name = name;
    this.next = 0;
    this.acknowledged = { logs: new Set(), traces: new Set() };
    this.running = false;
  }

  body(signal, ids) {
    const ns = BigInt(Date.now()) * 1000000n;
    const resource = { attributes: [{ key: 'service.name', value: { stringValue: this.name } }] };
    const attributes = (id) => [{ key: 'e2e.id', value: { stringValue: id } }];
    if (signal === 'logs')
      return { resourceLogs: [{ resource, scopeLogs: [{ logRecords: ids.map((id) => ({ timeUnixNano: `${ns}`, severityNumber: 9,
        body: { stringValue: `record ${id}` }, attributes: attributes(id) })) }] }] };
    return { resourceSpans: [{ resource, scopeSpans: [{ spans: ids.map((id, i) => ({
      traceId: `${Math.floor(Math.random() * 2 ** 32).toString(16).padStart(8, '0')}`.repeat(4).replace(/^0+$/, 'ab'.repeat(16)),
      spanId: (BigInt(this.next) * 64n + BigInt(i) + 1n).toString(16).padStart(16, '0'), name: 'kill', kind: 1,
      startTimeUnixNano: `${ns}`, endTimeUnixNano: `${ns + 1000n}`, attributes: attributes(id) })) }] }] };
  }

  async send(signal) {
    const ids = Array.from({ length: perRequest }, () => `${this.name}-${this.next++}`);
    const res = await fetch(`${this.server.http}/v1/${signal}`, { method: 'POST', headers: { 'content-type': 'application/json' },
      body: JSON.stringify(this.body(signal, ids)), signal: AbortSignal.timeout(5000) });
    const answer = await res.json();
    if (res.status === 200 && !answer.partialSuccess?.rejectedLogRecords && !answer.partialSuccess?.rejectedSpans)
      for (const id of ids) this.acknowledged[signal].add(id);
  }

  async sender(signal) {
    while (this.running) {
      // A refused connection is part of the story: nothing was acknowledged.
      await this.send(signal).catch(() => new Promise((r) => setTimeout(r, 20)));
    }
  }

  start() {
    this.running = true;
    this.senders = ['logs', 'logs', 'traces', 'traces'].map((s) => this.sender(s));
  }

  async stop() {
    this.running = false;
    await Promise.all(this.senders);
  }
}

async function counts(server, table, name) {
  const rows = await server.sql(`SELECT attributes['e2e.id'], count() FROM ${table} WHERE service_name = '${name}' GROUP BY 1`);
  return new Map(rows.map(([id, n]) => [id, Number(n)]));
}

async function check(server, load) {
  for (const [signal, table] of [['logs', 'otel_logs'], ['traces', 'otel_traces']]) {
    const wanted = load.acknowledged[signal];
    let have;
    await until(`all acknowledged ${signal}`, async () => {
      have = await counts(server, table, load.name);
      const missing = [...wanted].filter((id) => !have.has(id));
      if (missing.length > 0) throw new Error(`${missing.length} of ${wanted.size} missing, first ${missing[0]} (seed ${seed})`);
      return true;
    }, 60000, 250);
    const doubled = [...have].filter(([, n]) => n !== 1);
    assert.equal(doubled.length, 0, `${doubled.length} ${signal} more than once, first ${doubled[0]} (seed ${seed})`);
  }
  // What the views count must agree with the rows.
  const [[rows]] = await server.sql('SELECT count() FROM otel_traces');
  const [[indexed]] = await server.sql('SELECT sum(spans) FROM otel_trace_index');
  assert.equal(indexed, rows, `the trace index counts ${indexed} of ${rows} spans (seed ${seed})`);
  const [[calls]] = await server.sql('SELECT sum(calls) FROM otel_span_stats');
  assert.equal(calls, rows, `${calls} calls are counted of ${rows} spans (seed ${seed})`);
}

// Waits until another process has taken the place of the one that was killed.
async function replaced(server, what, pid) {
  await until(`a new ${what}`, async () => ((await server.readReady())[what] !== pid ? true : undefined), 60000);
  await until('/ready', async () => ((await server.get('/ready')).status === 200 ? true : undefined), 60000);
}

const victims = {
  async node(server) {
    const pid = server.ready.node_pid;
    server.kill(pid);
    await replaced(server, 'node_pid', pid);
  },
  async engine(server) {
    const pid = server.ready.engine_pid;
    server.kill(pid);
    await replaced(server, 'engine_pid', pid);
  },
  async 'node and engine'(server) {
    const { node_pid: node, engine_pid: engine } = server.ready;
    server.kill(node);
    server.kill(engine);
    await replaced(server, 'engine_pid', engine);
    await replaced(server, 'node_pid', node);
  },
  async heart(server) {
    const { node_pid: node, engine_pid: engine } = server.ready;
    server.kill(server.child.pid);
    await server.exited;
    await until('node and engine to die with the heart', async () => {
      for (const pid of [node, engine])
        try { process.kill(pid, 0); return undefined; } catch (e) { if (e.code !== 'ESRCH') throw e; }
      return true;
    }, 10000);
    await server.launch();
  },
  async everything(server) {
    for (const pid of [server.ready.engine_pid, server.ready.node_pid, server.child.pid]) server.kill(pid);
    await server.exited;
    await server.launch();
  },
};

describe(`kill -9 under load (seed ${seed})`, { timeout: 280000 * rounds }, () => {
  let server;
  before(async () => { server = await Server.start(); });
  after(async () => { await server.stop(); await server.remove(); });

  for (let round = 0; round < rounds; round++)
    for (const [victim, strike] of Object.entries(victims))
      test(`${victim}, round ${round + 1}`, async (t) => {
        const load = new Load(server, `kill-${victim.replaceAll(' ', '-')}-${round}`);
        load.start();
        try {
          await until('some load', async () => (load.acknowledged.logs.size >= 200 && load.acknowledged.traces.size >= 200 ? true : undefined));
          await new Promise((r) => setTimeout(r, random() * 1500)); // the moment is what varies, not a wait for something
          await strike(server);
          const before = load.acknowledged.logs.size;
          await until('load after the restart', async () => (load.acknowledged.logs.size > before + 200 ? true : undefined), 60000);
        } finally {
          await load.stop();
        }
        t.diagnostic(`acknowledged: ${load.acknowledged.logs.size} logs, ${load.acknowledged.traces.size} spans`);
        await check(server, load);
      });
});
