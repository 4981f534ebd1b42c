// sockjs-client gives a transport up that does not open in a few round trips, for the next
// one: the only one may take longer, in milliseconds.
const timeout = 10_000;

// options are those of a SockJS that takes the transport of a name, or tries what there is.
export function options(transport) {
  return transport === "automatic" ? {} : { transports: [transport], timeout };
}
