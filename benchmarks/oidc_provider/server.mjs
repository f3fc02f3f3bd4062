// The baseline: oidc-provider, client_credentials with private_key_jwt and DPoP, over TLS.
// node server.mjs PORT KEY.pem CHAIN.pem JWK
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import Provider from 'oidc-provider';

const [port, key, chain, jwk] = process.argv.slice(2);

const provider = new Provider(`https://127.0.0.1:${port}`, {
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

createServer({ key: readFileSync(key), cert: readFileSync(chain) }, provider.callback())
  .listen(Number(port), '127.0.0.1');
