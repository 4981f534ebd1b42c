// A STOMP library against a server, over native WebSocket and SockJS.
//
//   node clients.mjs URL LIBRARY [TRANSPORT...]
//
// URL is a SockJS endpoint that also takes native WebSocket, such as http://127.0.0.1:15674/ws, with the login guest
// and guest, broadcast under /topic and queues under /queue. All transports are run when none is named. It prints one
// line of JSON for each check and exits with 1 when one has failed.
import { libraries, unique } from './libraries.mjs';
import { Report, equal, holds, pause, run } from './report.mjs';
import { transports } from './sockets.mjs';

const login = { login: 'guest', passcode: 'guest' };
const beat = 2000; // milliseconds
const noBeat = 0;
const text = 'Zoë: 日本語, العربية, 😀 and "quotes" \\n %41 <b>&amp;</b>';

// topic is a destination of this check's own.
const topic = () => `/topic/${unique('clients')}`;

// echo sends a message to a topic and gives it as it comes back.
async function echo(session, body, headers) {
  const destination = topic();
  const inbox = session.subscribe(destination);
  session.send(destination, body, headers);
  const message = await inbox.next();
  equal('destination', message.headers.destination, destination);
  equal('subscription', message.headers.subscription, inbox.subscription.id);
  holds('no message-id', message.headers['message-id']);
  inbox.unsubscribe();
  return message;
}

async function headers(session, { library }) {
  const sent = { 'content-type': 'text/plain', priority: '9', name: 'Zoë 😀', empty: '' };
  if (library.escapes) sent.special = 'a:b\r\nc\\d';
  const message = await echo(session, 'with headers', sent);
  equal('body', message.body, 'with headers');
  for (const [name, value] of Object.entries(sent)) equal(name, message.headers[name], value);
  equal('body of an empty message', (await echo(session, '')).body, '');
}

async function unicode(session) {
  equal('body', (await echo(session, text)).body, text);
}

async function json(session) {
  const value = { text, lines: 'one\ntwo\r\n', number: 1.5, list: [true, null, { '': 0 }] };
  const message = await echo(session, JSON.stringify(value), { 'content-type': 'application/json' });
  equal('content-type', message.headers['content-type'], 'application/json');
  equal('body', JSON.stringify(JSON.parse(message.body)), JSON.stringify(value));
}

async function order(session) {
  const destination = topic();
  const inbox = session.subscribe(destination);
  for (let i = 0; i < 100; i++) session.send(destination, `message ${i}`);
  for (let i = 0; i < 100; i++) equal('message', (await inbox.next()).body, `message ${i}`);
  inbox.unsubscribe();
}

// A mebibyte of astral characters, with NULs where the library reads them. A library that cuts frames cuts these
// characters too: SockJS carries the halves, but WebSocket does not, so there it gets others.
async function large(session, { library, transport }) {
  const halves = transport !== 'native';
  const unit = (library.nul ? '\0' : '') + (halves || !library.cuts ? '😀' : '€');
  const half = unit.repeat(Math.ceil((1 << 19) / Buffer.byteLength(unit)));
  const body = `${half}|${half}`; // cut at even places or at odd ones
  const message = await echo(session, body);
  equal('body', message.body, body);
  const cut = session.socket.seen.out.some(data => /[\ud800-\udbff]$/.test(data));
  equal('a character was cut', cut, halves);
  return { bytes: Buffer.byteLength(body) };
}

async function receipts(session) {
  const destination = topic();
  const subscribed = session.receipt();
  const inbox = session.subscribe(destination, subscribed.headers);
  await subscribed.arrived;
  const sent = session.receipt();
  session.send(destination, 'acknowledged', sent.headers);
  await sent.arrived;
  equal('body', (await inbox.next()).body, 'acknowledged');
  inbox.unsubscribe();
}

// A message that is refused comes again, and one that is acknowledged does not.
async function queue(session) {
  const destination = `/queue/${unique('clients')}`;
  const consume = () => session.subscribe(destination, { ack: 'client' });
  const inbox = consume();
  session.send(destination, 'first');
  const first = await inbox.next();
  equal('body', first.body, 'first');
  first.nack();
  const again = await inbox.next();
  equal('body after NACK', again.body, 'first');
  const acknowledged = session.receipt();
  again.ack(acknowledged.headers);
  await acknowledged.arrived;
  inbox.unsubscribe();
  const later = consume();
  session.send(destination, 'second');
  const second = await later.next();
  equal('body after ACK', second.body, 'second');
  second.ack();
  later.unsubscribe();
}

async function transaction(session) {
  const destination = topic();
  const inbox = session.subscribe(destination);
  const aborted = session.begin();
  session.send(destination, 'aborted', { transaction: aborted.id });
  aborted.abort();
  const committed = session.begin();
  session.send(destination, 'committed', { transaction: committed.id });
  session.send(destination, 'outside');
  equal('first', (await inbox.next()).body, 'outside');
  committed.commit();
  equal('second', (await inbox.next()).body, 'committed');
  inbox.unsubscribe();
}

async function unsubscribe(session) {
  const destination = topic();
  const left = session.subscribe(destination, { id: unique('left') }); // webstomp-client may give both the same
  const stayed = session.subscribe(destination);
  left.unsubscribe();
  session.send(destination, 'after');
  equal('body', (await stayed.next()).body, 'after');
  const barrier = session.receipt();
  session.send(destination, 'barrier', barrier.headers);
  await barrier.arrived;
  const messages = session.socket.seen.in.filter(data => data.includes(`\nsubscription:${left.subscription.id}\n`));
  equal('messages after UNSUBSCRIBE', messages.length, 0);
  stayed.unsubscribe();
}

