// SPDX-License-Identifier: Apache-2.0
// One trace: a tree beside bars on a common time axis; a click unfolds a span's fields and logs.

const SPANS_STEP = 1000; // drawn at once; a button draws more
const DEPTH_SHOWN = 16; // deeper spans are indented no further
const TICKS = 4;

function fields(object) {
  const names = Object.keys(object);
  if (names.length === 0) return el('p', { class: 'faint' }, 'none');
  return el('dl', { class: 'fields' }, names.map((name) => [el('dt', {}, name),
    el('dd', { class: typeof object[name] === 'string' ? '' : 'typed' }, typeof object[name] === 'string' ? object[name] : show(object[name]))]));
}

const block = (title, ...content) => el('section', { class: 'block' }, el('h4', {}, title), ...content);

// Members of `object` that say something.
function told(object, names) {
  const out = {};
  for (const name of names)
    if (object[name] !== '' && object[name] !== 0 && object[name] !== undefined) out[name] = object[name];
  return out;
}

function eventLine(e, start) {
  return el('li', {}, el('b', {}, e.name), el('span', { class: 'faint' }, e.time ? ` at +${duration(Number(nanos(e.time) - start))}` : ' without time'), fields(e.attributes));
}

function linkLine(l) {
  return el('li', {}, el('button', { type: 'button', class: 'link mono', onclick: () => openTrace(l.trace_id) }, l.trace_id),
    el('span', { class: 'faint mono' }, ` ${l.span_id}`), fields(l.attributes));
}

function spanDetails(s, trace) {
  const own = trace.logs.filter((l) => l.span_id === s.span_id);
  const basics = told(s, ['span_id', 'parent_span_id', 'kind', 'status_code', 'status_message', 'start_time', 'trace_state', 'flags',
    'dropped_attributes_count', 'dropped_events_count', 'dropped_links_count']);
  if (s.sample_weight !== 1) basics.sample_weight = s.sample_weight;
  return el('div', { class: 'details' },
    block('Attributes', fields(s.attributes)),
    block('Span', fields(basics)),
    s.events.length ? block(`Events (${s.events.length})`, el('ul', {}, s.events.map((e) => eventLine(e, trace.origin)))) : '',
    s.links.length ? block(`Links (${s.links.length})`, el('ul', {}, s.links.map(linkLine))) : '',
    own.length ? block(`Logs of this span (${own.length})`, el('ul', { class: 'rows logs' }, own.map((l) => logRow(l, true)))) : '',
    block('Resource', fields(s.resource.attributes)),
    block('Scope', fields({ ...told(s.scope, ['name', 'version']), ...s.scope.attributes })));
}

function spanBar(s, trace) {
  const offset = Number(nanos(s.start_time) - trace.origin);
  const length = Math.max(trace.duration_ns, 1);
  const from = Math.min(100, Math.max(0, (offset / length) * 100));
  const wide = Math.max(0.25, Math.min(100 - from, (s.duration_ns / length) * 100));
  const fill = el('span', { class: `span-bar ${s.status_code === 'ERROR' ? 'err' : colour(s.service_name)}` });
  fill.style.left = `${Math.min(from, 99.75)}%`;
  fill.style.width = `${wide}%`;
  const label = el('span', { class: 'span-took' }, duration(s.duration_ns));
  if (from + wide < 80) label.style.left = `${from + wide}%`;
  else label.style.right = `${100 - from}%`;
  if (from + wide >= 80 && wide > 12) {
    label.classList.add('inside');
    label.style.right = `${Math.max(0, 100 - from - wide)}%`;
  }
  return el('span', { class: 'span-lane' }, fill, label);
}

function seam(s) {
  if (s.orphan) return el('span', { class: 'tag', title: 'its parent is not stored' }, 'orphan');
  if (s.cycle) return el('span', { class: 'tag', title: 'its parents form a circle' }, 'cycle');
  return '';
}

