package rules

import (
	"slices"
	"strings"

	"switchback/session"
)

// A Group is callers by whether they are known.
type Group uint8

const (
	All           Group = iota // everybody
	Authenticated              // everybody whose Identity has a name
	Anonymous                  // everybody else
)

var groups = [...]string{"all", "authenticated", "anonymous"}

func (g Group) String() string { return groups[g] }

// Groups are the names of all groups.
func Groups() []string { return groups[:] }

// Who are those that a rule is for. The zero value is everybody.
type Who struct {
	// Roles and Users are those who have one of these roles, and those who are one of
	// these users. Where there is either, Group is not looked at.
	Roles []string
	Users []string

	Group Group
}

func (w Who) clone() Who {
	w.Roles, w.Users = slices.Clone(w.Roles), slices.Clone(w.Users)
	return w
}

// includes tells whether a caller is one of these.
func (w *Who) includes(who *session.Identity, rolesClaim string) bool {
	if len(w.Roles) > 0 || len(w.Users) > 0 {
		return who != nil && (slices.Contains(w.Users, who.User) || hasRole(who.Claims, rolesClaim, w.Roles))
	}
	switch w.Group {
	case Authenticated:
		return nameOf(who) != ""
	case Anonymous:
		return nameOf(who) == ""
	}
	return true
}

// hasRole tells whether claims have one of some roles.
func hasRole(claims map[string]any, claim string, roles []string) bool {
	wanted := func(role any) bool {
		text, ok := role.(string)
		return ok && slices.Contains(roles, text)
	}
	switch has := find(claims, claim).(type) {
	case string:
		return slices.ContainsFunc(strings.Fields(has), func(role string) bool { return wanted(role) })
	case []string:
		return slices.ContainsFunc(has, func(role string) bool { return wanted(role) })
	case []any:
		return slices.ContainsFunc(has, wanted)
	}
	return false
}

// Claims are claims that have roles where the list looks for them; nil where there are
// none.
func (l *List) Claims(roles []string) map[string]any {
	if l == nil || len(roles) == 0 {
		return nil
	}
	return map[string]any{l.o.RolesClaim: slices.Clone(roles)}
}

// find returns a claim, or one within another, where dots lead to it.
func find(claims map[string]any, name string) any {
	if value, there := claims[name]; there {
		return value
	}
	first, rest, nested := strings.Cut(name, ".")
	if within, ok := claims[first].(map[string]any); ok && nested {
		return find(within, rest)
	}
	return nil
}
