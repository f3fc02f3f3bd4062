// The baseline: oidc-provider, client_credentials with private_key_jwt and DPoP, over TLS.
// node server.mjs PORT KEY.pem CHAIN.pem JWK [DSN [PROCESSES]]
// With a DSN what it keeps stands in PostgreSQL, as ours does; without, in its own memory.
import cluster from 'node:cluster';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import pg from 'pg';
import Provider from 'oidc-provider';

const [port, key, chain, jwk, dsn, processes = '1'] = process.argv.slice(2);
const pool = dsn ? new pg.Pool({ connectionString: dsn, max: 8 }) : undefined;

class Kept {
  constructor(name) { this.name = name; }

  async upsert(id, payload, seconds) {
    await pool.query({
      name: 'upsert',
      text: `INSERT INTO kept (name, id, payload, expires) VALUES ($1, $2, $3, $4)
        ON CONFLICT (name, id) DO UPDATE SET payload = $3, expires = $4`,
      values: [this.name, id, payload, new Date(Date.now() + seconds * 1000)],
    });
  }

  async find(id) {
    const { rows } = await pool.query({
      name: 'find',
      text: 'SELECT payload FROM kept WHERE name = $1 AND id = $2 AND expires > now()',
      values: [this.name, id],
    });
    return rows[0]?.payload;
  }
}

await pool?.query(`CREATE TABLE IF NOT EXISTS kept (name text, id text, payload jsonb,
  expires timestamptz, PRIMARY KEY (name, id))`);

const provider = new Provider(`https://127.0.0.1:${port}`, {
  ...(pool && { adapter: Kept }),
  clients: [{
    client_id: 'asker',
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    scope: 'bgz',
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: 'ES256',
    jwks: { keys: [JSON.parse(jwk)] },
  }],
  clientAuthMethods: ['private_key_jwt'],
  scopes: ['bgz'],
  features: {
    clientCredentials: { enabled: true },
    dPoP: { enabled: true },
    devInteractions: { enabled: false },
  },
});

if (cluster.isPrimary && Number(processes) > 1) {
  for (let n = 0; n < Number(processes); n += 1) cluster.fork();
} else {
  createServer({ key: readFileSync(key), cert: readFileSync(chain) }, provider.callback())
    .listen(Number(port), '127.0.0.1');
}
