// SPDX-License-Identifier: Apache-2.0
// The strip at the top: is it ready, what arrives, what is refused, how full the journals are.

const SIGNALS = ['traces', 'logs', 'metrics'];
const RATES_MAX = 60; // five minutes of refreshes
const rates = [];
let before; // counters of the last refresh
let listen; // OTLP addresses, once known
let role; // of whoever looks

// Prometheus text to [{name, labels, value}].
function readMetrics(text) {
  const samples = [];
  for (const line of text.split('\n')) {
    const m = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!m) continue;
    const labels = Object.fromEntries([...(m[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map((x) => [x[1], x[2]]));
    samples.push({ name: m[1], labels, value: Number(m[3]) });
  }
  return samples;
}

function sums(samples, name, label) {
  const by = {};
  for (const s of samples)
    if (s.name === name && s.value > 0) by[s.labels[label]] = (by[s.labels[label]] ?? 0) + s.value;
  return by;
}
const total = (by) => Object.values(by).reduce((a, b) => a + b, 0);
const listed = (by, unit = '') => Object.entries(by).sort((a, b) => b[1] - a[1]).map(([k, n]) => `${k} ${short(n)}${unit}`).join(' · ');

function drawSpark(values) {
  const box = $('rate-line');
  const top = Math.max(1, ...values);
  const x = (i) => (i / (RATES_MAX - 1)) * 100;
  const y = (v) => 25 - (v / top) * 22;
  const from = RATES_MAX - values.length;
  const line = values.map((v, i) => `${x(from + i).toFixed(1)},${y(v).toFixed(1)}`).join(' ');
  box.setAttribute('viewBox', '0 0 100 26');
  box.setAttribute('preserveAspectRatio', 'none');
  if (values.length < 2) return box.replaceChildren();
  box.replaceChildren(
    svg('polygon', { points: `${x(from)},26 ${line} 100,26`, class: 'spark-area' }),
    svg('polyline', { points: line, class: 'spark-line' }));
}

function drawRates(now) {
  if (before && now.at > before.at && total(now.received) >= total(before.received)) {
    const seconds = (now.at - before.at) / 1000;
    const each = Object.fromEntries(SIGNALS.map((s) => [s, ((now.received[s] ?? 0) - (before.received[s] ?? 0)) / seconds]));
    rates.push(total(each));
    if (rates.length > RATES_MAX) rates.shift();
    setText('rate', `${short(total(each))} /s`);
    setText('rate-by', listed(each) || 'records per second');
  } else if (!before) {
    setText('rate-by', 'measuring');
  }
  before = now;
  drawSpark(rates);
}

function drawCounters(text) {
  const samples = readMetrics(text);
  const received = sums(samples, 'observex_ingest_signals_received_total', 'type');
  const acked = sums(samples, 'observex_ingest_signals_acknowledged_total', 'type');
  const dropped = sums(samples, 'observex_ingest_signals_dropped_total', 'reason');
  const repeated = total(sums(samples, 'observex_ingest_signals_duplicate_total', 'type'));
  drawRates({ at: performance.now(), received });
  setText('acked', short(total(acked)));
  setText('acked-by', listed(acked) || 'records since the start');
  setText('dropped', short(total(dropped)));
  setText('dropped-by', [listed(dropped) || 'nothing dropped', repeated ? `repeated ${short(repeated)}` : ''].filter(Boolean).join(' · '));
  $('dropped').classList.toggle('alarm', total(dropped) > 0);
}

function drawJournal(id, j, text) {
  setText(id, bytes(j.bytes));
  $(`${id}-fill`).value = j.bytes / j.limit_bytes;
  $(`${id}-fill`).title = `${((100 * j.bytes) / j.limit_bytes).toFixed(1)} % of ${bytes(j.limit_bytes)}`;
  setText(`${id}-by`, text);
}

const plural = (n, word) => `${count(n)} ${word}${n === 1 ? '' : 's'}`;

function drawStatus(status) {
  setText('version', `${status.version} · ${status.mode} · tenant ${status.tenant}`);
  role = status.role;
  setText('flight', short(status.in_flight.records));
  setText('flight-by', `records, ${bytes(status.in_flight.body_bytes)} · ${plural(status.in_flight.tenants, 'tenant')} active`);
  drawJournal('wal', status.wal, `${plural(status.wal.segments, 'segment')} of at most ${bytes(status.wal.limit_bytes)}`);
  const waiting = status.outbox.blocks > 0
    ? `${plural(status.outbox.blocks, 'block')}, ${short(status.outbox.rows)} rows on the way`
    : 'no block is on the way';
  const spill = status.spill ?? { tenants: 0, entries: 0, bytes: 0 };
  const backlog = spill.entries > 0
    ? ` · ${plural(spill.entries, 'request')} of ${plural(spill.tenants, 'tenant')} in a backlog, ${bytes(spill.bytes)}`
    : '';
  drawJournal('outbox', status.outbox, waiting + backlog);
  if (status.listen) {
    listen = status.listen;
    drawWays();
  }
  return caveats(status.meta, '');
}

function drawReady(ready) {
  const pill = $('ready');
  const good = ready.status === 200 && ready.body?.ready;
  setText('ready', good ? 'Ready' : 'Not ready');
  pill.className = `pill ${good ? 'good' : 'bad'}`;
  const reasons = ready.body?.reasons ?? [];
  setText('reasons', reasons.join('. '));
  $('reasons').hidden = reasons.length === 0;
}

function lost(e) {
  setText('ready', 'No answer');
  $('ready').className = 'pill bad';
  before = undefined;
  throw e;
}

const loadHealth = () => panel('health-note',
  async () => {
    const [ready, metrics, status] = await Promise.all([askAny('/ready'), fetchText('/metrics'), ask('/api/v1/status')])
      .catch(lost);
    return { ready, metrics, status };
  },
  ({ ready, metrics, status }) => {
    drawReady(ready);
    drawCounters(metrics.text);
    return drawStatus(status);
  });

// ---- how to send ----

// A server that listens on every address is reached by the name under which this page was loaded.
const reachable = (address) => address.replace(/^(0\.0\.0\.0|\[::\])(?=:\d+$)/, location.hostname);

function command(title, text) {
  const button = el('button', { type: 'button', onclick: async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = 'Copied';
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = 'Selected: press Ctrl-C';
    }
    setTimeout(() => { button.textContent = 'Copy'; }, 2500);
  } }, 'Copy');
  const code = el('code', {}, text);
  return el('div', { class: 'way' }, el('h3', {}, title), el('pre', { tabindex: '0' }, code), button);
}

