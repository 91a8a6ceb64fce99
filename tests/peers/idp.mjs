// An identity provider: oidc-provider, with the client-credentials grant and resource indicators (RFC 8707).
//
//   node idp.mjs PORT
//
// Prints `READY <port>`; the issuer is `http://127.0.0.1:<port>`. Clients (secret `s3cret`, posted):
// `viewer`, `developer` and `oncall` sign with RS256, `developer-es256` with ES256; the claim `roles` is the name before
// the dash. `POST /admin/rotate` signs with new keys from now on and forgets the old ones; with `?keep`, the old ones
// stay in the key set. `POST /admin/requests` answers how often the key set was asked for.
import http from 'node:http';
import { Provider, errors } from 'oidc-provider';
import { exportJWK, generateKeyPair } from 'jose';

const CLIENTS = { viewer: 'RS256', developer: 'RS256', oncall: 'RS256', 'developer-es256': 'ES256' };
let keys = [];
let generation = 0;
let keySetReads = 0;
let handle;

async function makeKeys() {
  generation += 1;
  return Promise.all(['RS256', 'ES256'].map(async (alg) => {
    const { privateKey } = await generateKeyPair(alg, { extractable: true });
    return { ...await exportJWK(privateKey), alg, use: 'sig', kid: `${alg.toLowerCase()}-${generation}` };
  }));
}

function makeProvider(issuer) {
  return new Provider(issuer, {
    jwks: { keys },
    clients: Object.keys(CLIENTS).map((client_id) => ({
      client_id, client_secret: 's3cret', token_endpoint_auth_method: 'client_secret_post',
      grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
    })),
    scopes: ['mcp:read', 'mcp:write'],
    extraTokenClaims: async (_context, token) => ({ roles: [token.clientId.split('-')[0]], tid: 'acme' }),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: async (_context, resource, client) => {
          if (!resource.startsWith('http://127.0.0.1:')) throw new errors.InvalidTarget();
          return {
            scope: 'mcp:read mcp:write', audience: resource, accessTokenTTL: 300, accessTokenFormat: 'jwt',
            jwt: { sign: { alg: CLIENTS[client.clientId] } },
          };
        },
      },
    },
  });
}

async function rotate(keep, issuer) {
  keys = [...await makeKeys(), ...(keep ? keys : [])];
  handle = makeProvider(issuer).callback();
}

const server = http.createServer(async (incoming, outgoing) => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const { pathname, searchParams } = new URL(incoming.url, issuer);
  if (incoming.method === 'POST' && pathname === '/admin/rotate') {
    await rotate(searchParams.has('keep'), issuer);
    return outgoing.writeHead(204).end();
  }
  if (incoming.method === 'POST' && pathname === '/admin/requests') {
    return outgoing.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ jwks: keySetReads }));
  }
  if (pathname === '/jwks') keySetReads += 1;
  return handle(incoming, outgoing);
});

server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', async () => {
  await rotate(false, `http://127.0.0.1:${server.address().port}`);
  console.log(`READY ${server.address().port}`);
});
