// Sockets to the server, each with a record of what went over it.
import SockJS from 'sockjs-client';
import { WebSocket } from 'ws';

export const transports = ['native', 'websocket', 'xhr-streaming', 'xhr-polling'];

// Watched makes a socket keep, as `seen`, the messages in both directions and a promise of its close event.
function watched(socket) {
  const seen = { in: [], out: [] };
  const send = socket.send;
  socket.send = (...args) => {
    seen.out.push(args[0]);
    return send.apply(socket, args);
  };
  socket.addEventListener('message', event => seen.in.push(event.data));
  socket.addEventListener('error', () => {}); // a close event follows
  seen.closed = new Promise(resolve => socket.addEventListener('close', resolve));
  return Object.assign(socket, { seen });
}

// The WebSocket that the libraries find where a browser has its own.
export class WatchedWebSocket extends WebSocket {
  constructor(...args) {
    super(...args);
    watched(this);
  }
}

// sockJS is a SockJS session over one transport and no other.
export function sockJS(url, transport) {
  return watched(new SockJS(url, null, { transports: [transport] }));
}

// webSocketURL is where a SockJS endpoint's URL takes native WebSocket.
export function webSocketURL(url) {
  return url.replace(/^http/, 'ws');
}
