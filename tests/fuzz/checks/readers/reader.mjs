// Reads messages as Node does, and says what it read.
//
// In: a length of four bytes, little-endian, and that many bytes of JSON, again and again. Out: a line for each.

class Num {
  constructor(text) {
    this.text = text;
  }
}

const hex = (text) => "s" + Buffer.from(text, "utf8").toString("hex");

function canonical(value) {
  if (value instanceof Num) return "#" + value.text;
  if (typeof value === "string") return hex(value);
  if (value === null) return "n";
  if (value === true) return "t";
  if (value === false) return "f";
  if (Array.isArray(value)) return "[" + value.map((item) => canonical(item) + ",").join("") + "]";
  const members = Object.keys(value).map((key) => hex(key) + ":" + canonical(value[key]) + ",");
  return "{" + members.sort().join("") + "}";
}

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value) && !(value instanceof Num);
const own = (object, key) => (Object.hasOwn(object, key) ? object[key] : undefined);
const text = (value) => (typeof value === "string" ? hex(value) : "-");
const decoder = new TextDecoder("utf-8", { fatal: true });

function reading(body) {
  let message;
  try {
    const number = (_key, value, context) => (typeof value === "number" ? new Num(context.source) : value);
    message = JSON.parse(decoder.decode(body), number);
  } catch {
    return "!";
  }
  if (!isObject(message)) return "!";
  const given = own(message, "params");
  const params = isObject(given) ? given : {};
  const id = own(message, "id");
  return [
    text(own(message, "method")),
    id === undefined || id === null ? "-" : canonical(id),
    text(own(params, "name")),
    text(own(params, "uri")),
    Object.hasOwn(params, "arguments") ? canonical(params.arguments) : "-",
  ].join(" ");
}

let held = Buffer.alloc(0);
for await (const chunk of process.stdin) {
  held = Buffer.concat([held, chunk]);
  let lines = "";
  let at = 0;
  while (held.length - at >= 4 && held.length - at - 4 >= held.readUInt32LE(at)) {
    const end = at + 4 + held.readUInt32LE(at);
    lines += reading(held.subarray(at + 4, end)) + "\n";
    at = end;
  }
  held = held.subarray(at);
  if (lines !== "" && !process.stdout.write(lines)) await new Promise((drained) => process.stdout.once("drain", drained));
}
