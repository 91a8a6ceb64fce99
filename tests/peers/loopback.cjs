// Preload (`node -r ./loopback.cjs`) for servers that are not our own: what would listen on every interface listens on
// 127.0.0.1, and says `READY <port>` when it does.
const { Server } = require('node:net');

const { listen } = Server.prototype;
const isPort = (value) => typeof value === 'number' || (typeof value === 'string' && /^\d+$/.test(value));

/**
 * Binds at once, as `listen` does where it is given no host: there are servers that ask for their port in the next line.
 * With a host it asks the resolver first, whatever the host is.
 */
function bind(server, port, callback) {
  if (callback) server.once('listening', callback);
  return server._listen2('127.0.0.1', Number(port), 4, 511) ?? server;
}

Server.prototype.listen = function listenOnLoopback(first, ...rest) {
  this.once('listening', () => console.log(`READY ${this.address()?.port}`));
  const callback = rest.find((value) => typeof value === 'function');
  if (isPort(first)) return bind(this, first, callback);
  if (first && typeof first === 'object' && first.port !== undefined) return bind(this, first.port, callback);
  return listen.call(this, first, ...rest);
};
