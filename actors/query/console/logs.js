// SPDX-License-Identifier: Apache-2.0
// The logs: newest first, by service, level and words; a click unfolds a record.

const LOGS_SHOWN = 100;

const levelClass = (l) => `level ${l.severity_number >= 17 ? 'l-err' : l.severity_number >= 13 ? 'l-warn' : l.severity_number >= 9 ? 'l-info' : 'l-low'}`;

function logDetails(l, inTrace) {
  return el('div', { class: 'details' },
    block('Body', el('pre', { tabindex: '0' }, typeof l.body === 'string' ? l.body : show(l.body))),
    block('Attributes', fields(l.attributes)),
    block('Record', fields(told(l, ['time', 'observed_time', 'severity_text', 'severity_number', 'event_name', 'trace_id', 'span_id', 'dropped_attributes_count']))),
    block('Resource', fields(l.resource.attributes)),
    l.trace_id && !inTrace ? el('button', { type: 'button', onclick: () => openTrace(l.trace_id) }, 'Open its trace') : '');
}

function logRow(l, inTrace) {
  const item = el('li', {});
  let details;
  const button = el('button', { type: 'button', class: 'log-row', 'aria-expanded': 'false',
    onclick: () => {
      details ??= logDetails(l, inTrace);
      if (details.isConnected) details.remove();
      else item.append(details);
      button.setAttribute('aria-expanded', details.isConnected);
    } },
  el('span', { class: 'log-time' }, when(l.time)), el('span', { class: levelClass(l) }, l.level || '–'),
  el('span', { class: 'log-service' }, dot(l.service_name), l.service_name),
  el('span', { class: 'log-body' }, typeof l.body === 'string' ? l.body : show(l.body)));
  item.append(button);
  return item;
}

// Records have no id of their own: time, span and text, and which of several that are equal in all of them.
function numbered(list) {
  const seen = new Map();
  return list.map((l) => {
    const same = `${l.time} ${l.span_id} ${l.service_name} ${show(l.body)}`;
    seen.set(same, (seen.get(same) ?? 0) + 1);
    return { l, key: `${same} ${seen.get(same)}` };
  });
}

function drawLogs(answer) {
  keep($('logs-rows'), numbered(answer.logs), (x) => x.key, (x) => logRow(x.l, false));
  if (answer.logs.length === 0) $('logs-rows').replaceChildren(el('li', { class: 'nothing' }, 'No log record fits.'));
  return caveats(answer.meta, `The newest ${count(answer.meta.limit)} that fit.`);
}

// New records would push what is being read out of sight.
function refreshLogs() {
  if (!$('logs-rows').querySelector('.details')) return loadLogs();
  if (!$('logs-note').classList.contains('bad')) note('logs-note', 'Not refreshed while a record is open.');
  return Promise.resolve(true);
}

const loadLogs = () => panel('logs-note',
  () => ask('/api/v1/logs', { time: view.range, service: view.service, minLevel: view.level, q: view.words, limit: LOGS_SHOWN }), drawLogs);

// The services to choose from; one that is chosen stays even when it sent nothing lately.
function offerServices(names) {
  const list = view.service && !names.includes(view.service) ? [view.service, ...names] : names;
  const select = $('logs-service');
  if (select.dataset.names !== show(list)) {
    select.dataset.names = show(list);
    select.replaceChildren(el('option', { value: '' }, 'all'), ...list.map((n) => el('option', { value: n }, n)));
  }
  select.value = view.service;
}
