package sqlite

import "context"

// Queries are those whose cost must not grow with what is stored.
var Queries = []string{
	topicQuery, topicsQuery, settleQuery, findQuery, oldestQuery, readQuery, newestQuery, unreadQuery, membersQuery, roomsOfQuery,
}

// Pragma is what a setting of the connection is that writes.
func (s *Store) Pragma(ctx context.Context, name string) (value string, err error) {
	err = s.writer.QueryRowContext(ctx, "pragma "+name).Scan(&value)
	return value, err
}
