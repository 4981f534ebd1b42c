// The number of a user's unread alarms, as it comes while the user is logged in. Where alarms are kept, the server
// counts them, those that came meanwhile too:
//
//   /?library=@stomp/stompjs|stompjs|webstomp-client&transport=websocket|xhr-polling|...
//
// The first library is the default, in the way of its older versions (CompatClient).
const libraries = {
  '@stomp/stompjs': { file: '@stomp/stompjs/bundles/stomp.umd.min.js', over: socket => StompJs.Stomp.over(socket) },
  stompjs: { file: 'stompjs/lib/stomp.min.js', over: socket => Stomp.over(socket) },
  'webstomp-client': { file: 'webstomp-client/dist/webstomp.min.js', over: socket => webstomp.over(socket), bodyFirst: true },
};

const query = new URLSearchParams(location.search);
const library = libraries[query.get('library') ?? '@stomp/stompjs'];
const options = query.has('transport') ? { transports: query.get('transport').split(','), timeout: 10_000 } : {};
const main = document.querySelector('main');
const [user, token, login, logout, count, read, notice] =
  ['user', 'token', 'login', 'logout', 'count', 'read', 'notice'].map(id => document.getElementById(id));
let client, last; // the offset of the last alarm that is known

document.querySelector('form').onsubmit = event => {
  event.preventDefault();
  show('opening');
  const socket = new SockJS('/ws', null, options);
  client = library.over(socket);
  client.debug = () => {};
  client.onWebSocketClose = lost; // the newest has it here, the others in connect
  const headers = token.value ? { Authorization: `Bearer ${token.value}` } : {};
  last = undefined;
  read.hidden = true;
  client.onreceipt = kept;
  client.connect(headers, () => {
    client.subscribe(`/alarm/${user.value}`, message => {
      count.textContent = JSON.parse(message.body);
      kept(message);
    }, { receipt: 'subscribed' });
    show('open');
  }, lost);
  client.activate?.(); // which pages call too, though connect has done it
};

read.onclick = () => {
  const headers = { receipt: 'read' };
  const body = JSON.stringify({ destination: `/alarm/${user.value}`, offset: last });
  if (library.bodyFirst) client.send('/app/read', body, headers);
  else client.send('/app/read', headers, body);
};

logout.onclick = () => {
  client.disconnect();
  show('closed');
};

// kept is told of a MESSAGE and of a RECEIPT. Where alarms are kept, those have what the server counts.
function kept({ headers }) {
  if (headers.unread === undefined) return;
  count.textContent = headers.unread;
  last = headers.offset ?? last;
  read.hidden = !last;
}

// lost is told of an ERROR frame or of the end of the socket, each library in its way.
function lost(error) {
  if (main.dataset.state !== 'closed') show('closed', error.headers?.message ?? 'The connection is lost. Log in again.');
}

// show is the page in a state: loading, closed, opening or open.
function show(state, text = '') {
  main.dataset.state = state;
  notice.textContent = text;
  login.disabled = user.disabled = token.disabled = state !== 'closed';
  logout.disabled = read.disabled = state !== 'open';
}

// The library is loaded before anybody can log in.
function load(file) {
  return new Promise((resolve, reject) => {
    const script = document.createElement('script');
    Object.assign(script, { src: `node_modules/${file}`, onload: resolve, onerror: reject });
    document.head.append(script);
  });
}

try {
  await load(library.file);
  show('closed');
} catch {
  show('loading', 'The libraries are not here: run make alarm-client.');
}
