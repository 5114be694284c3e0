// A real OIDC provider (panva/oidc-provider, certified) as a process of its own.
// It prints its issuer as one line of JSON, and ends when its input does.
// usage: node provider.mjs PORT KEY-NAME  (PORT 0: any)
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const [port, kid] = [Number(process.argv[2]), process.argv[3]];
const people = {
  ada: { email: 'ada@example.com', name: 'Ada Lovelace', groups: ['ops', 'dev'] },
  grace: { email: 'grace@example.com', name: 'Grace Hopper', groups: ['dev'] },
};

function configuration(callback) {
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
  const client = (client_id, client_secret) => ({
    client_id, client_secret, redirect_uris: [callback], response_types: ['code'], grant_types: ['authorization_code'],
    id_token_signed_response_alg: 'ES256',
  });
  return {
    jwks: { keys: [{ ...key, kid, alg: 'ES256', use: 'sig' }] },
    clients: [client('lotabots', 'planted-client-secret'), client('grafana', 'another-secret')],
    claims: { openid: ['sub'], profile: ['name', 'preferred_username'], email: ['email', 'email_verified'], groups: ['groups'] },
    scopes: ['openid', 'profile', 'email', 'groups'],
    pkce: { required: () => true },
    cookies: { keys: ['a test'] },
    features: { devInteractions: { enabled: true } },
    ttl: { IdToken: 60 },
    findAccount: (_, id) => people[id] && {
      accountId: id,
      claims: () => ({ sub: id, preferred_username: id, email_verified: true, ...people[id] }),
    },
  };
}

const server = createServer();
server.listen(port, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, configuration('https://gw.example/auth/v1/oidc/callback'));
  server.on('request', provider.callback());
  console.log(JSON.stringify({ issuer }));
});
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
