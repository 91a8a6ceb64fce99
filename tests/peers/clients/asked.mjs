// Calls tools of an MCP server that ask back, answers what is asked, and prints one line of JSON.
//
//   node clients/asked.mjs URL legacy|v1|modern TOKEN SCRIPT
//
// SCRIPT: a JSON list of `{"call": NAME, "arguments": {..}}`, `{"level": LEVEL}`, `{"subscribe": URI}` and
// `{"until": METHOD}`, which waits for a notification. `legacy` is the SDK 2.x, `modern` the same pinned to 2026-07-28, `v1` the older SDK. The line is
// `{"results", "asked", "heard"}`: what each operation gave, what was asked, and which notifications came.
const [url, mode, token, script] = process.argv.slice(2);
const headers = token === '-' ? {} : { authorization: `Bearer ${token}` };
const capabilities = { elicitation: {}, sampling: {}, roots: { listChanged: true } };
const info = { name: `asked-${mode}`, version: '1.0.0' };
const asked = [];
const heard = [];
const waiting = [];

const answers = {
  'elicitation/create': () => ({ action: 'accept', content: { name: 'Ada', check: true, ok: true, color: 'blue' } }),
  'sampling/createMessage': () => ({ role: 'assistant', model: 'none', content: { type: 'text', text: 'so be it' } }),
  'roots/list': () => ({ roots: [{ uri: 'file:///work', name: 'work' }] }),
};

const answer = (method) => async () => {
  asked.push(method);
  return answers[method]();
};

const hear = async (notification) => {
  heard.push(notification.method);
  for (const wait of waiting.splice(0)) wait();
};

async function makeClient() {
  if (mode === 'v1') {
    const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
    const { StreamableHTTPClientTransport } = await import('@modelcontextprotocol/sdk/client/streamableHttp.js');
    const types = await import('@modelcontextprotocol/sdk/types.js');
    const client = new Client(info, { capabilities });
    client.setRequestHandler(types.ElicitRequestSchema, answer('elicitation/create'));
    client.setRequestHandler(types.CreateMessageRequestSchema, answer('sampling/createMessage'));
    client.setRequestHandler(types.ListRootsRequestSchema, answer('roots/list'));
    client.fallbackNotificationHandler = hear;
    return { client, transport: new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }) };
  }
  const { Client, StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');
  const versionNegotiation = mode === 'modern' ? { mode: { pin: '2026-07-28' } } : undefined;
  const client = new Client(info, { capabilities, versionNegotiation });
  for (const method of Object.keys(answers)) client.setRequestHandler(method, answer(method));
  client.fallbackNotificationHandler = hear;
  return { client, transport: new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }) };
}

async function until(method) {
  while (!heard.includes(method)) await new Promise((resolve) => { waiting.push(resolve); });
  return method;
}

async function perform(client, operation) {
  try {
    if (operation.level) return { ok: await client.setLoggingLevel(operation.level) };
    if (operation.subscribe) return { ok: await client.subscribeResource({ uri: operation.subscribe }) };
    if (operation.until) return { ok: await until(operation.until) };
    return { ok: await client.callTool({ name: operation.call, arguments: operation.arguments ?? {} }) };
  } catch (error) {
    return { error: { code: error.code ?? null, message: String(error.message ?? error) } };
  }
}

const { client, transport } = await makeClient();
await client.connect(transport);
const results = [];
for (const operation of JSON.parse(script)) results.push(await perform(client, operation));
await transport.terminateSession();
await client.close();
console.log(JSON.stringify({ results, asked, heard }));
