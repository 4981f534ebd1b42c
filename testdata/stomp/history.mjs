// What is kept of topics, as a page asks for it with a STOMP library: who comes late, who was cut off, who has not read.
//
//   node history.mjs URL LIBRARY [TRANSPORT...]
//
// URL is a SockJS endpoint that also takes native WebSocket, with the logins guest and kim, whose passcodes are their
// names. All of /topic and of /alarm is kept, and it is counted who has read what of /alarm. All transports are run when
// none is named. It prints one line of JSON for each check and exits with 1 when one has failed.
import net from 'node:net';
import { Client } from '@stomp/stompjs';
import Stomp from 'stompjs';

import { libraries, unique } from './libraries.mjs';
import { Report, equal, holds, pause, run } from './report.mjs';
import { sockJS, transports, webSocketURL } from './sockets.mjs';

const guest = { login: 'guest', passcode: 'guest' };
const kim = { login: 'kim', passcode: 'kim' };
const again = 20; // milliseconds after which who was cut off comes back
const beat = 300; // milliseconds; sockjs-client on Node sees no end of a stream that is cut: heart-beats tell

// wire carries connections to a server. It gives the URL to use, and a function that cuts them all.
async function wire(url) {
  const { hostname, port } = new URL(url);
  const ends = new Set();
  const server = net.createServer(near => {
    const far = net.connect(port, hostname);
    for (const [end, other] of [[near, far], [far, near]]) {
      ends.add(end);
      end.on('error', () => {}); // a close event follows
      end.on('close', () => {
        ends.delete(end);
        other.destroy();
      });
      end.pipe(other);
    }
  });
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  const wired = new URL(url);
  wired.port = server.address().port;
  return { url: wired.href, cut: () => ends.forEach(end => end.destroy()) };
}

// A library as a page has it that stays connected: connected is told of the client each time that it is, failed of an
// ERROR. What it returns ends that.
const staying = {
  // It comes back by itself.
  '@stomp/stompjs': (url, transport, connected, failed) => {
    const client = new Client({
      ...(transport === 'native' ? { brokerURL: webSocketURL(url) } : { webSocketFactory: () => sockJS(url, transport) }),
      connectHeaders: guest,
      reconnectDelay: again,
      heartbeatIncoming: beat,
      heartbeatOutgoing: 0,
      onConnect: () => connected(client),
      onStompError: failed,
    });
    client.activate();
    return () => client.deactivate();
  },
  // The page makes another one.
  stompjs: (url, transport, connected, failed) => {
    let client;
    let ended = false;
    const open = () => {
      if (ended) return;
      client = transport === 'native' ? Stomp.client(webSocketURL(url)) : Stomp.over(sockJS(url, transport));
      client.debug = () => {};
      client.heartbeat = { outgoing: 0, incoming: beat };
      client.connect({ ...guest }, () => connected(client), problem => (problem.command ? failed(problem) : setTimeout(open, again)));
    };
    open();
    return () => {
      ended = true;
      client.disconnect();
    };
  },
};

