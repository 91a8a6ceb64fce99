// Calls a tool that needs the approval of a person, plays that person, and prints one line of JSON.
//
//   node clients/approved.mjs URL legacy|modern TOKEN SCRIPT
//
// SCRIPT: `{"call": NAME, "arguments": {..}, "deciding": {"admin": URL, "token": TOKEN, "page": BOOL}}`. With `page` the
// client says that it can open pages; without, it finds the approval in the result and calls again. The line is
// `{"result", "asked"}`: what the last call gave, and whether a page was to be opened.
const [url, mode, token, script] = process.argv.slice(2);
const { call, arguments: given, deciding } = JSON.parse(script);
const { Client, StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');

let asked = false;

async function decide(link) {
  const id = link.split('/').pop();
  const headers = { authorization: `Bearer ${deciding.token}`, 'content-type': 'application/json' };
  const answer = await fetch(`${deciding.admin}/api/approvals/${id}/approve`, { method: 'POST', headers, body: '{}' });
  if (!answer.ok) throw new Error(`approve: ${answer.status} ${await answer.text()}`);
}

const capabilities = deciding.page ? { elicitation: { url: {} } } : {};
const versionNegotiation = mode === 'modern' ? { mode: { pin: '2026-07-28' } } : undefined;
const client = new Client({ name: `approved-${mode}`, version: '1.0.0' }, { capabilities, versionNegotiation });
if (deciding.page) {
  client.setRequestHandler('elicitation/create', async (request) => {
    asked = true;
    await decide(request.params.url);
    return { action: 'accept' };
  });
}
const headers = { authorization: `Bearer ${token}` };
const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
await client.connect(transport);

async function once() {
  try {
    return await client.callTool({ name: call, arguments: given });
  } catch (error) {
    // 2025-11-25: the error names the pages.
    const pages = error.data?.elicitations ?? error.elicitations;
    if (error.code !== -32042 || !pages) throw error;
    asked = true;
    await decide(pages[0].url);
    return await client.callTool({ name: call, arguments: given });
  }
}

let result = await once();
const approval = result._meta?.['portcullis/approval'];
if (approval) {
  await decide(approval.url);
  result = await once();
}
await client.close();
console.log(JSON.stringify({ result, asked }));
