package sqlite

// Queries are those whose cost must not grow with what is stored.
var Queries = []string{
	topicQuery, topicsQuery, settleQuery, findQuery, oldestQuery, readQuery, newestQuery, unreadQuery, membersQuery, roomsOfQuery,
}