function spanRow(s, trace) {
  const failed = s.status_code === 'ERROR';
  let details;
  const item = el('li', {});
  const button = el('button', { type: 'button', class: `span-row ${failed ? 'failed' : ''}`, 'aria-expanded': 'false',
    title: `${s.service_name}: ${s.name}`,
    onclick: () => {
      details ??= spanDetails(s, trace);
      if (details.isConnected) details.remove();
      else item.append(details);
      button.setAttribute('aria-expanded', details.isConnected);
    } });
  const name = el('span', { class: 'span-name' }, dot(s.service_name), failed ? el('span', { class: 'err-mark', title: 'failed' }, '!') : '',
    el('b', {}, s.service_name), ' ', s.name, seam(s));
  name.style.paddingInlineStart = `${Math.min(s.depth, DEPTH_SHOWN) * 0.85}rem`;
  button.append(name, spanBar(s, trace));
  item.append(button);
  return item;
}

function axis(trace) {
  const marks = Array.from({ length: TICKS + 1 }, (_, i) => {
    const tick = el('span', { class: `tick ${i === TICKS ? 'last' : ''}` }, i === 0 ? '0' : duration((trace.duration_ns * i) / TICKS));
    tick.style.left = `${(100 * i) / TICKS}%`;
    return tick;
  });
  return el('div', { class: 'axis-row', 'aria-hidden': 'true' }, el('span', {}), el('span', { class: 'ticks' }, marks));
}

function spanList(trace) {
  const list = el('ul', { class: 'rows spans' });
  const more = el('button', { type: 'button' });
  let shown = 0;
  const grow = () => {
    list.append(...trace.spans.slice(shown, shown + SPANS_STEP).map((s) => spanRow(s, trace)));
    shown = Math.min(shown + SPANS_STEP, trace.spans.length);
    more.textContent = `Show more: ${count(shown)} of ${count(trace.spans.length)} spans`;
    more.hidden = shown === trace.spans.length;
  };
  more.addEventListener('click', grow);
  grow();
  return [list, more];
}

function seams(trace) {
  const said = [];
  if (trace.orphan_count) said.push(`${plural(trace.orphan_count, 'span')} without a stored parent.`);
  if (trace.cycle_count) said.push(`${plural(trace.cycle_count, 'circle')} of parents, cut here.`);
  if (trace.duplicates_removed) said.push(`${plural(trace.duplicates_removed, 'span')} with an id that another has, left out.`);
  return said.join(' ');
}

function drawTrace(trace) {
  trace.origin = nanos(trace.start_time);
  const root = trace.spans[0];
  setText('trace-title', `${root.service_name}: ${root.name}`);
  $('trace-sub').replaceChildren(when(trace.start_time, true), ` · ${duration(trace.duration_ns)} · ${plural(trace.span_count, 'span')} · `,
    plural(trace.services.length, 'service'),
    trace.error_count ? el('span', { class: 'err-text' }, ` · ${plural(trace.error_count, 'error')}`) : '',
    el('span', { class: 'mono faint' }, ` · ${trace.trace_id}`));
  const logs = [...trace.logs].sort((a, b) => (a.time < b.time ? -1 : 1));
  $('trace-body').replaceChildren(
    el('div', { class: 'legend' }, trace.services.map((name) => el('span', {}, dot(name), name))),
    axis(trace), ...spanList(trace),
    el('h3', {}, `Logs of this trace (${logs.length})`),
    logs.length ? el('ul', { class: 'rows logs' }, logs.map((l) => logRow(l, true))) : el('p', { class: 'faint' }, 'No log record carries its id.'));
  return [caveats(trace.meta, 'The trace has more spans, or logs, than are shown.'), seams(trace)].filter(Boolean).join(' ');
}

function openTrace(id) {
  const wanted = id.trim().toLowerCase();
  if (view.trace !== wanted) {
    view.trace = wanted;
    saveView(true);
  }
  setText('trace-title', 'Trace');
  setText('trace-sub', wanted);
  setText('trace-note', '');
  $('trace-body').replaceChildren();
  if (!$('trace').open) $('trace').showModal();
  return panel('trace-note', () => ask(`/api/v1/traces/${encodeURIComponent(wanted)}`, { correlate: 'true' }), drawTrace);
}

function closeTrace() {
  if ($('trace').open) $('trace').close();
}
