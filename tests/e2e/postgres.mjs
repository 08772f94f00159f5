// SPDX-License-Identifier: Apache-2.0
//
// A PostgreSQL server in a folder of its own, never as root: as root it becomes `nobody` before it starts.
// Nodes come by TCP with a password (SCRAM), the owner of the database by the Unix socket.
import { execFile, spawn } from 'node:child_process';
import { chmod, chown, mkdtemp, readdir, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { until } from './harness.mjs';

const run = promisify(execFile);
const NOBODY = 65534;
const as = process.getuid() === 0 ? { uid: NOBODY, gid: NOBODY } : {};

// The folder of initdb and postgres, or undefined.
export async function postgresBin() {
  const base = '/usr/lib/postgresql';
  const versions = await readdir(base).catch(() => []);
  return versions.length > 0 ? path.join(base, versions.sort((a, b) => b - a)[0], 'bin') : undefined;
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

export class Postgres {
  static async start() {
    const p = new Postgres();
    p.bin = await postgresBin();
    p.dir = await mkdtemp(path.join(tmpdir(), 'observex-pg-'));
    if (as.uid !== undefined) await chown(p.dir, as.uid, as.gid);
    await chmod(p.dir, 0o755);
    await run(path.join(p.bin, 'initdb'),
      ['-D', path.join(p.dir, 'data'), '-U', 'owner', '--auth-local=trust', '--auth-host=scram-sha-256', '-E', 'UTF8',
        '--locale=C', '--no-sync'], { ...as, cwd: p.dir });
    p.port = await freePort();
    await p.resume();
    await p.sql('CREATE DATABASE observex', 'postgres');
    return p;
  }

  get ownerUrl() { return `postgresql:///observex?host=${this.dir}&port=${this.port}&user=owner`; }
  get nodeUrl() { return `postgresql://observex_node@127.0.0.1:${this.port}/observex`; }

  async resume() {
    this.child = spawn(path.join(this.bin, 'postgres'),
      ['-D', path.join(this.dir, 'data'), '-k', this.dir, '-c', 'listen_addresses=127.0.0.1', '-c', `port=${this.port}`,
        '-c', 'fsync=off', '-c', 'shared_buffers=8MB'], { ...as, cwd: this.dir, stdio: 'ignore' });
    this.exited = new Promise((r) => this.child.once('exit', r));
    await until('PostgreSQL', async () => ((await this.sql('SELECT 1', 'postgres')) !== undefined ? true : undefined));
  }

  async sql(statement, database = 'observex') {
    const { stdout } = await run('psql', ['-h', this.dir, '-p', String(this.port), '-U', 'owner', '-d', database, '-Atqc', statement],
      { env: { ...process.env, PGCONNECT_TIMEOUT: '5' } });
    return stdout.trim();
  }

  // Fast shutdown: connections are ended.
  async halt() {
    this.child.kill('SIGINT');
    await this.exited;
  }

  // All of its processes stand still; its sockets stay open.
  async freeze() {
    const { stdout } = await run('ps', ['-o', 'pid=', '--ppid', String(this.child.pid)]);
    this.frozen = [this.child.pid, ...stdout.trim().split(/\s+/).map(Number)];
    for (const pid of this.frozen) process.kill(pid, 'SIGSTOP');
  }

  async thaw() {
    for (const pid of this.frozen) process.kill(pid, 'SIGCONT');
  }

  async stop() {
    if (this.child.exitCode === null) await this.halt();
    await rm(this.dir, { recursive: true, force: true, maxRetries: 5 });
  }
}
