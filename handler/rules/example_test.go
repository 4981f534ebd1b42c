package rules_test

import (
	"fmt"

	"switchback/handler/rules"
	"switchback/session"
)

// The list of an application with alarms: everybody has their own, and admins cause them.
func Example() {
	list, err := rules.New([]rules.Rule{
		{On: []rules.Action{rules.Subscribe}, To: []string{"/alarm/{user}"}, Allow: true, Who: rules.Who{Group: rules.Authenticated}},
		{On: []rules.Action{rules.Send}, To: []string{"/api/**"}, Allow: true, Who: rules.Who{Roles: []string{"admin"}}},
		{},
	}, rules.Options{})
	if err != nil {
		panic(err)
	}
	kim := &session.Identity{User: "kim"}
	for _, destination := range []string{"/alarm/kim", "/alarm/lee", "/alarm/*"} {
		fmt.Println(destination, list.Check(kim, rules.Subscribe, destination).Allowed)
	}
	// Output:
	// /alarm/kim true
	// /alarm/lee false
	// /alarm/* false
}