// Every message of the server was text: a heart-beat, or one whole frame. RabbitMQ puts an LF behind each.
async function frames(session) {
  const { seen } = session.socket;
  for (const data of seen.in) {
    equal('type of a message', typeof data, 'string');
    if (data === '\n') continue;
    const [, head, body] = /^([A-Z]+(?:\n[^\n]+)*)\n\n([^]*)\0\n?$/.exec(data) ?? [];
    holds(`not a frame: ${JSON.stringify(data.slice(0, 80))}`, head);
    const [, length] = /\ncontent-length:(\d+)/.exec(head) ?? [];
    if (length) equal('bytes of the body', Buffer.byteLength(body), Number(length));
    else holds(`more than one frame: ${JSON.stringify(data.slice(0, 80))}`, !body.includes('\0'));
  }
  return { messages: seen.in.length };
}

async function disconnect(session) {
  const closed = await session.disconnect();
  equal('wasClean', closed.wasClean, true);
  holds(`code ${closed.code}`, closed.code === 1000 || closed.code === 1005);
  holds('an ERROR came', !session.socket.seen.in.some(data => data.startsWith('ERROR')));
}

const checks = { headers, unicode, json, order, large, receipts, queue, transaction, unsubscribe, frames, disconnect };

// A library that waits for the server's goodbye asks for a receipt of DISCONNECT. That is the last frame.
async function goodbye(session) {
  const last = session.socket.seen.in.filter(data => data !== '\n').at(-1);
  holds('no RECEIPT of DISCONNECT', last.startsWith('RECEIPT\n'));
}

// The sub-protocol is the library's first, not the server's.
async function subprotocol(session, { library }) {
  equal('sub-protocol', session.socket.protocol, library.subprotocol);
}

// Two beats in each direction, at the interval that was agreed on. What a busy machine spoils is done again with a longer one.
async function heartBeats(subject) {
  return heartBeatsEvery(beat, subject).catch(() => heartBeatsEvery(5 * beat, subject));
}

async function heartBeatsEvery(beat, { url, library, transport }) {
  const session = library.open(url, transport, beat);
  const { headers } = await session.connect({ ...login });
  const [ours, theirs] = headers['heart-beat'].split(',').map(Number);
  holds(`the server's heart-beat is ${ours},${theirs}`, ours > 0 && theirs > 0);
  const interval = Math.max(beat, ours, theirs);
  holds(`every ${interval} ms is too seldom to be watched`, interval <= 2 * beat);
  const { seen } = session.socket;
  const beats = data => data.filter(message => message === '\n').length;
  const flow = async () => {
    while (beats(seen.in) < 2 || beats(seen.out) < 2) await pause(50);
  };
  await session.race(flow());
  await session.disconnect();
  return { interval, in: beats(seen.in), out: beats(seen.out) };
}

// The first version, as a library comes to it that offers the oldest sub-protocol first.
async function oldest({ url, library }) {
  const session = library.openOldest(url, noBeat);
  const connected = await session.connect({ ...login });
  equal('sub-protocol', session.socket.protocol, 'v10.stomp');
  equal('version', connected.headers.version, '1.0');
  equal('body', (await echo(session, text)).body, text);
  await session.disconnect();
}

// A wrong passcode is answered with ERROR, and then the socket closes.
async function refused(session) {
  const error = await session.connect({ ...login, passcode: 'wrong' }).then(() => new Error('connected'), error => error);
  equal('answer', error.frame?.command ?? error.message, 'ERROR');
  holds('ERROR without a message', error.frame.headers.message);
  return { message: error.frame.headers.message };
}

async function closed(session) {
  equal('code', (await session.socket.seen.closed).code, 1002);
}

async function overTransport(report, subject) {
  const { url, library, transport } = subject;
  const session = library.open(url, transport, noBeat);
  const connected = await report.check('connect', async () => {
    const { headers } = await session.connect({ ...login });
    equal('version', headers.version, library.version);
    holds('no heart-beat header', headers['heart-beat']);
  });
  if (!connected) return;
  for (const [name, check] of Object.entries(checks)) {
    if (session.lost) return;
    await report.check(name, () => check(session, subject));
  }
  const stranger = library.open(url, transport, noBeat);
  if (!await report.check('refused', () => refused(stranger))) return;
  await report.check('refused-closed', () => closed(stranger));
  if (library.waits) await report.check('goodbye', () => goodbye(session));
  if (transport !== 'native') return;
  await report.check('subprotocol', () => subprotocol(session, subject));
  if (library.openOldest) await report.check('oldest', () => oldest(subject));
}

run(async () => {
  const [url, name, ...named] = process.argv.slice(2);
  const library = libraries[name];
  holds(`usage: node clients.mjs URL ${Object.keys(libraries).join('|')} [TRANSPORT...]`, url && library);
  holds(`the transports are ${transports.join(', ')}`, named.every(t => transports.includes(t)));
  const subjects = (named.length > 0 ? named : transports).map(transport => ({
    url, library, transport, report: new Report({ library: name, transport }),
  }));
  const beating = subjects.map(subject => subject.report.check('heart-beats', () => heartBeats(subject)));
  for (const subject of subjects) await overTransport(subject.report, subject);
  await Promise.all(beating);
});
