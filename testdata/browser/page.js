// What tests have a page do, with clients of three generations: /?1.6.1, /?1.1.5 and /?0.3.4 has that sockjs-client. Its
// file, and those of the STOMP libraries, are beside this one.
for (const name of [`sockjs-${location.search.slice(1)}`, 'stompjs', '@stomp-stompjs']) {
  document.write(`<script src="${name}.js"></script>`);
}

const patience = 10_000; // ms

// connect opens a session over one transport and no other. A client gives that 300 ms for each round trip, of which a
// machine that runs tests may need more.
function connect(url, transport) {
  const old = SockJS.getUtils?.(); // 0.3
  (old ?? SockJS.prototype).countRTO = () => patience;
  return new SockJS(url, null, { [old ? 'protocols_whitelist' : 'transports']: [transport] });
}

// visit opens a session, says texts, and closes it when it has heard so many. It gives what was seen of it.
function visit(url, transport, texts, count) {
  return new Promise(resolve => {
    const seen = { client: SockJS.version, opened: [], heard: [] };
    const socket = connect(url, transport);
    const late = setTimeout(() => end('nothing more comes'), patience);
    socket.onopen = () => {
      seen.opened.push(socket.transport ?? socket.protocol);
      for (const text of texts) socket.send(text);
    };
    socket.onmessage = ({ data }) => {
      if (seen.heard.push(data) === count) socket.close();
    };
    socket.onclose = ({ code, reason, wasClean }) => end(`${code} ${reason}${wasClean ? '' : ', not clean'}`);

    function end(how) {
      clearTimeout(late);
      resolve({ ...seen, end: how });
    }
  });
}

// A STOMPUser subscribes to a topic and to what is sent to himself, by one of the libraries.
class STOMPUser {
  subscribed = 0;
  heard = [];
  ends = [];

  constructor(library, url, transport, name) {
    const open = () => connect(url, transport);
    this.client = library === 'stompjs' ? Stomp.over(open()) : StompJs.Stomp.over(open);
    this.client.debug = () => {};
    this.client.onreceipt = () => this.subscribed++;
    const take = message => this.heard.push(message.body);
    const ended = how => this.ends.push(String(how.headers?.message ?? how.reason ?? how));
    this.client.onWebSocketClose = ended; // the newer has it here, the older below
    this.client.connect({ login: name, passcode: name }, () => {
      this.client.subscribe('/topic/all', take, { receipt: 'topic' });
      this.client.subscribe('/user/queue/own', take, { receipt: 'own' });
    }, ended);
  }

  say(destination, body) {
    this.client.send(destination, {}, body);
  }
}
