// Listens for news of an MCP server with the TypeScript SDK, and prints a line of JSON for each thing that happens.
//
//   node clients/news.mjs URL MODE TOKEN FILTER
//
// MODE: `legacy` or `modern`, as in `ts.mjs`. FILTER: what to listen for, as in `subscriptions/listen`; an older client
// subscribes to its `resourceSubscriptions` and hears the rest anyway. Lines: `{"listening": FILTER}` with what is
// honoured, `{"news": METHOD, "params": ..}`, and `{"closed": HOW}`, after which it ends; or `{"error": ..}`.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const [url, mode, token, filter] = process.argv.slice(2);
const wanted = JSON.parse(filter);
const say = (what) => console.log(JSON.stringify(what));

const negotiation = { legacy: undefined, modern: { mode: { pin: '2026-07-28' } } };
const client = new Client({ name: `news-${mode}`, version: '1.0.0' }, { versionNegotiation: negotiation[mode] });
const methods = ['tools/list_changed', 'prompts/list_changed', 'resources/list_changed', 'resources/updated'];
for (const method of methods.map((method) => `notifications/${method}`)) {
  client.setNotificationHandler(method, ({ params }) => say({ news: method, params: params ?? null }));
}
const requestInit = { headers: { authorization: `Bearer ${token}` } };
try {
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
  if (mode === 'modern') {
    const subscription = await client.listen(wanted);
    say({ listening: subscription.honoredFilter });
    say({ closed: await subscription.closed });
    await client.close();
  } else {
    const uris = wanted.resourceSubscriptions ?? [];
    for (const uri of uris) await client.subscribeResource({ uri });
    say({ listening: { resourceSubscriptions: uris } });
  }
} catch (error) {
  say({ error: { code: error.code ?? null, message: String(error.message ?? error) } });
  process.exitCode = 1;
}
