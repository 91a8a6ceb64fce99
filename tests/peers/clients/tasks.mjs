// Calls tools with the TypeScript SDK and the official package for tasks (SEP-2663), which waits for tasks by itself, and prints
// one line of JSON.
//
//   node clients/tasks.mjs URL modern TOKEN SCRIPT
//
// SCRIPT: a JSON list of `{"call": NAME, "arguments": {..}}`, with `"cancel": true` to end the task. The line is a list of
// `{"kind", "task", "outcome", "states"}`: `immediate` or `task`, the task's id, what came of it, and each state that was
// reported.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { createTaskSessionFromClient } from '@modelcontextprotocol/ext-tasks/client';

const [url, , token, script] = process.argv.slice(2);
const protocolVersion = '2026-07-28';
const info = { name: 'peer-tasks', version: '1.0.0' };
const headers = { authorization: `Bearer ${token}` };
const client = new Client(info, { versionNegotiation: { mode: { pin: protocolVersion } } });
await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));

let last = 0;
/** What the SDK's own codecs do not let through yet: the package leaves it to its host to send. */
async function rawDispatch(request, { signal } = {}) {
  last += 1;
  const named = request.params.taskId ?? request.params.name;
  const answer = await fetch(url, {
    method: 'POST', signal, body: JSON.stringify({ jsonrpc: '2.0', id: `raw-${last}`, ...request }),
    headers: {
      ...headers, 'content-type': 'application/json', accept: 'application/json, text/event-stream',
      'mcp-protocol-version': protocolVersion, 'mcp-method': request.method, 'mcp-name': named,
    },
  });
  const text = await answer.text();
  const said = answer.headers.get('content-type').startsWith('text/event-stream')
    ? text.split('\n').filter((line) => line.startsWith('data:')).map((line) => line.slice(5)).at(-1) : text;
  const message = JSON.parse(said);
  return message.error ? { kind: 'error', error: message.error } : { kind: 'result', result: message.result };
}

const session = createTaskSessionFromClient(client, {
  endpointId: 'gateway', rawDispatch, v2RequestFraming: { protocolVersion, clientInfo: info, clientCapabilities: {} },
});

async function perform({ call, arguments: given, cancel }) {
  const execution = await session.callTool(call, given ?? {});
  const states = [];
  const onEvent = (event) => { if (event.task) states.push(event.task.status); };
  if (cancel) await execution.cancel();
  const { outcome } = await execution.settle({ onEvent });
  return { kind: execution.kind, task: execution.handle?.taskId ?? null, outcome, states };
}

const done = [];
for (const operation of JSON.parse(script)) {
  try {
    done.push(await perform(operation));
  } catch (error) {
    done.push({ error: `${error.name}: ${error.message}` });
  }
}
await session.close();
await client.close();
console.log(JSON.stringify({ done }));
