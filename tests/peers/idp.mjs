// An identity provider: oidc-provider, with the client-credentials grant and resource indicators (RFC 8707), and a login page
// for people: whoever says they are `oncall` is, and has the role of that name.
//
//   node idp.mjs PORT
//
// Prints `READY <port>`; the issuer is `http://127.0.0.1:<port>`. Clients (secret `s3cret`, posted):
// `viewer`, `developer` and `oncall` sign with RS256, `developer-es256` with ES256; the claim `roles` is the name before
// the dash. `console` is a client for people's logins, at any port of 127.0.0.1. `POST /admin/rotate` signs with new keys from now on and forgets the old ones; with `?keep`, the old ones
// stay in the key set. `POST /admin/requests` answers how often the key set was asked for.
import http from 'node:http';
import { Provider, errors } from 'oidc-provider';
import { exportJWK, generateKeyPair } from 'jose';

const CLIENTS = { viewer: 'RS256', developer: 'RS256', oncall: 'RS256', 'developer-es256': 'ES256' };
let keys = [];
let generation = 0;
let keySetReads = 0;
let provider;
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
    clients: [{
      client_id: 'console', client_secret: 's3cret', token_endpoint_auth_method: 'client_secret_post',
      // Only such clients may come from any port of loopback (RFC 8252 section 7.3).
      application_type: 'native', grant_types: ['authorization_code'], response_types: ['code'],
      redirect_uris: ['http://127.0.0.1/login/callback'],
    }, ...Object.keys(CLIENTS).map((client_id) => ({
      client_id, client_secret: 's3cret', token_endpoint_auth_method: 'client_secret_post',
      grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
    }))],
    claims: { openid: ['sub', 'roles', 'tid'] },
    conformIdTokenClaims: false,
    findAccount: async (_context, accountId) => ({
      accountId, claims: async () => ({ sub: accountId, roles: [accountId], tid: 'acme' }),
    }),
    loadExistingGrant: async ({ oidc }) => {
      const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
      grant.addOIDCScope('openid');
      await grant.save();
      return grant;
    },
    interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
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
  provider = makeProvider(issuer);
  handle = provider.callback();
}

// Asks who it is, and believes it.
async function interact(incoming, outgoing) {
  const { prompt } = await provider.interactionDetails(incoming, outgoing);
  if (prompt.name === 'consent') {
    return provider.interactionFinished(incoming, outgoing, { consent: {} }, { mergeWithLastSubmission: true });
  }
  if (incoming.method !== 'POST') {
    const form = '<form method="post"><label>Name <input name="login"></label><button>Continue</button></form>';
    return outgoing.writeHead(200, { 'content-type': 'text/html' }).end(`<!doctype html><title>IdP</title>${form}`);
  }
  let body = '';
  for await (const chunk of incoming) body += chunk;
  const accountId = new URLSearchParams(body).get('login');
  return provider.interactionFinished(incoming, outgoing, { login: { accountId } });
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
  if (pathname.startsWith('/interaction/')) return interact(incoming, outgoing);
  if (pathname === '/jwks') keySetReads += 1;
  return handle(incoming, outgoing);
});

server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', async () => {
  await rotate(false, `http://127.0.0.1:${server.address().port}`);
  console.log(`READY ${server.address().port}`);
});
