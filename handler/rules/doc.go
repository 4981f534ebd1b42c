// Package rules says who may do what: one ordered list of rules for STOMP, for endpoints
// of plain messages, and for rooms. The first rule that decides wins.
//
//	list, err := rules.New([]rules.Rule{
//		{On: []rules.Action{rules.Subscribe}, To: []string{"/alarm/{user}"}, Allow: true, Who: rules.Who{Group: rules.Authenticated}},
//		{On: []rules.Action{rules.Send}, To: []string{"/api/**"}, Allow: true, Who: rules.Who{Roles: []string{"admin"}}},
//		{}, // nobody may do anything else
//	}, rules.Options{})
//
// A rule that allows lets those it is for, and refuses everybody else: in this list nobody
// but an admin sends to /api, whatever rule follows. A rule that denies refuses those it is
// for, and leaves everybody else to the rules that follow.
//
// What no rule decides about is refused, a SUBSCRIBE and a SEND to whatever destination:
// one that somebody has made up is no more allowed than one that somebody has forgotten.
// A rule that allows all, at the end of the list, turns that round: then clients may
// subscribe to everything, and publish straight to topics, queues and other users, as in
// Spring. To connect is allowed unless a rule that names it says otherwise: a client that
// has connected may do nothing yet, and a list that ends with a rule to deny all would
// otherwise shut out everybody.
//
// A subscription by pattern gets what is sent to any destination that matches. It is
// allowed where a rule that covers all of them allows it, and no rule before it denies one
// of them to the caller. Where package antpath is not sure it is refused.
//
// rules.go has the list and how it decides, who.go whom a rule is for, opener.go the guard
// of an endpoint. For STOMP see stomp.Options.Rules.
package rules
