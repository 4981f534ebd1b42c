package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"

	"switchback/handler/stomp/frame"
	"switchback/web/admin/client"
)

// A historyCommand reads, exports and trims what a server keeps.
type historyCommand struct {
	adminFlags
	Topic     string `arg:"" optional:"" help:"The topic: /topic/news, or /chat/ROOM. Without it, all that are kept are listed."`
	Last      string `placeholder:"N" help:"The last so many messages. The default is 20, with --json all."`
	JSON      bool   `name:"json" help:"One JSON object a line, from the first to the last, as they are kept: of STOMP as MESSAGE frames."`
	KeepCount string `placeholder:"N" help:"Trim the topic: keep so many of the newest messages."`
	KeepAge   string `placeholder:"DURATION" help:"Trim the topic: keep what is not older, such as 720h."`
	KeepBytes string `placeholder:"BYTES" help:"Trim the topic: keep the newest messages of so many bytes together, such as 64MiB."`
}

// Help is the end of history --help.
func (*historyCommand) Help() string {
	return `Examples:
  switchback history --admin 127.0.0.1:8082 --token-file token
  switchback history /topic/news --json > news.jsonl
  switchback history /topic/news --keep-count 1000 --keep-age 720h

What is trimmed is gone. The server trims by itself what history.topics of its configuration says.`
}

// Run does what the flags say.
func (c *historyCommand) Run(app *kong.Kong) error {
	var last int
	var age time.Duration
	keep := client.Trim{Topic: c.Topic}
	err := errors.Join(
		take(&last, "--last", c.Last, countKind),
		take(&keep.Count, "--keep-count", c.KeepCount, countKind),
		take(&age, "--keep-age", c.KeepAge, durationKind),
		take(&keep.Bytes, "--keep-bytes", c.KeepBytes, bigSizeKind),
	)
	if err != nil {
		return err
	}
	if age != 0 {
		keep.Age = age.String()
	}
	trim := keep != client.Trim{Topic: c.Topic}
	switch {
	case c.Topic == "" && (trim || last != 0):
		return usageError{errors.New("--last and --keep-... are of one topic; name it")}
	case trim && (last != 0 || c.JSON):
		return usageError{errors.New("--keep-... trims the topic, and shows none of it; leave --last and --json out")}
	}
	from, err := c.client()
	if err != nil {
		return err
	}
	ctx := context.Background()
	switch {
	case trim:
		return c.trim(ctx, from, keep, app.Stdout)
	case c.Topic == "":
		return c.topics(ctx, from, app.Stdout)
	case c.JSON:
		return c.export(ctx, from, last, app.Stdout)
	}
	return c.show(ctx, from, cmp.Or(last, 20), app.Stdout)
}

func (c *historyCommand) trim(ctx context.Context, at *client.Client, keep client.Trim, w io.Writer) error {
	left, err := at.Trim(ctx, keep)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "kept %d messages, %d bytes\n", left.Count, left.Bytes)
	return err
}

// topics lists the topics.
func (c *historyCommand) topics(ctx context.Context, from *client.Client, w io.Writer) error {
	page := func(after string) ([]client.KeptTopic, string, error) {
		p, err := from.KeptTopics(ctx, 0, after)
		return p.Topics, p.Next, err
	}
	return writeList(w, c.JSON, "TOPIC\tMESSAGES\tBYTES\tLAST", page, func(t client.KeptTopic) []string {
		return []string{cell(t.Topic), strconv.FormatInt(t.Count, 10), strconv.FormatInt(t.Bytes, 10), t.Last}
	})
}

// export writes entries as lines of JSON: all that there are when it begins, and what comes
// meanwhile, or the last so many.
func (c *historyCommand) export(ctx context.Context, from *client.Client, last int, w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	if last != 0 {
		entries, err := c.last(ctx, from, last)
		for _, e := range entries {
			if err := encoder.Encode(e); err != nil {
				return err
			}
		}
		return err
	}
	for after := "0"; ; {
		page, err := from.History(ctx, c.Topic, client.Range{After: after}, exportPage)
		if err != nil {
			return err
		}
		for _, e := range page.Entries {
			if err := encoder.Encode(e); err != nil {
				return err
			}
			after = e.Offset
		}
		if len(page.Entries) == 0 {
			return nil
		}
	}
}

// exportPage is how many entries are asked for at once.
const exportPage = 1000

// last are the last n entries, in their order.
func (c *historyCommand) last(ctx context.Context, from *client.Client, n int) (entries []client.Entry, err error) {
	for before := ""; len(entries) < n; {
		page, err := from.History(ctx, c.Topic, client.Range{Before: before}, min(n-len(entries), exportPage))
		if err != nil || len(page.Entries) == 0 {
			return entries, err
		}
		entries = append(page.Entries, entries...)
		before = entries[0].Offset
	}
	return entries, nil
}

// show writes the last n entries for people.
func (c *historyCommand) show(ctx context.Context, from *client.Client, n int, w io.Writer) error {
	entries, err := c.last(ctx, from, n)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "OFFSET\tAT\tUSER\tTEXT")
	for _, e := range entries {
		text := "(not text)"
		if e.Text != nil {
			text = strconv.Quote(said(*e.Text))
		}
		fmt.Fprintln(table, strings.Join([]string{e.Offset, e.At.Format(time.RFC3339), cell(e.User), text}, "\t"))
	}
	return table.Flush()
}

// said is what an entry says: of STOMP the body of the MESSAGE.
func said(text string) string {
	var f frame.Frame
	d := frame.Decoder{Limits: &frame.Limits{Frame: len(text), Body: len(text), HeaderBytes: len(text), Headers: len(text)}, Version: frame.V12}
	d.Feed([]byte(text))
	if ok, err := d.Next(&f); !ok || err != nil || f.Command != frame.Message {
		return text
	}
	return string(f.Body)
}
