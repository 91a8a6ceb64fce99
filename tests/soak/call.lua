-- The call that wrk sends, with the token of the environment, and what came of all of them as one line of JSON.
local version = "2026-07-28"
wrk.method = "POST"
wrk.path = "/work/mcp"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("TOKEN")
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Accept"] = "application/json, text/event-stream"
wrk.headers["MCP-Protocol-Version"] = version
wrk.headers["Mcp-Method"] = "tools/call"
wrk.headers["Mcp-Name"] = "echo"
wrk.body = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello"},'
  .. '"_meta":{"io.modelcontextprotocol/protocolVersion":"' .. version .. '","io.modelcontextprotocol/clientCapabilities":{}}}}'

function done(summary, latency, requests)
  local good = (summary.requests - summary.errors.status) / (summary.duration / 1e6)
  io.write(string.format('{"good": %.1f, "refused": %d, "broken": %d, "p50_ms": %.2f, "p99_ms": %.2f}\n', good,
    summary.errors.status, summary.errors.connect + summary.errors.read + summary.errors.write,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
