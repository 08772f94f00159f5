// SPDX-License-Identifier: Apache-2.0
// Elements, numbers, times, durations. Whatever a sender wrote becomes a text node here, never markup.

const $ = (id) => document.getElementById(id);

// el('td', {class: 'right', title: 't', onclick: f, 'data-x': 1}, 'text', child, ...)
function make(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? '' : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null) continue;
    node.append(child instanceof Node ? child : String(child));
  }
  return node;
}
const el = (tag, props, ...children) => make(document.createElement(tag), props, children);
const svg = (tag, props, ...children) => make(document.createElementNS('http://www.w3.org/2000/svg', tag), props, children);

const setText = (id, text) => { const node = $(id); if (node.textContent !== text) node.textContent = text; };

// Brings the children of `parent` in line with `items`, and leaves alone what did not change: what has the
// focus keeps it, what is unfolded stays so.
function keep(parent, items, keyOf, build) {
  const wanted = new Set(items.map(keyOf));
  for (const node of [...parent.children])
    if (!wanted.has(node.keepKey)) node.remove();
  const old = new Map([...parent.children].map((n) => [n.keepKey, n]));
  let at = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const sign = show(item);
    let node = old.get(key);
    if (node && node.keepSign !== sign) {
      const fresh = build(item, node);
      const focused = node.contains(document.activeElement);
      if (at === node) at = node.nextElementSibling;
      node.remove();
      node = fresh;
      node.refocus = focused;
    }
    node ??= build(item);
    node.keepKey = key;
    node.keepSign = sign;
    if (node === at) at = at.nextElementSibling;
    else parent.insertBefore(node, at);
    if (node.refocus) (node.matches('button') ? node : node.querySelector('button'))?.focus();
    node.refocus = false;
  }
}

// Any value as text. Whole numbers beyond 2^53 arrive as BigInt (ask.js).
function show(v) {
  if (typeof v === 'bigint') return v.toString();
  if (typeof v === 'string') return JSON.stringify(v);
  if (Array.isArray(v)) return `[${v.map(show).join(', ')}]`;
  if (v && typeof v === 'object') return `{${Object.entries(v).map(([k, x]) => `${JSON.stringify(k)}: ${show(x)}`).join(', ')}}`;
  return String(v);
}

const count = (n) => Number(n).toLocaleString('en-US', { maximumFractionDigits: n < 10 ? 1 : 0 });

function short(n) {
  if (n < 10000) return count(n);
  for (const [unit, size] of [['G', 1e9], ['M', 1e6], ['k', 1e3]])
    if (n >= size) return `${(n / size).toFixed(n / size < 100 ? 1 : 0)} ${unit}`;
  return count(n);
}

function bytes(n) {
  for (const [unit, size] of [['GiB', 2 ** 30], ['MiB', 2 ** 20], ['KiB', 2 ** 10]])
    if (n >= size) return `${(n / size).toFixed(n / size < 10 ? 1 : 0)} ${unit}`;
  return `${n} B`;
}

function duration(ns) {
  if (ns < 1e3) return `${Math.round(ns)} ns`;
  if (ns < 1e6) return `${(ns / 1e3).toFixed(ns < 1e4 ? 1 : 0)} µs`;
  if (ns < 1e9) return `${(ns / 1e6).toFixed(ns < 1e7 ? 2 : ns < 1e8 ? 1 : 0)} ms`;
  if (ns < 60e9) return `${(ns / 1e9).toFixed(2)} s`;
  return `${Math.floor(ns / 60e9)} min ${Math.round((ns % 60e9) / 1e9)} s`;
}

// RFC 3339 with nanoseconds, exactly: Date holds milliseconds only.
function nanos(text) {
  const digits = /\.(\d+)Z$/.exec(text)?.[1] ?? '';
  const seconds = BigInt(Date.parse(text.replace(/\.\d+Z$/, 'Z')) / 1000);
  return seconds * 1000000000n + BigInt(digits.padEnd(9, '0').slice(0, 9));
}

function when(text, withDay) {
  if (!text) return el('span', { class: 'faint' }, 'no time');
  const date = new Date(text);
  const ms = String(date.getMilliseconds()).padStart(3, '0');
  const clock = `${date.toLocaleTimeString('en-GB', { hour12: false })}.${ms}`;
  const today = new Date().toDateString() === date.toDateString();
  const day = today && !withDay ? '' : `${date.toLocaleDateString('en-CA')} `;
  return el('time', { datetime: text, title: `${text} (UTC)` }, day + clock);
}

// One colour per service, the same everywhere on the page. CSS has COLOURS of them.
const COLOURS = 12;
const colours = new Map();
function colour(service) {
  if (!colours.has(service)) colours.set(service, colours.size % COLOURS);
  return `c${colours.get(service)}`;
}
const dot = (service) => el('span', { class: `dot ${colour(service)}`, 'aria-hidden': 'true' });
