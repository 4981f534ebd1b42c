package storetest

import (
	"testing"

	"switchback/handler/history"
)

// An Open opens a new store, which the test closes. Reopen ends the store without Settle and
// opens what it has kept as another process would; it is nil where nothing outlives a store.
type Open func(t *testing.T) (s history.Store, reopen func() history.Store)

// Run tests that what open opens is a history.Store.
func Run(t *testing.T, open Open) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s *store)
	}{
		{"Append", testAppend},
		{"AppendIsWhole", testAppendIsWhole},
		{"AppendMany", testAppendMany},
		{"Duplicates", testDuplicates},
		{"GivenOffsets", testGivenOffsets},
		{"Open", testOpen},
		{"Renew", testRenew},
		{"Topics", testTopics},
		{"Read", testRead},
		{"Trim", testTrim},
		{"Remove", testRemove},
		{"MarkRead", testMarkRead},
		{"Unread", testUnread},
		{"Rooms", testRooms},
		{"RoomsOf", testRoomsOf},
		{"AnyBytes", testAnyBytes},
		{"Names", testNames},
		{"Concurrent", testConcurrent},
		{"Cancelled", testCancelled},
		{"Size", testSize},
		{"Closed", testClosed},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, _ := open(t)
			defer s.Close()
			test.run(t, &store{s, t})
		})
	}
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s *store, reopen func() *store)
	}{
		{"Kept", testKept},
		{"Marks", testMarks},
	} {
		t.Run(test.name, func(t *testing.T) {
			first, again := open(t)
			last := &store{first, t}
			defer func() { last.Close() }()
			if again != nil {
				test.run(t, last, func() *store {
					last = &store{again(), t}
					return last
				})
			}
		})
	}
}