// Each check has a publisher and another session, of kim, over the transport.
async function overTransport(report, { url, library, name, transport }) {
  const session = async login => {
    const s = library.open(url, transport, 0);
    await s.connect({ ...login });
    return s;
  };
  let publisher;
  const publish = async (destination, ...bodies) => {
    const stored = publisher.receipt();
    bodies.forEach((body, i) => publisher.send(destination, body, i + 1 < bodies.length ? {} : stored.headers));
    await stored.arrived;
  };
  // subscribe gives an inbox and the RECEIPT.
  const subscribe = async (s, destination, headers) => {
    const subscribed = s.receipt();
    const inbox = s.subscribe(destination, { ...headers, ...subscribed.headers });
    return { inbox, receipt: (await subscribed.arrived).headers };
  };

  await report.check('history', async () => {
    publisher = await session(guest);
    const topic = `/topic/${unique('history')}`;
    await publish(topic, '0', '1', '2', '3');
    const late = await session(kim);
    const { inbox, receipt } = await subscribe(late, topic, { history: '50' });
    await publish(topic, '4');
    let last;
    for (let i = 0; i < 5; i++) {
      const { body, headers } = await inbox.next();
      equal('body', body, `${i}`);
      const [epoch, offset] = headers.offset.split('/');
      equal('offset', Number(offset), i + 1);
      holds(`${headers.offset} after ${last}`, epoch && (!last || epoch === last.split('/')[0]));
      holds('a gap', !('gap' in headers));
      if (i === 3) equal('offset of the RECEIPT', receipt.offset, headers.offset);
      last = headers.offset;
    }
    const short = await subscribe(late, topic, { history: '2' });
    equal('the last but one', (await short.inbox.next()).body, '3');
    await late.disconnect();
  });

  // It is cut off while messages are published, and has each once, in order.
  await report.check('cut-off', async () => {
    const cuts = 5, before = 10, after = 20; // messages before a cut and after it
    const topic = `/topic/${unique('cut')}`;
    const line = await wire(url);
    const got = [];
    let since, sent = 0, connections = 0, want, reached, failed;
    const failure = new Promise((_, reject) => (failed = reject));
    const has = count => Promise.race([failure, new Promise(resolve => {
      [want, reached] = [count, resolve];
      if (got.length >= count) resolve();
    })]);
    const publishMore = count => {
      while (count-- > 0) publisher.send(topic, `${sent++}`);
    };
    const leave = staying[name](line.url, transport, client => {
      connections++;
      client.subscribe(topic, ({ body, headers }) => {
        if ('gap' in headers) failed(new Error(`a gap before ${body}`));
        since = headers.offset;
        if (got.push(body) === want) reached();
      }, since ? { since } : { history: '100' });
    }, ({ headers }) => failed(new Error(`ERROR ${headers.message}`)));
    for (let i = 1; i <= cuts; i++) {
      publishMore(before);
      await has(sent);
      publishMore(after / 2); // which may be on their way
      line.cut();
      publishMore(after / 2);
      await has(sent);
      while (connections <= i) await pause(5);
    }
    await pause(50); // and nothing comes twice
    leave();
    equal('messages', got.join(), Array.from({ length: sent }, (_, i) => i).join());
    return { connections };
  });

  // What it asks for was of a store that is gone: it is told so, and gets what is new.
  await report.check('gap', async () => {
    const topic = `/topic/${unique('gap')}`;
    await publish(topic, 'one', 'two');
    const { inbox, receipt } = await subscribe(publisher, topic, { since: '1/1' });
    equal('gap of the RECEIPT', receipt.gap, 'true');
    publish(topic, 'three', 'four');
    const [three, four] = [await inbox.next(), await inbox.next()];
    equal('messages', `${three.body} ${four.body}`, 'three four');
    equal('gap of the first', three.headers.gap, 'true');
    holds('gap of the second', !('gap' in four.headers));
    const { inbox: exact, receipt: nothing } = await subscribe(publisher, topic, { since: three.headers.offset });
    holds('a gap where nothing is missing', !('gap' in nothing));
    equal('the next', (await exact.next()).body, 'four');
  });

  await report.check('unread', async () => {
    const alarm = `/alarm/${unique('kim')}`;
    await publish(alarm, '1', '2', '3');
    const windows = [await session(kim), await session(kim)];
    const [one, two] = [await subscribe(windows[0], alarm), await subscribe(windows[1], alarm)];
    equal('unread at login', `${one.receipt.unread} ${two.receipt.unread}`, '3 3');
    await publish(alarm, '4');
    const fourth = await one.inbox.next();
    equal('unread with a message', `${fourth.body} ${fourth.headers.unread} ${(await two.inbox.next()).headers.unread}`, '4 4 4');
    const read = async offset => {
      const marked = windows[0].receipt();
      windows[0].send('/app/read', JSON.stringify({ destination: alarm, offset }), marked.headers);
      return (await marked.arrived).headers.unread;
    };
    equal('unread of what is read in part', await read(fourth.headers.offset.replace('/4', '/2')), '2');
    equal('unread of what is read', await read(fourth.headers.offset), '0');
    await publish(alarm, '5');
    for (const { inbox } of [one, two]) equal('unread after that', (await inbox.next()).headers.unread, '1');
    await Promise.all(windows.map(w => w.disconnect()));
    await publish(alarm, '6');
    const back = await session(kim);
    const later = await subscribe(back, alarm, { since: fourth.headers.offset });
    equal('unread for who comes back', later.receipt.unread, '2');
    for (const body of ['5', '6']) equal('missed', (await later.inbox.next()).body, body);
    await back.disconnect();
    const other = await subscribe(publisher, alarm);
    equal('unread of who has published', other.receipt.unread, '0');
  });
  await publisher.disconnect();
}

run(async () => {
  const [url, name, ...named] = process.argv.slice(2);
  const library = libraries[name];
  holds(`usage: node history.mjs URL ${Object.keys(staying).join('|')} [TRANSPORT...]`, url && staying[name]);
  holds(`the transports are ${transports.join(', ')}`, named.every(t => transports.includes(t)));
  await Promise.all((named.length > 0 ? named : transports).map(transport => (
    overTransport(new Report({ library: name, transport }), { url, library, name, transport }))));
});
