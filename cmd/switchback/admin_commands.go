package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"

	"switchback/web/admin/client"
)

// An adminFlags is where a command finds the admin listener of a server.
type adminFlags struct {
	Admin     string `env:"SWITCHBACK_ADMIN_ADDR" placeholder:"URL" help:"The admin listener of the server: its URL, or its address."`
	TokenFile string `placeholder:"FILE" help:"The file that holds its token. Without it the token is that of SWITCHBACK_ADMIN_TOKEN."`
}

// patient is how long a command waits for the server.
const patient = 30 * time.Second

// client speaks to the admin listener. The token is not said to be wrong here: it may be
// that the listener has none, which it says.
func (f *adminFlags) client() (*client.Client, error) {
	at, err := adminURL(f.Admin)
	if err != nil {
		return nil, err
	}
	c := adminConfig{}
	if f.TokenFile != "" {
		c.token, err = readToken(f.TokenFile)
	} else {
		err = c.environment()
	}
	if err != nil {
		return nil, err
	}
	return client.New(at, c.token, &http.Client{Timeout: patient}), nil
}

// adviceOfAdmin is what to do where there is no admin listener, or it is not given its token;
// "" for other errors.
func adviceOfAdmin(err error) string {
	if e, ok := errors.AsType[*client.Error](err); ok && e.Status == http.StatusUnauthorized {
		return "Give the token of the server with --token-file or SWITCHBACK_ADMIN_TOKEN."
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" {
		return "Say with --admin or SWITCHBACK_ADMIN_ADDR where the admin listener of the server is, which has one with --admin-addr or admin.addr."
	}
	return ""
}

// A publishCommand publishes one message.
type publishCommand struct {
	adminFlags
	Destination string `arg:"" help:"A topic or a queue such as /topic/news, or the path of an endpoint that broadcasts; with --user what clients subscribe to, such as /queue/news."`
	Body        string `arg:"" optional:"" default:"-" help:"JSON, or a text with --text. Without it, or where it is -, it is read from standard input."`
	Text        bool   `help:"The body is a text, which goes as it is."`
	User        string `placeholder:"USER" help:"To all sessions of this user."`
}

// Help is the end of publish --help.
func (*publishCommand) Help() string {
	return `Example: switchback publish /topic/alarm '{"level":3}' --admin 127.0.0.1:8082 --token-file token`
}

// Run publishes.
func (c *publishCommand) Run() error {
	body := []byte(c.Body)
	if c.Body == "-" {
		var err error
		if body, err = io.ReadAll(os.Stdin); err != nil {
			return err
		}
	}
	var payload any = string(body)
	if !c.Text {
		if !json.Valid(body) {
			return usageError{errors.New("the body is no JSON; with --text it goes as it is")}
		}
		payload = json.RawMessage(body)
	}
	to, err := c.client()
	if err != nil {
		return err
	}
	if c.User != "" {
		return to.SendToUser(context.Background(), c.User, c.Destination, payload)
	}
	return to.Send(context.Background(), c.Destination, payload)
}

// A sessionsCommand lists sessions.
type sessionsCommand struct {
	adminFlags
	User      string `placeholder:"USER" help:"Those of this user."`
	Endpoint  string `placeholder:"PATH" help:"Those of the endpoint with this path."`
	Transport string `placeholder:"NAME" help:"Those of this transport: websocket, xhr-streaming, ..."`
	JSON      bool   `name:"json" help:"One JSON object a line."`
}

// Help is the end of sessions --help.
func (*sessionsCommand) Help() string {
	return `Example: switchback sessions --transport xhr-polling --admin 127.0.0.1:8082 --token-file token`
}

// Run lists.
func (c *sessionsCommand) Run(app *kong.Kong) error {
	from, err := c.client()
	if err != nil {
		return err
	}
	filter := client.Filter{Endpoint: c.Endpoint, User: c.User, Transport: c.Transport}
	page := func(after string) ([]client.Session, string, error) {
		p, err := from.Sessions(context.Background(), filter, 0, after)
		return p.Sessions, p.Next, err
	}
	return writeList(app.Stdout, c.JSON, "ID\tENDPOINT\tTRANSPORT\tADDRESS\tUSER\tOPENED\tQUEUED", page, func(s client.Session) []string {
		opened := "-"
		if s.Opened != nil {
			opened = s.Opened.Format(time.RFC3339)
		}
		return []string{s.ID, s.Endpoint, s.Transport, s.Address, cell(s.User), opened, strconv.Itoa(s.Queued)}
	})
}

// writeList writes the items of all pages, as a table with a head or as a line of JSON each. A
// page is what comes after another, by what that has for it.
func writeList[T any](w io.Writer, asJSON bool, head string, page func(after string) (items []T, next string, err error), row func(T) []string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	tell := func(item T) error {
		_, err := fmt.Fprintln(table, strings.Join(row(item), "\t"))
		return err
	}
	if asJSON {
		encoder := json.NewEncoder(w)
		tell = func(item T) error { return encoder.Encode(item) }
	} else {
		fmt.Fprintln(table, head)
	}
	for after := ""; ; {
		items, next, err := page(after)
		if err != nil {
			return err
		}
		for _, item := range items {
			if err := tell(item); err != nil {
				return err
			}
		}
		if after = next; after == "" {
			return table.Flush()
		}
	}
}

// cell is a name that clients may have chosen, in a table for people.
func cell(name string) string {
	if name == "" {
		return "-"
	}
	if quoted := strconv.Quote(name); quoted != `"`+name+`"` || strings.Contains(name, " ") {
		return quoted
	}
	return name
}

// A disconnectCommand closes sessions.
type disconnectCommand struct {
	adminFlags
	Session string `xor:"whom" required:"" placeholder:"ID" help:"The session with this id, as sessions lists it; this or --user."`
	User    string `xor:"whom" required:"" placeholder:"USER" help:"All sessions of this user; this or --session."`
	Code    int    `placeholder:"CODE" help:"The code that they are closed with: 1000, or 3000 to 4999. The default is 3000."`
	Reason  string `help:"What their clients are told, of at most 123 bytes."`
}

// Help is the end of disconnect --help.
func (*disconnectCommand) Help() string {
	return `Example: switchback disconnect --user bob --code 4001 --reason "Logged out" --admin 127.0.0.1:8082 --token-file token`
}

// Run closes, and tells how many sessions that were.
func (c *disconnectCommand) Run(app *kong.Kong) error {
	at, err := c.client()
	if err != nil {
		return err
	}
	closed, err := at.Disconnect(context.Background(), client.Disconnection{Session: c.Session, User: c.User, Code: c.Code, Reason: c.Reason})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(app.Stdout, "closed %d\n", closed)
	return err
}
