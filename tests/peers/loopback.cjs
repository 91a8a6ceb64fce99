// Preload (`node -r ./loopback.cjs`) for servers that are not our own: what would listen on every interface listens on
// 127.0.0.1, and says `READY <port>` when it does.
const { Server } = require('node:net');

const { listen } = Server.prototype;
const isPort = (value) => typeof value === 'number' || (typeof value === 'string' && /^\d+$/.test(value));

Server.prototype.listen = function listenOnLoopback(first, ...rest) {
  this.once('listening', () => console.log(`READY ${this.address()?.port}`));
  if (isPort(first)) {
    const others = typeof rest[0] === 'string' ? rest.slice(1) : rest;
    return listen.call(this, first, '127.0.0.1', ...others);
  }
  if (first && typeof first === 'object' && first.port !== undefined) {
    return listen.call(this, { ...first, host: '127.0.0.1' }, ...rest);
  }
  return listen.call(this, first, ...rest);
};
