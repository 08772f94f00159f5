// SPDX-License-Identifier: Apache-2.0
// Questions to the read API, and how their errors and limits are shown.

const TIMEOUT_MS = 35000; // a little more than query.timeout, so that the server's own sentence arrives

class Refused extends Error {
  constructor(status, body) {
    const e = body?.error;
    super([e?.message ?? `the server answered ${status}`, e?.hint].filter(Boolean).join('. '));
    this.status = status;
  }
}

// JSON.parse rounds whole numbers beyond 2^53; here they become BigInt. The mark is new with each load of the page,
// so that no sender's text can pass for a number.
const mark = `int:${crypto.getRandomValues(new Uint32Array(4)).join('-')}:`;
function parse(text) {
  const marked = text.replace(/"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g,
    (m) => (m.length > 15 && /^-?\d+$/.test(m) ? `"${mark}${m}"` : m));
  return JSON.parse(marked, (_, v) => (typeof v === 'string' && v.startsWith(mark) ? BigInt(v.slice(mark.length)) : v));
}

async function fetchText(path, more = {}) {
  const key = sessionStorage.getItem('key');
  try {
    const res = await fetch(path, { ...more, headers: { ...more.headers, ...(key ? { 'x-api-key': key } : {}) }, signal: AbortSignal.timeout(TIMEOUT_MS) });
    return { status: res.status, text: await res.text(), retry: Number(res.headers.get('retry-after') ?? 1) };
  } catch (e) {
    throw new Error(e.name === 'TimeoutError' ? `no answer within ${TIMEOUT_MS / 1000} s` : 'the server does not answer; is it running?');
  }
}

// The answer's object, whatever its status; undefined when it is no JSON.
async function askAny(path, more) {
  const { status, text, retry } = await fetchText(path, more);
  try {
    return { status, body: parse(text), retry };
  } catch {
    return { status, body: undefined, retry };
  }
}

async function ask(path, params = {}) {
  const query = new URLSearchParams(Object.entries(params).filter(([, v]) => v !== '' && v !== undefined));
  const { status, body } = await askAny(query.size > 0 ? `${path}?${query}` : path);
  if (status === 401) sessionEnded();
  if (status !== 200 || body === undefined) throw new Refused(status, body);
  return body;
}

// An order, with what shows that it comes from this page and not from another one that the browser has open.
const post = (what) => ({ method: 'POST', body: JSON.stringify(what),
  headers: { 'content-type': 'application/json', ...(session.csrf ? { 'x-observex-csrf': session.csrf } : {}) } });

// Its answer's object.
async function order(path, what) {
  const { status, body } = await askAny(path, post(what));
  if (status === 401) sessionEnded();
  if (status !== 200) throw new Refused(status, body);
  return body;
}

// "Sampled at 20 %: the 812 stored spans stand for 4,060 (3,790 to 4,330)."
function sampledText(s) {
  const bounds = s.spans_low === undefined ? '' : ` (${count(Math.round(s.spans_low))} to ${count(Math.round(s.spans_high))})`;
  return `Sampled at ${Number((s.rate * 100).toPrecision(3))} %: the ${plural(s.spans_stored, 'stored span')} stand for ${count(Math.round(s.spans))}${bounds}.`;
}

// What an answer says about itself, in words; '' when it is whole.
function caveats(meta, what) {
  const said = [];
  if (meta?.partial) said.push(`Partial: ${meta.partial_reasons.join('; ')}.`);
  if (meta?.truncated) said.push(what);
  if (meta?.sampled) said.push(sampledText(meta.sampling));
  return said.join(' ');
}

function note(id, text, bad) {
  setText(id, text);
  $(id).classList.toggle('bad', Boolean(bad));
}

// Runs load() and then draw(answer), unless a newer run of the same panel has begun meanwhile. draw returns what is
// to be said above the panel. An error stands there, and the panel keeps what it last showed.
const runs = new Map();
async function panel(id, load, draw) {
  const run = (runs.get(id) ?? 0) + 1;
  runs.set(id, run);
  try {
    const answer = await load();
    if (runs.get(id) === run) note(id, draw(answer) ?? '');
    return true;
  } catch (e) {
    if (runs.get(id) === run) note(id, `Error: ${e.message}`, true);
    return false;
  }
}
