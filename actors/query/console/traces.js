// SPDX-License-Identifier: Apache-2.0
// The traces: failed, slowest, newest; as dots over time and as a list.

const LISTED = 50;
const NEWEST = 200;
const SEARCHED = 1000; // the largest limit of the API
const HEIGHT = 130;
const LEFT = 52;

const failed = (t) => t.status === 'error';

function traceRow(t) {
  const name = `${t.root_service} ${t.root_operation}`;
  return el('li', {}, el('button', { type: 'button', class: `trace-row ${failed(t) ? 'failed' : ''}`, onclick: () => openTrace(t.trace_id),
    'aria-label': `${failed(t) ? 'failed, ' : ''}${name}, ${duration(t.duration_ns)}, ${plural(t.span_count, 'span')}` },
  el('span', { class: 'trace-name' }, dot(t.root_service), el('b', {}, t.root_service), ' ', t.root_operation,
    t.root_missing ? el('span', { class: 'faint' }, ' (root missing)') : ''),
  el('span', { class: 'trace-took' }, duration(t.duration_ns)),
  el('span', { class: 'trace-more faint' }, when(t.start_time), ` · ${plural(t.span_count, 'span')} · ${plural(t.service_count, 'service')}`,
    failed(t) ? el('span', { class: 'err-text' }, ` · ${plural(t.error_count, 'error')}`) : '')));
}

// Where ms lies between `from` and `to`, and a duration between `low` and `high` on a logarithmic scale.
function scales(list, width) {
  const times = list.map((t) => Date.parse(t.start_time));
  const from = Math.min(...times);
  const to = Math.max(...times, from + 1000);
  const logs = list.map((t) => Math.log10(Math.max(1e3, t.duration_ns)));
  const low = Math.min(...logs) - 0.05;
  const high = Math.max(...logs, low + 0.5) + 0.05;
  return { from, to, low, high,
    x: (t) => LEFT + 8 + ((Date.parse(t.start_time) - from) / (to - from)) * (width - LEFT - 18),
    y: (log) => HEIGHT - 24 - ((log - low) / (high - low)) * (HEIGHT - 38) };
}

function gridLines(s, width) {
  const lines = [];
  const marks = s.high - s.low > 1.5 ? [1] : [1, 2, 5];
  for (let e = Math.floor(s.low); e <= s.high; e++) {
    for (const ns of marks.map((m) => m * 10 ** e)) {
      const y = s.y(Math.log10(ns));
      if (y < 8 || y > HEIGHT - 22) continue;
      lines.push(svg('line', { x1: LEFT, x2: width, y1: y, y2: y, class: 'grid' }),
        svg('text', { x: LEFT - 6, y: y + 4, class: 'axis', 'text-anchor': 'end' }, duration(ns).replace(/\.0+ /, ' ')));
    }
  }
  const clock = (ms) => new Date(ms).toLocaleTimeString('en-GB', { hour12: false });
  lines.push(svg('text', { x: LEFT, y: HEIGHT - 5, class: 'axis' }, clock(s.from)),
    svg('text', { x: width - 4, y: HEIGHT - 5, class: 'axis', 'text-anchor': 'end' }, clock(s.to)));
  return lines;
}

function drawScatter(list) {
  const box = $('scatter');
  box.toggleAttribute('hidden', list.length === 0);
  if (list.length === 0) return;
  const width = Math.max(280, box.clientWidth);
  box.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`);
  const s = scales(list, width);
  const dots = [...list].sort((a, b) => failed(a) - failed(b)).map((t) => svg('circle', {
    cx: s.x(t).toFixed(1), cy: s.y(Math.log10(Math.max(1e3, t.duration_ns))).toFixed(1), r: failed(t) ? 4.5 : 3.5,
    class: failed(t) ? 'dot-err' : 'dot-ok', onclick: () => openTrace(t.trace_id) },
  svg('title', {}, `${t.root_service} ${t.root_operation}, ${duration(t.duration_ns)}${failed(t) ? ', failed' : ''}`)));
  box.replaceChildren(...gridLines(s, width), ...dots);
}

const search = (more) => ask('/api/v1/traces', { time: view.range, service: view.service, limit: SEARCHED, ...more });

// The API answers newest first. All traces above a duration, when they fit into one answer, hold the slowest ones
// exactly; so a duration is looked for above which there are enough and not too many.
const STEPS = ['0ms', '1ms', '10ms', '30ms', '100ms', '300ms', '1s', '3s', '10s', '30s', '100s'];
let step = 5; // where the last search ended
const searchStep = (at) => search({ minDuration: STEPS[at] });

async function searchSlowest() {
  let at = step;
  let cut; // the answer one step below, when it was truncated
  let found = await searchStep(at);
  while (found.meta.truncated && at < STEPS.length - 1) {
    cut = found;
    found = await searchStep(++at);
  }
  while (!found.meta.truncated && found.traces.length < LISTED && at > 0) {
    const more = cut ?? await searchStep(at - 1);
    if (more.meta.truncated) {
      const known = new Set(found.traces.map((t) => t.trace_id));
      return { ...more, complete: STEPS[at], traces: [...found.traces, ...more.traces.filter((t) => !known.has(t.trace_id))] };
    }
    found = more;
    at--;
  }
  step = at;
  return found;
}

const tabInForce = () => view.tab || (anyErrors ? 'failed' : 'slowest');

function searchTraces() {
  const tab = tabInForce();
  for (const b of document.querySelectorAll('[data-tab]')) b.setAttribute('aria-pressed', b.dataset.tab === tab);
  if (tab === 'slowest') return searchSlowest();
  return search(tab === 'failed' ? { status: 'error' } : { limit: NEWEST });
}

function limits(answer) {
  const newest = `the newest ${count(answer.meta.limit)} of this range`;
  if (answer.complete) return `All of ${answer.complete} and more; shorter ones among ${newest}.`;
  return tabInForce() === 'slowest' ? `The slowest of ${newest}; older ones may be slower.` : `Of ${newest}.`;
}

function drawTraces(answer) {
  const list = tabInForce() === 'slowest' ? answer.traces.sort((a, b) => b.duration_ns - a.duration_ns) : answer.traces;
  drawScatter(list);
  keep($('traces-rows'), list.slice(0, LISTED), (t) => t.trace_id, traceRow);
  setText('traces-title', view.service ? `Traces of ${view.service}` : 'Traces');
  if (list.length === 0)
    $('traces-rows').replaceChildren(el('li', { class: 'nothing' }, tabInForce() === 'failed' ? 'No trace failed in this range.' : 'No traces in this range.'));
  return caveats(answer.meta, limits(answer));
}

const loadTraces = () => panel('traces-note', searchTraces, drawTraces);

function chooseTab(tab) {
  view.tab = tab;
  saveView();
  return loadTraces();
}
