// SPDX-License-Identifier: Apache-2.0
//
// Starts build/observex on free ports and a directory of its own, asks its API, ends it by its pid.
import { spawn, execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import https from 'node:https';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
export const binary = process.env.OBSERVEX ?? path.join(root, 'build/observex');

// Waits until probe() gives something other than undefined, at most timeoutMs.
export async function until(what, probe, timeoutMs = 30000, everyMs = 50) {
  const end = Date.now() + timeoutMs;
  let last;
  for (;;) {
    try {
      const got = await probe();
      if (got !== undefined) return got;
      last = 'not yet';
    } catch (e) {
      last = e;
    }
    if (Date.now() > end) throw new Error(`${what}: not within ${timeoutMs} ms (${last?.message ?? last})`);
    await new Promise((r) => setTimeout(r, everyMs));
  }
}

export async function exists(file) {
  return stat(file).then(() => true, () => false);
}

// fetch() takes no certificates.
export function askOverTls(url, { method = 'GET', headers = {}, body, ca, cert, key } = {}) {
  return new Promise((resolve, reject) => {
    const req = https.request(url, { method, headers, ca, cert, key, agent: false, timeout: 40000 }, (res) => {
      const parts = [];
      res.on('data', (d) => parts.push(d));
      res.on('error', reject);
      res.on('end', () => {
        const text = Buffer.concat(parts).toString();
        let json;
        try { json = JSON.parse(text); } catch { /* Prometheus text */ }
        resolve({ status: res.statusCode, json, text, headers: new Headers(res.headers) });
      });
    });
    req.on('error', reject);
    req.end(body);
  });
}

export class Server {
  static async start(extra = [], tls = undefined) {
    const s = new Server();
    s.tls = tls;
    s.dir = await mkdtemp(path.join(tmpdir(), 'observex-e2e-'));
    s.extra = extra;
    await s.launch();
    return s;
  }

  async launch() {
    const ready = path.join(this.dir, 'ready.json');
    await rm(ready, { force: true });
    this.log = [];
    this.child = spawn(
      binary,
      ['serve', '--data', path.join(this.dir, 'data'), '--otlp-grpc', '127.0.0.1:0', '--otlp-http', '127.0.0.1:0',
        '--api', '127.0.0.1:0', '--debug', '127.0.0.1:0', '--ready-file', ready, ...this.extra],
      { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.child.stdout, this.child.stderr])
      stream.on('data', (d) => { this.log.push(d); if (this.log.length > 400) this.log.shift(); });
    this.exited = new Promise((r) => this.child.once('exit', (code, signal) => r({ code, signal })));
    let ended;
    this.exited.then((e) => { ended = e; });
    await until('the ready file', async () => {
      if (ended) throw new Error(`serve ended: ${JSON.stringify(ended)}\n${this.text()}`);
      if (!(await exists(ready))) return undefined;
      return this.readReady();
    }, 60000).catch((e) => { throw new Error(`${e.message}\n${this.text()}`); });
    await until('/ready', async () => ((await this.get('/ready')).status === 200 ? true : undefined), 60000);
  }

  text() {
    return Buffer.concat(this.log).toString().slice(-6000);
  }

  async readReady() {
    this.ready = JSON.parse(await readFile(path.join(this.dir, 'ready.json'), 'utf8'));
    return this.ready;
  }

  get scheme() { return this.ready.tls_cert_file ? 'https' : 'http'; }
  get http() { return `${this.scheme}://${this.ready.otlp_http}`; }
  get grpc() { return `${this.scheme}://${this.ready.otlp_grpc}`; }
  get api() { return `${this.scheme}://${this.ready.api}`; }

  // tls: ca, cert and key (PEM) of whoever asks a server with TLS.
  async get(pathAndQuery, headers = {}) {
    if (this.scheme === 'https') return askOverTls(this.api + pathAndQuery, { headers, ...this.tls });
    const res = await fetch(this.api + pathAndQuery, { headers, signal: AbortSignal.timeout(40000) });
    const text = await res.text();
    let json;
    try { json = JSON.parse(text); } catch { /* Prometheus text */ }
    return { status: res.status, json, text, headers: res.headers };
  }

  // The answer's object; anything but 200 is an error.
  async ask(pathAndQuery) {
    const { status, json, text } = await this.get(pathAndQuery);
    if (status !== 200) throw new Error(`${pathAndQuery} gives ${status}: ${text.slice(0, 500)}`);
    return json;
  }

  // Rows of SQL as the owner of the directory.
  async sql(statement) {
    const { stdout } = await run(binary, ['sql', '--data', path.join(this.dir, 'data'), '--format', 'TSV', statement],
      { maxBuffer: 256 << 20 });
    return stdout.split('\n').filter((l) => l !== '').map((l) => l.split('\t'));
  }

  // Sums of a metric over its label sets that agree with `labels`.
  async metric(name, labels = {}) {
    const { text } = await this.get('/metrics');
    let sum = 0;
    for (const line of text.split('\n')) {
      const m = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
      if (!m || m[1] !== name) continue;
      const have = Object.fromEntries([...(m[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map((x) => [x[1], x[2]]));
      if (Object.entries(labels).every(([k, v]) => have[k] === v)) sum += Number(m[3]);
    }
    return sum;
  }

  kill(pid, signal = 'SIGKILL') {
    try { process.kill(pid, signal); } catch (e) { if (e.code !== 'ESRCH') throw e; }
  }

  // SIGTERM; resolves to how it ended.
  async stop() {
    this.kill(this.child.pid, 'SIGTERM');
    const timer = setTimeout(() => this.kill(this.child.pid), 30000);
    const how = await this.exited;
    clearTimeout(timer);
    return how;
  }

  async remove() {
    await rm(this.dir, { recursive: true, force: true, maxRetries: 5 });
  }
}
