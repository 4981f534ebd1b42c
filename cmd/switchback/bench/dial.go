package bench

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"sync/atomic"
	"time"

	"switchback/transport/client"
)

const (
	maxSources     = 254
	defaultSources = 8
	openTimeout    = 10 * time.Second // of one session
	closeTimeout   = time.Second      // in which a server has to answer a close frame
)

// options are the settings of all sessions of a load. /info is not asked: a
// session costs nothing but itself.
func (f *flags) options() (client.Options, error) {
	sources, err := f.target(f.URL)
	if err != nil {
		return client.Options{}, err
	}
	return client.Options{
		Transports:   []string{f.Transport},
		SkipInfo:     true,
		HTTPClient:   &http.Client{Transport: f.httpTransport(sources), CheckRedirect: stay},
		OpenTimeout:  openTimeout,
		SendTimeout:  openTimeout,
		CloseTimeout: closeTimeout,
	}, nil
}

// stay follows no redirect: it may lead to another host.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// httpTransport has the small buffers and the many idle connections of the
// client's own, and goes through no proxy.
func (f *flags) httpTransport(sources int) *http.Transport {
	return &http.Transport{
		DialContext:         dialFrom(sources),
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: f.Insecure},
		TLSHandshakeTimeout: openTimeout,
		MaxIdleConnsPerHost: 1 << 20,
		IdleConnTimeout:     4 * time.Second, // below the 5 seconds after which common servers close theirs
		DisableCompression:  true,
		ReadBufferSize:      1 << 10,
		WriteBufferSize:     1 << 10,
	}
}

// dialFrom connects from each of so many loopback addresses in turn, or, with
// 0, from what the system chooses.
func dialFrom(sources int) func(ctx context.Context, network, address string) (net.Conn, error) {
	dialers := make([]net.Dialer, max(sources, 1))
	for i := range dialers {
		dialers[i] = net.Dialer{Timeout: openTimeout, KeepAlive: -1}
		if sources > 0 {
			dialers[i].LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+i))}
			dialers[i].Control = bindLate
		}
	}
	var next atomic.Uint32
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dialers[int(next.Add(1))%len(dialers)].DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return acking(c), nil
	}
}

// target checks that load may be put on the host of a URL, and returns the number
// of addresses to connect from, or 0 for what the system chooses.
func (f *flags) target(text string) (sources int, err error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return 0, fmt.Errorf("%q is no http or https URL; give one such as http://127.0.0.1:8081/echo", text)
	}
	addresses, err := net.LookupIP(u.Hostname())
	if err != nil {
		return 0, err
	}
	local, loopback := true, false // loopback: within 127.0.0.0/8
	for _, a := range addresses {
		local = local && a.IsLoopback()
		loopback = loopback || a.IsLoopback() && a.To4() != nil
	}
	if !local && !f.Anywhere {
		return 0, fmt.Errorf("%s is not this machine; --anywhere allows it, if whoever runs it does", u.Hostname())
	}
	return f.sources(loopback)
}

func (f *flags) sources(loopback bool) (int, error) {
	switch {
	case f.Sources == 0 && loopback && runtime.GOOS == "linux":
		return defaultSources, nil
	case f.Sources > 0 && !loopback:
		return 0, fmt.Errorf("--sources is for servers at 127.0.0.1")
	}
	return f.Sources, nil
}
