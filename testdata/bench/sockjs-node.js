'use strict';

// The same endpoints on sockjs-node.
//
// It listens on a free port of 127.0.0.1, and says in one line where.

const http = require('http');
const sockjs = require('sockjs');

function endpoint(server, prefix, onConnection) {
  const service = sockjs.createServer({ log() {} });
  service.on('connection', onConnection);
  service.installHandlers(server, { prefix });
}

const members = new Set();
const server = http.createServer();

endpoint(server, '/echo', (conn) => {
  conn.on('data', (text) => conn.write(text));
});

endpoint(server, '/broadcast', (conn) => {
  members.add(conn);
  conn.on('close', () => members.delete(conn));
  conn.on('data', (text) => {
    for (const member of members) member.write(text);
  });
});

server.listen(0, '127.0.0.1', 4096, () => {
  console.log(`serving /echo /broadcast at http://127.0.0.1:${server.address().port}/`);
});
