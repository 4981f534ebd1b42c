// The front-ends of small applications against a server that stands in for their own.
//
//   node apps.mjs APPLICATION URL [WEBSOCKET-URL]
//
// Applications, and what their URL is:
//   echo-time  a SockJS endpoint with STOMP: text to /api/echo comes back on /topic/messages with the time of day
//   greeting   the same: {"name": ...} to /app/hello is greeted on /topic/greetings after a second; its native
//              WebSocket is at WEBSOCKET-URL, or else at the same path
//   raw-echo   a SockJS endpoint that echoes
//   websocket  a plain WebSocket endpoint that echoes
//
// It prints one line of JSON for each check and exits with 1 when one has failed.
import { libraries, unique } from './libraries.mjs';
import { Report, equal, holds, run } from './report.mjs';
import { WatchedWebSocket, sockJS, transports, webSocketURL } from './sockets.mjs';

const overSockJS = transports.filter(transport => transport !== 'native');
const text = 'Zoë, 日本語, 😀 "quoted" <b>&amp;</b>';

// exchange opens a session with no login, sends a message, and gives what then comes on the destination `from`.
async function exchange(session, to, body, from) {
  await session.connect({});
  const inbox = session.subscribe(from);
  session.send(to, body);
  const message = await inbox.next();
  equal('destination', message.headers.destination, from);
  await session.disconnect();
  return message.body;
}

async function echoTime(report, url) {
  for (const transport of overSockJS) {
    await report.check(`stompjs over ${transport}`, async () => {
      const sent = `${unique('echo')} ${text}`;
      const body = words(await exchange(libraries.stompjs.open(url, transport, 0), '/api/echo', sent, '/topic/messages'));
      holds(`not what was sent: ${body}`, body.includes(sent));
      holds(`no time of day: ${body}`, /([01]\d|2[0-3]):[0-5]\d/.test(body));
      return { body };
    });
  }
}

// words are all that a body says, be it text or JSON.
function words(body) {
  try {
    const value = JSON.parse(body);
    return value instanceof Object ? Object.values(value).join(' ') : String(value);
  } catch {
    return body;
  }
}

function escaped(html) {
  return html.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
}

async function greeting(report, url, nativeURL = url) {
  for (const transport of transports) {
    await report.check(`@stomp/stompjs over ${transport}`, async () => {
      const session = libraries['@stomp/stompjs'].open(transport === 'native' ? nativeURL : url, transport, 0);
      const name = unique('<b>Ann</b> & Zoë 😀');
      const begun = Date.now();
      const body = await exchange(session, '/app/hello', JSON.stringify({ name }), '/topic/greetings');
      const after = Date.now() - begun;
      equal('greeting', JSON.parse(body).content, `Hello, ${escaped(name)}!`);
      holds(`after ${after} ms`, after >= 1000 && after < 5000);
      return { body, after };
    });
  }
}

async function rawEcho(report, url) {
  for (const transport of overSockJS) {
    await report.check(`raw over ${transport}`, async () => {
      const socket = sockJS(url, transport);
      const sent = ['one', text, '', 'x'.repeat(10_000)];
      const received = new Promise((resolve, reject) => {
        const messages = [];
        socket.onopen = () => sent.forEach(message => socket.send(message));
        socket.onmessage = ({ data }) => messages.push(data) === sent.length && resolve(messages);
        socket.onclose = event => reject(new Error(`closed with ${event.code} ${event.reason}`));
      });
      equal('messages', JSON.stringify(await received), JSON.stringify(sent));
      equal('transport', socket.transport, transport);
      socket.onclose = null;
      socket.close();
      const closed = await socket.seen.closed;
      equal('close', `${closed.code} ${closed.wasClean}`, '1000 true');
    });
  }
}

// event is the next event of a kind.
function event(socket, kind) {
  return new Promise(resolve => socket.addEventListener(kind, resolve, { once: true }));
}

async function plainWebSocket(report, url) {
  const socket = new WatchedWebSocket(webSocketURL(url));
  const open = await report.check('open', async () => {
    const { type } = await Promise.race([event(socket, 'open'), event(socket, 'close')]);
    equal('event', type, 'open');
  });
  if (!open) return;
  await report.check('message', async () => {
    const message = event(socket, 'message');
    socket.send(text);
    equal('message', (await message).data, text);
  });
  await report.check('close', async () => {
    const close = event(socket, 'close');
    socket.close(1000, 'done');
    const { code, wasClean } = await close;
    equal('close', `${code} ${wasClean}`, '1000 true');
  });
  await report.check('error', async () => {
    const lost = new WatchedWebSocket(`${webSocketURL(url)}-that-is-not-here`);
    const close = event(lost, 'close');
    const { message } = await event(lost, 'error');
    equal('close', (await close).code, 1006);
    return { message };
  });
}

const applications = { 'echo-time': echoTime, greeting, 'raw-echo': rawEcho, websocket: plainWebSocket };

run(async () => {
  const [name, url, ...more] = process.argv.slice(2);
  holds(`usage: node apps.mjs ${Object.keys(applications).join('|')} URL [WEBSOCKET-URL]`, url && applications[name]);
  await applications[name](new Report({ application: name }), url, ...more);
});
