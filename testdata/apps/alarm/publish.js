// Publishes how many alarms a user has not read, as a service of its own:
//
//   node publish.js USER NUMBER    that number
//   node publish.js USER           1, 2, 3 ..., one a second
'use strict';

const { SWITCHBACK_ADMIN_ADDR: addr, SWITCHBACK_ADMIN_TOKEN: token } = process.env;
const [user, number] = process.argv.slice(2);

async function publish(unread) {
  const response = await fetch(`http://${addr}/api/publish`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({ destination: `/alarm/${user}`, payload: unread }),
  });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
}

async function main() {
  if (!addr || !token) throw new Error('SWITCHBACK_ADMIN_ADDR and SWITCHBACK_ADMIN_TOKEN must be set, as for the server');
  if (!/^\d+$/.test(user) || !/^\d*$/.test(number ?? '')) throw new Error('usage: node publish.js USER [NUMBER]');
  if (number) return publish(Number(number));
  for (let unread = 1; ; unread++) {
    await publish(unread);
    await new Promise(resolve => setTimeout(resolve, 1000));
  }
}

main().catch(error => { console.error(`publish: ${error.message}`); process.exit(1); });
