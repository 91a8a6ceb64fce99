// The pieces of content that the fixture's tools, prompts and resources give.

/** One red pixel. */
export const PNG =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC';
/** A WAV file without a sample. */
export const WAV = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=';

export const text = (value) => ({ type: 'text', text: value });
export const image = () => ({ type: 'image', data: PNG, mimeType: 'image/png' });
export const audio = () => ({ type: 'audio', data: WAV, mimeType: 'audio/wav' });
export const embedded = (uri, mimeType, value) => ({ type: 'resource', resource: { uri, mimeType, text: value } });

/** The result of a tool that says `value`. */
export const says = (value) => ({ content: [text(value)] });
/** A message of a prompt. */
export const message = (content) => ({ role: 'user', content });
