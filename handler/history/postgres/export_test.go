package postgres

import (
	"context"
	"math"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Setting is what a setting of the server is in a connection of the store.
func (s *Store) Setting(ctx context.Context, name string) (value string, err error) {
	err = s.pool.QueryRow(ctx, `select current_setting($1)`, name).Scan(&value)
	return value, err
}

// Explain tells how the server reads pages of a topic, looks for IDs and counts what is unread, as
// it does so.
func (s *Store) Explain(ctx context.Context, topic string) (map[string]string, error) {
	name := []byte(topic)
	var names, ids [][]byte
	for i := range 100 {
		names, ids = append(names, name), append(ids, []byte(strconv.Itoa(i*100)))
	}
	plans := make(map[string]string)
	for what, query := range map[string]struct {
		text string
		args []any
	}{
		"oldest": {readQuery, []any{name, int64(0), int64(math.MaxInt64), 50, int64(math.MaxInt64)}},
		"newest": {newestQuery, []any{name, int64(0), int64(math.MaxInt64), 50, int64(math.MaxInt64)}},
		"middle": {newestQuery, []any{name, int64(0), int64(9000), 50, int64(math.MaxInt64)}},
		"find":   {findQuery, []any{names, ids}},
		"unread": {unreadQuery, []any{[][]byte{name}, []byte("kim"), 50}},
	} {
		rows, err := s.pool.Query(ctx, "explain (analyze, timing off) "+query.text, query.args...)
		if err != nil {
			return nil, err
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return nil, err
		}
		plans[what] = strings.Join(lines, "\n")
	}
	return plans, nil
}
