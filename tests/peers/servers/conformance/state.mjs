// What lives longer than one request: the extra tool and prompt that come and go, and who wants to hear of changes.

/** Whether the extra tool and the extra prompt are there now. */
export const extra = { tool: false, prompt: false };

/** Servers of open legacy sessions, each with the resources that its client subscribed to. */
export const sessions = new Map();

let bus;

/** Says which `ServerNotifier` reaches the modern listeners. */
export function announceOn(notifier) {
  bus = notifier;
}

export function toggleTool() {
  extra.tool = !extra.tool;
  bus?.toolsChanged();
  for (const server of sessions.keys()) server.changeTools();
  return extra.tool ? 'A tool more' : 'A tool less';
}

export function togglePrompt() {
  extra.prompt = !extra.prompt;
  bus?.promptsChanged();
  for (const server of sessions.keys()) server.changePrompts();
  return extra.prompt ? 'A prompt more' : 'A prompt less';
}

export function resourceUpdated(uri) {
  bus?.resourceUpdated(uri);
  for (const [server, uris] of sessions) {
    if (uris.has(uri)) server.mcp.server.sendResourceUpdated({ uri });
  }
  return `${uri} is announced`;
}
