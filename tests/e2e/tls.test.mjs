// SPDX-License-Identifier: Apache-2.0
//
// Goal: the stock exporters send over TLS, and with client certificates as the tenants that these stand for; who has no
// certificate, a foreign one or another tenant's key gets nothing; certificates change under load without a lost record.
// Method: certificates made by openssl(1), the SDK's gRPC and HTTP exporters, the command line, files moved into place.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, rename, writeFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import tls from 'node:tls';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { Server, askOverTls, binary, until } from './harness.mjs';
import { Sdk, protocols } from './otel.mjs';

const run = promisify(execFile);

// A folder with an authority and what it signs.
class Authority {
  static async make() {
    const a = new Authority();
    a.dir = await mkdtemp(path.join(tmpdir(), 'observex-certs-'));
    await run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
      '-subj', '/CN=authority', '-keyout', a.at('ca.key'), '-out', a.at('ca.crt')]);
    a.ca = await readFile(a.at('ca.crt'));
    return a;
  }
  at(name) { return path.join(this.dir, name); }
  // NAME.crt and NAME.key, moved into place; selfSigned: not by the authority.
  async issue(name, subject, alternatives, selfSigned = false) {
    const by = selfSigned ? [] : ['-CA', this.at('ca.crt'), '-CAkey', this.at('ca.key')];
    await run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
      '-subj', subject, '-addext', `subjectAltName=${alternatives}`, '-addext', 'basicConstraints=CA:FALSE', ...by,
      '-keyout', this.at(`${name}.key.new`), '-out', this.at(`${name}.crt.new`)]);
    await rename(this.at(`${name}.key.new`), this.at(`${name}.key`));
    await rename(this.at(`${name}.crt.new`), this.at(`${name}.crt`));
    return { ca: this.ca, cert: await readFile(this.at(`${name}.crt`)), key: await readFile(this.at(`${name}.key`)) };
  }
  remove() { return rm(this.dir, { recursive: true, force: true }); }
}

async function sendThree(server, protocol, service, tlsFiles, key) {
  const sdk = new Sdk(server, protocol, { service, tls: tlsFiles, key });
  sdk.tracers.getTracer('t').startSpan('one').end();
  sdk.meters.getMeter('m').createCounter('c').add(1);
  sdk.loggers.getLogger('l').emit({ body: `log of ${service}` });
  await sdk.flush();
  await sdk.shutdown();
}

async function stored(server, service) {
  await until(`what ${service} sent`, async () => {
    const [[spans]] = await server.sql(`SELECT count() FROM otel_traces WHERE service_name = '${service}'`);
    const [[logs]] = await server.sql(`SELECT count() FROM otel_logs WHERE service_name = '${service}'`);
    const [[points]] = await server.sql(
      `SELECT count() FROM otel_metric_series WHERE service_name = '${service}'`);
    return spans === '1' && logs === '1' && points !== '0' ? true : undefined;
  });
  const [[tenant]] = await server.sql(`SELECT any(tenant_id) FROM otel_traces WHERE service_name = '${service}'`);
  return tenant;
}

