// Runs a script of operations against an MCP server with the TypeScript SDK, and prints one line of JSON.
//
//   node clients/ts.mjs URL MODE TOKEN [SCRIPT]
//
// URL: a server's, or `stdio:` and a JSON list, the command that speaks for it; that finds the token in PORTCULLIS_TOKEN.
// MODE: `legacy` (the SDK's default), `auto`, `modern` (pinned to 2026-07-28), or `v1` (the older SDK, 1.x). TOKEN: a
// bearer token, or `-` for none. SCRIPT, or else standard input: a JSON list of `{"list": KIND}`, where KIND is `tools`,
// `prompts` or `resources`, `{"call": NAME, "arguments": {..}}`, `{"prompt": NAME, "arguments": {..}}` and `{"read": URI}`. The line is `{"protocol", "results"}`, where each result is `{"ok": ..}` or
// `{"error": {"code", "message"}}`, with `"progress": N` beside it where notifications came; or `{"error": ..}`, and
// exit status 1, where no connection came about.
import { readFileSync } from 'node:fs';

const [url, mode, token, script = readFileSync(0, 'utf8')] = process.argv.slice(2);
const headers = token === '-' ? {} : { authorization: `Bearer ${token}` };
const stdio = url.startsWith('stdio:') ? JSON.parse(url.slice('stdio:'.length)) : undefined;
const info = { name: `peer-${mode}`, version: '1.0.0' };

function makeTransport(OverHttp, OverStdio) {
  if (!stdio) return new OverHttp(new URL(url), { requestInit: { headers } });
  const [command, ...args] = stdio;
  return new OverStdio({ command, args, env: token === '-' ? {} : { PORTCULLIS_TOKEN: token } });
}

async function makeClient() {
  if (mode === 'v1') {
    const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
    const { StreamableHTTPClientTransport } = await import('@modelcontextprotocol/sdk/client/streamableHttp.js');
    const { StdioClientTransport } = await import('@modelcontextprotocol/sdk/client/stdio.js');
    const transport = makeTransport(StreamableHTTPClientTransport, StdioClientTransport);
    transport.setProtocolVersion ??= (version) => { transport.protocolVersion = version; };
    const client = new Client(info);
    return { client, transport, protocol: () => transport.protocolVersion, call: (params, options) => client.callTool(params, undefined, options) };
  }
  const { Client, StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');
  const negotiation = { legacy: undefined, auto: { mode: 'auto' }, modern: { mode: { pin: '2026-07-28' } } };
  if (!(mode in negotiation)) throw new Error(`no mode ${mode}`);
  const client = new Client(info, { versionNegotiation: negotiation[mode] });
  const { StdioClientTransport } = await import('@modelcontextprotocol/client/stdio');
  const transport = makeTransport(StreamableHTTPClientTransport, StdioClientTransport);
  return { client, transport, protocol: () => client.getNegotiatedProtocolVersion(), call: (params, options) => client.callTool(params, options) };
}

const describe = (error) => ({ code: error.code ?? null, message: String(error.message ?? error) });

const lists = {
  tools: (client) => client.listTools(),
  prompts: (client) => client.listPrompts(),
  resources: (client) => client.listResources(),
};

function does({ client, call }, operation, onprogress) {
  const given = operation.arguments ?? {};
  if (operation.list) return lists[operation.list](client);
  if (operation.prompt) return client.getPrompt({ name: operation.prompt, arguments: given });
  if (operation.read) return client.readResource({ uri: operation.read });
  return call({ name: operation.call, arguments: given }, { onprogress });
}

async function perform({ client, call }, operation) {
  let progress = 0;
  const count = () => { progress += 1; };
  try {
    const ok = await does({ client, call }, operation, count);
    return progress > 0 ? { ok, progress } : { ok };
  } catch (error) {
    return { error: describe(error) };
  }
}

try {
  const session = await makeClient();
  await session.client.connect(session.transport);
  const results = [];
  for (const operation of JSON.parse(script)) results.push(await perform(session, operation));
  console.log(JSON.stringify({ protocol: session.protocol() ?? null, results }));
  await session.client.close();
} catch (error) {
  console.log(JSON.stringify({ error: describe(error) }));
  process.exitCode = 1;
}
