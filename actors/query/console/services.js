// SPDX-License-Identifier: Apache-2.0
// The services: how much, how bad, how slow. A click narrows traces and logs to one of them.

let anyErrors = false;

function chooseService(name) {
  view.service = view.service === name ? '' : name;
  saveView();
  refreshAll();
}

function bar(share, kind, text) {
  const fill = el('span', { class: `bar-fill ${kind}` });
  fill.style.width = share > 0 ? `${Math.max(1.5, share * 100)}%` : '0';
  return el('span', { class: 'bar-cell' }, el('span', { class: 'bar', 'aria-hidden': 'true' }, fill), el('span', { class: 'bar-text' }, text));
}

function serviceRow({ s, chosen, slowest }) {
  const rate = s.error_rate;
  const errors = s.errors > 0 ? `${(rate * 100).toFixed(rate < 0.1 ? 1 : 0)} %` : '0';
  const row = el('tr', { class: chosen ? 'chosen' : '' },
    el('th', { scope: 'row' }, el('button', { type: 'button', class: 'link', 'aria-pressed': chosen, onclick: () => chooseService(s.name) },
      dot(s.name), s.name)),
    el('td', { class: 'right', title: `${s.spans_per_second.toFixed(2)} per second` }, short(s.spans)),
    el('td', { title: `${count(s.errors)} failed spans` }, bar(rate, 'err', errors)),
    el('td', { title: `p50 ${duration(s.p50_ns)}, p99 ${duration(s.p99_ns)}` },
      s.spans > 0 ? bar(slowest > 0 ? s.p95_ns / slowest : 0, 'p95', duration(s.p95_ns)) : '–'),
    el('td', { class: 'right wide', title: `${count(s.log_errors)} of them errors, ${count(s.points)} metric points` },
      short(s.logs), s.log_errors > 0 ? el('span', { class: 'err-text' }, ` ${short(s.log_errors)}!`) : ''));
  return row;
}

function drawServices(answer) {
  const list = answer.services.sort((a, b) => b.errors - a.errors || b.p95_ns - a.p95_ns || (a.name < b.name ? -1 : 1));
  [...list].sort((a, b) => (a.name < b.name ? -1 : 1)).forEach((s) => colour(s.name));
  anyErrors = list.some((s) => s.errors > 0);
  const slowest = Math.max(0, ...list.map((s) => s.p95_ns));
  keep($('services-rows'), list.map((s) => ({ s, chosen: s.name === view.service, slowest })), (x) => x.s.name, serviceRow);
  setText('services-count', list.length > 0 ? plural(list.length, 'service') : '');
  $('all-services').hidden = view.service === '';
  $('hello').hidden = list.length > 0;
  for (const id of ['data', 'logs', 'ways']) $(id).hidden = list.length === 0;
  offerServices(list.map((s) => s.name).sort());
  return caveats(answer.meta, 'There are more services than are shown.');
}

const loadServices = () => panel('services-note', () => ask('/api/v1/services/stats', { time: view.range }), drawServices);
