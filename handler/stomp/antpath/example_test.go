package antpath_test

import (
	"fmt"
	"log"

	"switchback/handler/stomp/antpath"
)

func ExampleParse() {
	p, err := antpath.Parse("/rooms/{room}/**", "/")
	if err != nil {
		log.Fatal(err)
	}
	for _, path := range []string{"/rooms/lobby", "/rooms/lobby/users/kim", "/users/kim"} {
		values, ok := p.Match(path)
		fmt.Println(path, ok, p.Variables(), values)
	}
	// Output:
	// /rooms/lobby true [room] [lobby]
	// /rooms/lobby/users/kim true [room] [lobby]
	// /users/kim false [room] []
}