const firstSpan = (http) => `now=$(date +%s%N)
curl http://${http}/v1/traces -H 'content-type: application/json' -d '{"resourceSpans":[{
  "resource":{"attributes":[{"key":"service.name","value":{"stringValue":"hello"}}]},
  "scopeSpans":[{"spans":[{"traceId":"'$(openssl rand -hex 16)'","spanId":"'$(openssl rand -hex 8)'","name":"first span",
    "kind":2,"startTimeUnixNano":"'$((now-250000000))'","endTimeUnixNano":"'$now'"}]}]}]}'`;

function ways() {
  const http = reachable(listen.otlp_http);
  const grpc = reachable(listen.otlp_grpc);
  return [
    el('p', {}, 'OTLP over HTTP ', el('code', {}, `http://${http}`), ' and over gRPC ', el('code', {}, `http://${grpc}`), '.'),
    command('Any OpenTelemetry SDK', `export OTEL_EXPORTER_OTLP_ENDPOINT=http://${http}\nexport OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf`),
    command('One span with curl', firstSpan(http)),
    command('A shop of twelve services whose checkout goes slow', `build/observex demo --otlp-http http://${http} --history 600 --rate 50`),
  ];
}

let waysFor;
function drawWays() {
  if (waysFor === show(listen)) return;
  waysFor = show(listen);
  $('ways-body').replaceChildren(...ways());
  $('hello-ways').replaceChildren(...ways());
}
