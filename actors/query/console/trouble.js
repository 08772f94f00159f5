// SPDX-License-Identifier: Apache-2.0
// For operators: tenants in quarantine with the question that lifts it, and what crashed lately. Others see nothing of it.

const CRASHES_SHOWN = 20;
const answers = new Map(); // tenant to what is typed: a refresh must not empty the field

const chargeText = (c) => (c.tenant ? `charged to tenant ${c.tenant}, log entry ${show(c.wal_seq)}: ${c.charge_means}` : 'charged to nobody');

function crashDetails(c) {
  return el('div', { class: 'details' },
    block('What', el('p', {}, c.text)),
    block('Charged to', el('p', {}, c.tenant ? `tenant ${c.tenant}, log entry ${show(c.wal_seq)}` : 'nobody'), el('p', { class: 'small' }, c.charge_means)),
    block('Life', el('p', {}, `${duration(Number(c.age_ms) * 1e6)}, after ${plural(c.restarts, 'restart')}`)),
    block('Where', el('pre', { tabindex: '0' }, c.backtrace || 'no backtrace')));
}

function crashRow(c) {
  const item = el('li', {});
  let details;
  const button = el('button', { type: 'button', class: 'log-row crash-row', 'aria-expanded': 'false',
    onclick: () => {
      details ??= crashDetails(c);
      if (details.isConnected) details.remove();
      else item.append(details);
      button.setAttribute('aria-expanded', details.isConnected);
    } },
  el('span', { class: 'log-time' }, when(c.time)),
  el('span', { class: `level ${c.scope === 'node' ? 'l-err' : 'l-warn'}` }, c.scope === 'node' ? 'node' : 'actor'),
  el('span', { class: 'log-service' }, c.name || c.kind || 'no actor'),
  el('span', { class: 'log-body' }, `${c.reason}: ${c.text}`));
  item.append(button);
  return item;
}

async function lift(q, typed) {
  try {
    await order(`/api/v1/quarantine/${encodeURIComponent(q.tenant)}/revoke`, { acknowledge_crashes: typed });
    answers.delete(q.tenant);
    await loadTrouble();
  } catch (e) {
    note('trouble-note', `Error: ${e.message}`, true);
  }
}

function quarantineRow(q) {
  const field = el('input', { type: 'number', min: '1', step: '1', required: true, inputmode: 'numeric', 'aria-label': `Crashes of tenant ${q.tenant}`,
    value: answers.get(q.tenant), oninput: (e) => answers.set(q.tenant, e.target.value) });
  const form = el('form', { class: 'lift', onsubmit: (e) => { e.preventDefault(); lift(q, Number(field.value)); } },
    el('label', { class: 'field' }, 'How often did it crash?', field), el('button', { type: 'submit' }, 'Lift the quarantine'));
  return el('li', { class: 'quarantine-row' },
    el('p', {}, el('strong', {}, q.tenant), ` is quarantined since `, when(q.since, true), `, after ${count(q.crashes)} crashes of its code.`),
    q.last ? el('p', { class: 'small' }, `Last: ${q.last.text}; ${chargeText(q.last)}.`) : undefined,
    el('p', { class: 'small' }, 'What it was acknowledged for is kept and goes on afterwards, in order. Whoever lifts it answers for the crashes: type their number.'),
    form);
}

function drawTrouble({ quarantine, crashes }) {
  $('trouble').hidden = quarantine.length === 0 && crashes.length === 0;
  setText('trouble-count', [quarantine.length > 0 ? `${plural(quarantine.length, 'tenant')} quarantined` : '', crashes.length > 0 ? 'newest crashes first' : ''].filter(Boolean).join(' · '));
  $('trouble').classList.toggle('alarm', quarantine.length > 0);
  if (!$('quarantine-rows').contains(document.activeElement))
    keep($('quarantine-rows'), quarantine, (q) => q.tenant, quarantineRow);
  keep($('crash-rows'), crashes, (c) => show(c.id), crashRow);
}

const loadTrouble = () => panel('trouble-note',
  async () => {
    if (role !== 'operator' && role !== 'local operator') return { quarantine: [], crashes: [] };
    const [q, c] = await Promise.all([ask('/api/v1/quarantine'), ask('/api/v1/crashes', { limit: CRASHES_SHOWN })]);
    return { quarantine: q.quarantine, crashes: c.crashes };
  },
  drawTrouble);
