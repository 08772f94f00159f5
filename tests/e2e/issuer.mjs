// SPDX-License-Identifier: Apache-2.0
//
// An issuer of tokens: keys made by Node's crypto, the set that shows them on a port of its own, tokens signed with them.
import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import http from 'node:http';

const b64 = (data) => Buffer.from(typeof data === 'string' ? data : JSON.stringify(data)).toString('base64url');

const kinds = {
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: () => generateKeyPairSync('ed25519'),
};

export class Key {
  constructor(alg, kid) {
    this.alg = alg;
    this.kid = kid;
    Object.assign(this, kinds[alg]());
  }
  get jwk() { return { ...this.publicKey.export({ format: 'jwk' }), kid: this.kid, use: 'sig', alg: this.alg }; }
  // header: members in the place of, or beside, the usual ones.
  token(claims, header = {}) {
    const head = `${b64({ alg: this.alg, typ: 'JWT', kid: this.kid, ...header })}.${b64(claims)}`;
    const hash = this.alg === 'EdDSA' ? null : 'sha256';
    const signature = sign(hash, Buffer.from(head), { key: this.privateKey, dsaEncoding: 'ieee-p1363' });
    return `${head}.${signature.toString('base64url')}`;
  }
}

export function hs256(secret, claims) {
  const head = `${b64({ alg: 'HS256', typ: 'JWT' })}.${b64(claims)}`;
  return `${head}.${createHmac('sha256', secret).update(head).digest('base64url')}`;
}

export class Issuer {
  static async start() {
    const i = new Issuer();
    i.keys = [];
    i.asked = 0;
    i.server = http.createServer((req, res) => {
      i.asked++;
      res.setHeader('content-type', 'application/json');
      res.end(JSON.stringify({ keys: i.keys.map((k) => k.jwk) }));
    });
    await new Promise((r) => i.server.listen(0, '127.0.0.1', r));
    i.url = `http://127.0.0.1:${i.server.address().port}`;
    return i;
  }
  // What the issuer says of somebody; members that are undefined are left out.
  claims(more = {}) {
    const now = Math.floor(Date.now() / 1000);
    return { iss: this.url, aud: 'observex', sub: 'anna', iat: now, exp: now + 300, ...more };
  }
  stop() { return new Promise((r) => { this.server.closeAllConnections?.(); this.server.close(r); }); }
}
