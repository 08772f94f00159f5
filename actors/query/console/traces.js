// SPDX-License-Identifier: Apache-2.0
// The traces: failed, slowest, newest; as dots over time and as a list.

const LISTED = 50;
const SEARCHED = 500; // newest traces among which the slowest are looked for
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
  const low = Math.log10(Math.max(1e3, Math.min(...list.map((t) => t.duration_ns))));
  const high = Math.max(low + 1, Math.log10(Math.max(1e3, ...list.map((t) => t.duration_ns))));
  return { from, to, low, high,
    x: (t) => LEFT + 8 + ((Date.parse(t.start_time) - from) / (to - from)) * (width - LEFT - 18),
    y: (log) => HEIGHT - 24 - ((log - low) / (high - low)) * (HEIGHT - 38) };
}

function gridLines(s, width) {
  const lines = [];
  for (let e = Math.ceil(s.low); e <= s.high; e++) {
    const y = s.y(e);
    lines.push(svg('line', { x1: LEFT, x2: width, y1: y, y2: y, class: 'grid' }),
      svg('text', { x: LEFT - 6, y: y + 4, class: 'axis', 'text-anchor': 'end' }, duration(10 ** e).replace(/\.0+ /, ' ')));
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

function traceParams() {
  const limit = view.tab === 'newest' ? 200 : view.tab === 'failed' ? 200 : SEARCHED;
  return { time: view.range, service: view.service, status: view.tab === 'failed' ? 'error' : '', limit };
}

function drawTraces(answer) {
  const list = view.tab === 'slowest' ? answer.traces.sort((a, b) => b.duration_ns - a.duration_ns) : answer.traces;
  const shown = list.slice(0, LISTED);
  drawScatter(list);
  keep($('traces-rows'), shown, (t) => t.trace_id, traceRow);
  setText('traces-title', view.service ? `Traces of ${view.service}` : 'Traces');
  if (list.length === 0)
    $('traces-rows').replaceChildren(el('li', { class: 'nothing' }, view.tab === 'failed' ? 'No trace failed in this range.' : 'No traces in this range.'));
  const among = `Among the newest ${count(answer.meta.limit)} of this range`;
  return caveats(answer.meta, view.tab === 'slowest' ? `${among}; older ones may be slower.` : `${among}.`);
}

const loadTraces = () => panel('traces-note', () => ask('/api/v1/traces', traceParams()), drawTraces);

function chooseTab(tab) {
  view.tab = tab;
  for (const b of document.querySelectorAll('[data-tab]')) b.setAttribute('aria-pressed', b.dataset.tab === tab);
  saveView();
  return loadTraces();
}
