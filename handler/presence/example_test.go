package presence_test

import (
	"context"
	"fmt"
	"log"

	"switchback/handler/presence"
)

// A user with two windows is there until both are closed.
func ExampleLocal() {
	p, err := presence.NewLocal(presence.Options{})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	for _, session := range []string{"1", "2"} {
		if err := p.Join(ctx, "room", "kim", session); err != nil {
			log.Fatal(err)
		}
	}
	for _, session := range []string{"1", "2"} {
		p.Leave(ctx, "room", "kim", session)
		users, _ := p.Users(ctx, "room", "", 10)
		fmt.Println(users)
	}
	// Output:
	// [kim]
	// []
}
