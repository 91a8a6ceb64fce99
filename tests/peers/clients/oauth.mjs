// Runs a script of operations against an MCP server with the TypeScript SDK and its OAuth client, which is given no token: it
// finds the server's metadata, the authorization server and a token by itself, and asks for more scopes when it must.
//
//   node clients/oauth.mjs URL MODE CLIENT SCRIPT
//
// MODE: `legacy` or `modern`, as in `ts.mjs`. CLIENT: a client of `idp.mjs`. SCRIPT: as in `ts.mjs`. Prints one line of JSON,
// `{"results", "granted", "resources"}`: the scopes of each token that was granted, and the resource it was asked for; or
// `{"error": ..}`, and exit status 1, where no connection came about.
import { Client, ClientCredentialsProvider, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const [url, mode, clientId, script] = process.argv.slice(2);
const granted = [];
const resources = [];

// What is granted is seen on its way.
async function watchingFetch(target, init) {
  const response = await fetch(target, init);
  if (new URL(target).pathname === '/token' && response.ok) {
    granted.push((await response.clone().json()).scope ?? '');
    resources.push(new URLSearchParams(init.body).get('resource'));
  }
  return response;
}

const describe = (error) => ({ code: error.code ?? null, message: String(error.message ?? error) });

try {
  const negotiation = { legacy: undefined, modern: { mode: { pin: '2026-07-28' } } };
  const client = new Client({ name: 'oauth-peer', version: '1.0.0' }, { versionNegotiation: negotiation[mode] });
  const authProvider = new ClientCredentialsProvider({ clientId, clientSecret: 's3cret' });
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { authProvider, fetch: watchingFetch }));
  const results = [];
  for (const operation of JSON.parse(script)) {
    try {
      const ok = operation.list
        ? await client.listTools()
        : await client.callTool({ name: operation.call, arguments: operation.arguments ?? {} });
      results.push({ ok });
    } catch (error) {
      results.push({ error: describe(error) });
    }
  }
  console.log(JSON.stringify({ results, granted, resources }));
  await client.close();
} catch (error) {
  console.log(JSON.stringify({ error: describe(error), granted, resources }));
  process.exitCode = 1;
}
