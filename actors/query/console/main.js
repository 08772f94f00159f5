// SPDX-License-Identifier: Apache-2.0
// What is looked at (kept in the address, so that a link shows the same), and the refresh every five seconds.

const REFRESH_MS = 5000;
const TYPING_MS = 300;
const view = { range: '1h', service: '', tab: '', level: '', words: '', trace: '' };
const defaults = { ...view };
let paused = false;
let busy = false;
let again = false;
let moved = false; // what is looked at has changed since the last refresh
let updatedAt = 0;

function readView() {
  const params = new URLSearchParams(location.hash.slice(1));
  for (const name of Object.keys(view)) view[name] = params.get(name) ?? defaults[name];
}

function saveView(asStep) {
  const params = new URLSearchParams(Object.entries(view).filter(([k, v]) => v !== defaults[k]));
  const address = params.size > 0 ? `#${params}` : location.pathname;
  if (asStep) history.pushState(null, '', address);
  else history.replaceState(null, '', address);
}

function showView() {
  const range = $('range');
  if (![...range.options].some((o) => o.value === view.range)) range.append(el('option', { value: view.range }, view.range));
  range.value = view.range;
  $('logs-level').value = view.level;
  $('logs-words').value = view.words;
  if (view.trace) openTrace(view.trace);
  else closeTrace();
}

function loadTelemetry() {
  const logs = moved ? loadLogs() : refreshLogs();
  moved = false;
  // The services first: whether any of them fails decides which traces are shown.
  return [loadServices().then((ok) => loadTraces().then((also) => ok && also)), logs];
}

// One refresh at a time; one that is asked for meanwhile follows.
async function refresh() {
  if (!session.authenticated) return;
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  do {
    again = false;
    const health = loadHealth().then((ok) => loadTrouble().then((also) => ok && also));
    const fine = await Promise.all([health, ...(mayRead() ? loadTelemetry() : [])]);
    if (fine.some(Boolean)) updatedAt = Date.now();
    document.body.dataset.loaded = 'yes';
  } while (again && session.authenticated);
  busy = false;
  tellAge();
}

// After a change of what is looked at.
function refreshAll() {
  moved = true;
  return refresh();
}

function tellAge() {
  const seconds = Math.round((Date.now() - updatedAt) / 1000);
  setText('updated', updatedAt === 0 ? '' : seconds < 2 ? 'just now' : `${seconds} s ago`);
}

let typing;
function later(load) {
  clearTimeout(typing);
  typing = setTimeout(load, TYPING_MS);
}

$('range').addEventListener('change', (e) => { view.range = e.target.value; saveView(); refreshAll(); });
$('pause').addEventListener('click', () => {
  paused = !paused;
  $('pause').setAttribute('aria-pressed', paused);
  setText('pause', paused ? 'Go on' : 'Pause');
  if (!paused) refresh();
});
$('all-services').addEventListener('click', () => chooseService(view.service));
for (const b of document.querySelectorAll('[data-tab]')) b.addEventListener('click', () => chooseTab(b.dataset.tab));
for (const id of ['controls', 'logs-form']) $(id).addEventListener('submit', (e) => e.preventDefault());
$('find').addEventListener('submit', (e) => {
  e.preventDefault();
  if ($('trace-id').value.trim()) openTrace($('trace-id').value);
});
$('logs-service').addEventListener('change', (e) => { view.service = e.target.value; saveView(); refreshAll(); });
$('logs-level').addEventListener('change', (e) => { view.level = e.target.value; saveView(); loadLogs(); });
$('logs-words').addEventListener('input', (e) => later(() => { view.words = e.target.value; saveView(); loadLogs(); }));
$('trace-close').addEventListener('click', closeTrace);
$('trace').addEventListener('click', (e) => { if (e.target === $('trace')) closeTrace(); });
$('trace').addEventListener('close', () => {
  if (!view.trace) return;
  view.trace = '';
  saveView();
});
addEventListener('popstate', () => { readView(); showView(); refreshAll(); });
addEventListener('hashchange', () => { readView(); showView(); refreshAll(); });
document.addEventListener('visibilitychange', () => { if (!document.hidden && !paused) refresh(); });
setInterval(() => { if (!paused && !document.hidden) refresh(); }, REFRESH_MS);
setInterval(tellAge, 1000);

readView();
begin().then((somebody) => { if (somebody) showView(); }).catch((e) => { lost(e); });
