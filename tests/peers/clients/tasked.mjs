// Calls a tool that needs the approval of a person by the tasks extension, plays that person, and prints one line of JSON.
//
//   node clients/tasked.mjs URL modern TOKEN SCRIPT
//
// SCRIPT: `{"call": NAME, "arguments": {..}, "deciding": {"admin": URL, "token": TOKEN, "verb": "approve"|"deny"}}`. The client
// can't be asked for anything, and calls once: the link it finds in the task that answers. The line is
// `{"statuses", "outcome"}`: the statuses it was told, and how the extension's own client says that it ended.
const [url, , token, script] = process.argv.slice(2);
const { call, arguments: given, deciding } = JSON.parse(script);
const { Client, StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');
const { createTaskSessionFromClient } = await import('@modelcontextprotocol/ext-tasks/client');

const protocolVersion = '2026-07-28';
const clientInfo = { name: 'tasked', version: '1.0.0' };
const statuses = [];
let sent = 0;

async function decide(link) {
  const id = link.split('/').pop();
  const headers = { authorization: `Bearer ${deciding.token}`, 'content-type': 'application/json' };
  const body = JSON.stringify({ reason: 'Not today.' });
  const answer = await fetch(`${deciding.admin}/api/approvals/${id}/${deciding.verb}`, { method: 'POST', headers, body });
  if (!answer.ok) throw new Error(`${deciding.verb}: ${answer.status} ${await answer.text()}`);
}

/** What a host brings for revisions that the SDK's own codecs refuse: one request, one answer. */
async function rawDispatch({ method, params }) {
  const headers = {
    authorization: `Bearer ${token}`,
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    'mcp-protocol-version': protocolVersion,
    'mcp-method': method,
    'mcp-name': params.name ?? params.taskId,
  };
  sent += 1;
  const body = JSON.stringify({ jsonrpc: '2.0', id: sent, method, params });
  const { result, error } = await (await fetch(url, { method: 'POST', headers, body })).json();
  if (error) return { kind: 'error', error };
  if (result.status) statuses.push(result.status);
  const link = method === 'tools/call' && result.statusMessage?.match(/decided at (\S+);/);
  if (link) await decide(link[1]);
  return { kind: 'result', result };
}

const client = new Client(clientInfo, { capabilities: {}, versionNegotiation: { mode: { pin: protocolVersion } } });
const headers = { authorization: `Bearer ${token}` };
await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
const v2RequestFraming = { protocolVersion, clientInfo, clientCapabilities: {} };
const session = createTaskSessionFromClient(client, { endpointId: 'tests', rawDispatch, v2RequestFraming });
const { outcome } = await (await session.callTool(call, given)).settle();
await session.close();
console.log(JSON.stringify({ statuses, outcome }, (_, value) => (value instanceof Error ? String(value) : value)));
process.exit(0);