// The CN of the certificate that is shown on a port.
function shown(server, ca) {
  const [host, port] = server.ready.otlp_http.split(':');
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host, port, ca, servername: 'localhost' }, () => {
      resolve(socket.getPeerCertificate().subject.CN);
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

describe('TLS', { timeout: 240000 }, () => {
  let authority, server;
  before(async () => {
    authority = await Authority.make();
    await authority.issue('server', '/CN=first', 'DNS:localhost,IP:127.0.0.1');
    server = await Server.start(['--tls-cert-file', authority.at('server.crt'), '--tls-key-file',
      authority.at('server.key')], { ca: authority.ca });
  });
  after(async () => {
    await server?.stop();
    await server?.remove();
    await authority?.remove();
  });

  for (const protocol of protocols) {
    test(`the stock exporters send by ${protocol}`, async () => {
      const service = `tls-${protocol.replace('/', '-')}`;
      await sendThree(server, protocol, service, { ca: authority.ca });
      assert.equal(await stored(server, service), 'default');
    });
  }

  test('who does not trust the authority does not talk to it, and plain HTTP is not answered as such', async () => {
    await assert.rejects(askOverTls(`${server.api}/health`), /self-signed|unable to verify|certificate/);
    await assert.rejects(fetch(`http://${server.ready.api}/health`));
  });

  test('the command line asks by directory, by authority, and not without', async () => {
    const data = path.join(server.dir, 'data');
    const { stdout } = await run(binary, ['status', '--data', data, '--json']);
    assert.equal(JSON.parse(stdout).phase, 'running');
    const by = await run(binary, ['status', '--api', server.api, '--ca-file', authority.at('ca.crt'), '--json']);
    assert.equal(JSON.parse(by.stdout).phase, 'running');
    const e = await run(binary, ['status', '--api', server.api]).then(() => null, (x) => x);
    assert.match(e.stderr, /certificate/);
    const sent = await run(binary, ['send', '--generate', '3', '--otlp-http', server.http, '--ca-file', authority.at('ca.crt')]);
    assert.match(sent.stdout, /traces: \d+ records acknowledged/);
  });

  test('a new certificate is taken under load, a bad one is not, and no record is lost', async () => {
    assert.equal(await shown(server, authority.ca), 'first');
    const sdk = new Sdk(server, 'grpc', { service: 'load', tls: { ca: authority.ca } });
    const tracer = sdk.tracers.getTracer('t');
    let sent = 0, going = true;
    const load = (async () => {
      while (going) {
        for (let i = 0; i < 20; i++, sent++) tracer.startSpan(`span ${sent}`).end();
        await sdk.flush();
      }
    })();
    for (const name of ['second', 'third', 'fourth']) {
      await authority.issue('server', `/CN=${name}`, 'DNS:localhost,IP:127.0.0.1');
      await until(`certificate ${name}`, async () => ((await shown(server, authority.ca)) === name ? true : undefined));
    }
    await writeFile(authority.at('server.crt'), 'this is no certificate\n');
    await until('the refusal', async () => ((await server.metric('observex_tls_reloads_total', { outcome: 'refused' })) > 0
      ? true : undefined));
    assert.equal(await shown(server, authority.ca), 'fourth');
    assert.match(server.text(), /what was in force goes on/);
    going = false;
    await load;
    await sdk.shutdown();
    await until('every span', async () => {
      const [[n]] = await server.sql("SELECT uniqExact(name) FROM otel_traces WHERE service_name = 'load'");
      return Number(n) === sent ? true : undefined;
    });
  });

  test('SIGHUP reads the files again', async () => {
    await authority.issue('server', '/CN=hup', 'DNS:localhost,IP:127.0.0.1');
    server.kill(server.child.pid, 'SIGHUP');
    await until('the new one', async () => ((await shown(server, authority.ca)) === 'hup' ? true : undefined));
  });
});

describe('client certificates', { timeout: 240000 }, () => {
  let authority, server, acme, globex, unknown, stranger, operator;
  before(async () => {
    authority = await Authority.make();
    await authority.issue('server', '/CN=server', 'DNS:localhost,IP:127.0.0.1');
    acme = await authority.issue('acme', '/CN=collector', 'URI:spiffe://prod/acme');
    globex = await authority.issue('globex', '/CN=globex-agent', 'DNS:agent.globex');
    unknown = await authority.issue('unknown', '/CN=unknown', 'DNS:nobody');
    operator = await authority.issue('operator', '/CN=ops', 'DNS:ops');
    stranger = await authority.issue('stranger', '/CN=collector', 'URI:spiffe://prod/acme', true);
    await writeFile(authority.at('clients'), 'uri:spiffe://prod/acme acme viewer ingest,query\n' +
      'cn:globex-agent globex viewer ingest.logs\ncn:ops platform operator admin\n');
    server = await Server.start(['--tls-cert-file', authority.at('server.crt'), '--tls-key-file', authority.at('server.key'),
      '--tls-ca-file', authority.at('ca.crt'), '--tls-clients-file', authority.at('clients')],
    { ca: authority.ca, cert: unknown.cert, key: unknown.key });
    const who = ['--ca-file', authority.at('ca.crt'), '--cert-file', authority.at('unknown.crt'), '--key-file',
      authority.at('unknown.key')];
    for (const tenant of ['acme', 'globex', 'platform'])
      await run(binary, ['tenant', 'create', tenant, '--api', server.api.replace('127.0.0.1', 'localhost'), ...who]);
  });
  after(async () => {
    await server?.stop();
    await server?.remove();
    await authority?.remove();
  });

  const devKey = async (tenant) => (await run(binary, ['key', 'dev', tenant, '--data', path.join(server.dir, 'data')])).stdout.trim();

  for (const protocol of protocols) {
    test(`a certificate sends as its tenant by ${protocol}`, async () => {
      const service = `mtls-${protocol.replace('/', '-')}`;
      await sendThree(server, protocol, service, acme);
      assert.equal(await stored(server, service), 'acme');
    });
    test(`no certificate and a foreign one send nothing by ${protocol}`, async () => {
      for (const files of [{ ca: authority.ca }, stranger]) {
        const sdk = new Sdk(server, protocol, { service: 'never', tls: files });
        sdk.loggers.getLogger('l').emit({ body: 'never' });
        await assert.rejects(sdk.flush());
        await sdk.shutdown();
      }
      const [[n]] = await server.sql("SELECT count() FROM otel_logs WHERE service_name = 'never'");
      assert.equal(n, '0');
    });
  }

  test('a certificate reads its tenant and does what it is for', async () => {
    const mine = await askOverTls(`${server.api}/api/v1/services`, acme);
    assert.equal(mine.status, 200);
    assert.ok(mine.text.includes('mtls-grpc'), mine.text);
    const theirs = await askOverTls(`${server.api}/api/v1/services`, globex);
    assert.equal(theirs.status, 403, 'its scope is ingest.logs');
    const ops = await askOverTls(`${server.api}/api/v1/tenants`, operator);
    assert.equal(ops.status, 200);
    const body = JSON.stringify({ resourceSpans: [] });
    const refused = await askOverTls(`${server.http}/v1/traces`, { ...globex, method: 'POST', body,
      headers: { 'content-type': 'application/json' } });
    assert.equal(refused.status, 403, refused.text);
  });

  test("another tenant's key does not go with a certificate", async () => {
    const post = (files, key) => askOverTls(`${server.http}/v1/logs`, { ...files, method: 'POST',
      body: JSON.stringify({ resourceLogs: [] }), headers: { 'content-type': 'application/json', 'x-api-key': key } });
    const key = await devKey('globex');
    assert.equal((await post(acme, key)).status, 403);
    assert.equal((await post(globex, key)).status, 200);
    assert.equal((await post(unknown, key)).status, 200, 'a certificate that stands for nobody says nothing');
  });

  test('a tenant that is disabled is out within a second, and a new table counts at once', async () => {
    const at = server.api.replace('127.0.0.1', 'localhost');
    const who = ['--ca-file', authority.at('ca.crt'), '--cert-file', authority.at('operator.crt'), '--key-file',
      authority.at('operator.key'), '--api', at];
    await run(binary, ['tenant', 'disable', 'acme', ...who]);
    await until('401', async () => ((await askOverTls(`${server.api}/api/v1/services`, acme)).status === 401 ? true : undefined), 2000);
    await run(binary, ['tenant', 'enable', 'acme', ...who]);
    await until('200', async () => ((await askOverTls(`${server.api}/api/v1/services`, acme)).status === 200 ? true : undefined), 2000);
    await writeFile(authority.at('clients.new'), 'cn:ops platform operator admin\n');
    await rename(authority.at('clients.new'), authority.at('clients'));
    await until('the new table', async () => {
      const { text } = await askOverTls(`${server.api}/api/v1/status`, acme);
      return text.includes('"tenant":"acme"') ? undefined : true;
    });
  });
});
