package stomp

import (
	"strconv"
	"strings"
	"time"

	"switchback/handler/rules"
	"switchback/handler/stomp/frame"
)

// connect answers CONNECT.
func (c *conn) connect(f *frame.Frame) error {
	version, ok := frame.Negotiate(f.Headers)
	if !ok {
		return &Error{
			Message: "Supported protocol versions are " + frame.Versions,
			Body:    "Supported protocol versions are " + frame.Versions,
			headers: frame.Headers{{Name: "version", Value: frame.Versions}},
		}
	}
	if err := c.login(f.Headers); err != nil {
		return err
	}
	if err := c.checkRules(rules.Connect, ""); err != nil {
		return err
	}
	if err := c.joinUser(); err != nil {
		return err
	}
	c.client.Version = version
	answer := c.agree(f.Headers)
	c.setTerm()
	if c.enter(connected) != opening {
		return nil // too late
	}
	c.known = true
	c.startTerm()
	c.limit()
	c.broker.stats.Connects.Add(1)
	c.broker.options.Events.connect(&c.client)
	c.broker.users.add(c)
	c.send(frame.Connected, answer, nil)
	c.startPulse()
	c.broker.options.Events.connected(&c.client)
	return nil
}

// agree agrees on heart-beats and returns the headers of CONNECTED. Old clients
// read heart-beat and session without asking whether they are there; session is
// always there in 1.0 (STOMP 1.0, Client Commands).
func (c *conn) agree(h frame.Headers) frame.Headers {
	o := &c.broker.options
	c.pulse.sent.Store(int64(c.broker.clock.now()))
	announced := "0,0"
	if c.client.Version != frame.V10 {
		announced = millis(o.HeartbeatSend) + "," + millis(o.HeartbeatReceive)
		can, wants := heartbeats(h.Value("heart-beat"))
		c.pulse.read = 3 * rate(can, o.HeartbeatReceive)
		c.pulse.write = rate(o.HeartbeatSend, wants)
	}
	headers := frame.Headers{
		{Name: "version", Value: c.client.Version.String()},
		{Name: "heart-beat", Value: announced},
		{Name: "session", Value: c.client.ID},
	}
	if c.client.User() != "" {
		headers = append(headers, frame.Header{Name: "user-name", Value: c.client.User()})
	}
	return headers
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// heartbeats reads what a client can and wants: two numbers of milliseconds.
// What is not understood is none.
func heartbeats(value string) (can, wants time.Duration) {
	first, second, _ := strings.Cut(value, ",")
	return interval(first), interval(second)
}

func interval(token string) time.Duration {
	const most = 1<<31 - 1
	n, err := strconv.Atoi(strings.TrimSpace(token))
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(min(n, most)) * time.Millisecond
}

// rate is how often one side sends a heart-beat when it can do so every can and
// the other side wants one every wants; 0 is never (STOMP 1.2, Heart-beating).
func rate(can, wants time.Duration) time.Duration {
	if can == 0 || wants == 0 {
		return 0
	}
	return max(can, wants)
}

// disconnect answers DISCONNECT. Who asked for a receipt closes when it has come.
func (c *conn) disconnect(f *frame.Frame) error {
	c.enter(leaving)
	c.tellLeft(c.release())
	wait := time.Duration(0)
	if f.Headers.Value("receipt") != "" {
		c.receipt(f)
		wait = c.broker.options.DisconnectTimeout
	}
	c.broker.clock.set(&c.pulse.alarm, c.broker.clock.now()+wait)
	return nil
}
