// The three STOMP libraries behind one shape, each used as its own documentation shows.
import { Client } from '@stomp/stompjs';
import Stomp from 'stompjs';
import webstomp from 'webstomp-client';

import { WatchedWebSocket, sockJS, webSocketURL } from './sockets.mjs';

globalThis.WebSocket = WatchedWebSocket;

// A Session is one STOMP connection. Its subclasses say how a library does it.
class Session {
  lost = false; // by an ERROR frame or a close
  #receipts = new Map();
  #ended = false;
  #fail;
  #failed = new Promise((_, reject) => (this.#fail = reject));

  constructor() {
    this.#failed.catch(() => (this.lost = true));
  }

  // subscribe gives the messages of a destination.
  subscribe(destination, headers = {}) {
    return new Inbox(this, take => this._subscribe(destination, take, headers));
  }

  // receipt makes a header that asks for a receipt, and a promise of it.
  receipt() {
    const id = unique('receipt');
    let arrived;
    const promise = new Promise(resolve => (arrived = resolve));
    this.#receipts.set(id, arrived);
    this._watch(id);
    return { headers: { receipt: id }, arrived: this.race(promise) };
  }

  // race is the promise, or the ERROR frame or the close that comes before it.
  race(promise) {
    const first = Promise.race([promise, this.#failed]);
    first.catch(() => {}); // a check that failed before does not look
    return first;
  }

  // disconnect says goodbye, and gives the socket's close event.
  async disconnect() {
    this.#ended = true;
    await this._disconnect();
    return this.socket.seen.closed;
  }

  _watch() {}

  _received(frame) {
    this.#receipts.get(frame.headers['receipt-id'])?.(frame);
  }

  _error(frame) {
    this.#fail(Object.assign(new Error(`ERROR ${frame.headers.message}`), { frame }));
  }

  // stompjs tells of a close in a sentence, the others with the socket's event.
  _closed(event) {
    if (!this.#ended) this.#fail(new Error(`closed: ${event.code ?? event} ${event.reason ?? ''}`));
  }
}

// An Inbox is a subscription and what has come of it.
class Inbox {
  #messages = [];
  #waiting = [];
  #session;

  constructor(session, subscribe) {
    this.#session = session;
    this.subscription = subscribe(message => {
      const take = this.#waiting.shift();
      if (take) take(message);
      else this.#messages.push(message);
    });
  }

  // next is the next message, in order.
  next() {
    if (this.#messages.length > 0) return this.#messages.shift();
    return this.#session.race(new Promise(resolve => this.#waiting.push(resolve)));
  }

  unsubscribe() {
    this.subscription.unsubscribe();
  }
}

// What stompjs and its descendant webstomp-client have in common.
class CallbackSession extends Session {
  constructor(client, beat) {
    super();
    this.client = client;
    this.socket = client.ws;
    client.debug = () => {};
    client.heartbeat = { outgoing: beat, incoming: beat };
    client.onreceipt = frame => this._received(frame);
  }

  connect(login) {
    return this.race(new Promise(resolve => {
      this.client.connect(login, resolve, problem => (problem.command ? this._error(problem) : this._closed(problem)));
    }));
  }

  begin() {
    return this.client.begin();
  }

  _subscribe(destination, take, headers) {
    return this.client.subscribe(destination, take, { ...headers });
  }

  _disconnect() {
    return new Promise(resolve => this.client.disconnect(resolve));
  }
}

class StompjsSession extends CallbackSession {
  send(destination, body, headers = {}) {
    this.client.send(destination, { ...headers }, body);
  }
}

class WebstompSession extends CallbackSession {
  send(destination, body, headers = {}) {
    this.client.send(destination, body, headers);
  }
}

class ClientSession extends Session {
  constructor(options, beat) {
    super();
    this.client = new Client({ reconnectDelay: 0, heartbeatIncoming: beat, heartbeatOutgoing: beat, ...options });
  }

  connect(login) {
    return this.race(new Promise(resolve => {
      const keepingSocket = then => frame => {
        this.socket = this.client.webSocket; // the client forgets a closed one
        then(frame);
      };
      this.client.configure({
        connectHeaders: login,
        onConnect: keepingSocket(resolve),
        onStompError: keepingSocket(frame => this._error(frame)),
        onWebSocketClose: event => this._closed(event),
      });
      this.client.activate();
    }));
  }

  send(destination, body, headers = {}) {
    this.client.publish({ destination, body, headers });
  }

  begin() {
    return this.client.begin();
  }

  _watch(id) {
    this.client.watchForReceipt(id, frame => this._received(frame));
  }

  _subscribe(destination, take, headers) {
    return this.client.subscribe(destination, take, headers);
  }

  // Deactivation asks for a receipt of DISCONNECT, closes the socket when that comes, and waits for the close.
  _disconnect() {
    return this.client.deactivate();
  }
}

// What to expect of each library, and how it opens a session with a heart-beat in milliseconds:
//   version      of STOMP, which it comes to with a server that has all;
//   subprotocol  that it comes to on native WebSocket;
//   escapes      headers, and so may send any character in them;
//   nul          in a body is read back;
//   waits        for a receipt of DISCONNECT;
//   cuts         long frames into several messages, even between the halves of an astral character.
export const libraries = {
  stompjs: {
    version: '1.1', subprotocol: 'v10.stomp', escapes: false, nul: false, waits: false, cuts: true,
    open: (url, transport, beat) => new StompjsSession(
      transport === 'native' ? Stomp.client(webSocketURL(url)) : Stomp.over(sockJS(url, transport)), beat),
  },
  'webstomp-client': {
    version: '1.2', subprotocol: 'v12.stomp', escapes: false, nul: false, waits: false, cuts: true,
    open: (url, transport, beat) => new WebstompSession(
      transport === 'native'
        ? webstomp.client(webSocketURL(url), { protocols: ['v12.stomp', 'v11.stomp'] })
        : webstomp.over(sockJS(url, transport)), beat),
    // Its own list of sub-protocols begins with the oldest.
    openOldest: (url, beat) => new WebstompSession(webstomp.client(webSocketURL(url)), beat),
  },
  '@stomp/stompjs': {
    version: '1.2', subprotocol: 'v12.stomp', escapes: true, nul: true, waits: true, cuts: false,
    open: (url, transport, beat) => new ClientSession(
      transport === 'native'
        ? { brokerURL: webSocketURL(url) }
        : { webSocketFactory: () => sockJS(url, transport), splitLargeFrames: true }, beat),
  },
};

// unique is a name that no other run has.
export function unique(prefix) {
  return `${prefix}-${Date.now().toString(36)}${Math.random().toString(36).slice(2, 8)}`;
}
