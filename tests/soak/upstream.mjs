// An MCP server that answers at once, so that the gateway is what is measured. It prints its port.
import { createServer } from "node:http";

const tool = { name: "echo", inputSchema: { type: "object" } };
const results = {
  "server/discover": { supportedVersions: ["2026-07-28"], capabilities: { tools: {} }, ttlMs: 60000, cacheScope: "public" },
  "tools/list": { tools: [tool], ttlMs: 60000, cacheScope: "public" },
  "tools/call": { content: [{ type: "text", text: "The quick brown fox jumps over the lazy dog. ".repeat(20) }] },
};

const server = createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const { id, method } = JSON.parse(Buffer.concat(chunks).toString() || "{}");
    const result = { resultType: "complete", ...results[method] };
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ jsonrpc: "2.0", id, result }));
  });
});
server.keepAliveTimeout = 60000;
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
