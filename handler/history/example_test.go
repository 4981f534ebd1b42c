package history_test

import (
	"context"
	"fmt"
	"log"

	"switchback/handler"
	"switchback/handler/history"
	"switchback/handler/history/memory"
)

// A reader prints what it is given.
type reader struct{ cursor history.Cursor }

func (r *reader) Receive(p *handler.Publication) {
	if ok, _ := r.cursor.Take(p); ok {
		fmt.Println("new:", string(p.Text))
	}
}

// Who comes back gives the position that it had, and gets what it has missed before what is
// new, each once.
func ExampleLog() {
	hub, err := handler.NewHub(handler.NewMemory())
	if err != nil {
		log.Fatal(err)
	}
	defer hub.Close()
	l, err := history.New(memory.New(memory.Options{}), hub, history.Options{
		Policies: []history.Policy{{Topics: "/alarm/**", Keep: history.Keep{Count: 1000}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()

	ctx := context.Background()
	const topic = "/alarm/7"
	publish := func(text string) history.Position {
		at, _, err := l.Publish(ctx, topic, &handler.Publication{Text: []byte(text)}, topic)
		if err != nil {
			log.Fatal(err)
		}
		return at
	}
	had := publish("smoke")
	publish("fire")

	r := new(reader)
	if err := l.Subscribe(ctx, topic, topic, r); err != nil {
		log.Fatal(err)
	}
	defer l.Unsubscribe(ctx, topic, topic, r)
	_, err = l.CatchUp(ctx, topic, &r.cursor, history.From{Since: &had}, func(_ history.Caught, missed []history.Entry) error {
		for _, e := range missed {
			fmt.Println("missed:", string(e.Data))
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	publish("all clear")
	// Output:
	// missed: fire
	// new: all clear
}
