package postgres

import (
	"cmp"
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"switchback/handler/history"
	"switchback/handler/history/internal/plan"
)

// markQuery has users have read a topic up to an offset, unless it is more already.
const markQuery = `insert into marks as m (topic, "user", "offset") select $1, "user", $3 from unnest($2::bytea[]) u("user")
	on conflict (topic, "user") do update set "offset" = greatest(m."offset", excluded."offset") returning "offset"`

// MarkRead implements history.Store.
func (s *Store) MarkRead(ctx context.Context, name, user string, offset uint64) (read uint64, err error) {
	if err := plan.CheckNames(name, user); err != nil {
		return 0, err
	}
	err = s.write(ctx, func(ctx context.Context, tx pgx.Tx) error {
		t, err := lock(ctx, tx, name)
		if err != nil {
			return err
		}
		return tx.QueryRow(ctx, markQuery, t.Key, bytesOf([]string{user}), min(offset, t.Last)).Scan(&read)
	})
	return read, err
}

const unreadQuery = `select n.place, t.last, coalesce(m."offset", 0), (select count(*) from (
		select 1 from (select "user" from entries e where e.topic = t.id and e."offset" > coalesce(m."offset", 0)
		order by "offset" limit $3::bigint * 100) e where e."user" <> $2 limit $3::bigint) counted)
	from unnest($1::bytea[]) with ordinality n(name, place) join topics t on t.name = n.name
	left join marks m on m.topic = t.id and m."user" = $2`

// Unread implements history.Store.
func (s *Store) Unread(ctx context.Context, user string, topics []string, limit int) ([]history.Unread, error) {
	unread := make([]history.Unread, len(topics))
	for i, name := range topics {
		unread[i].Topic = name
	}
	err := s.query(ctx, func(rows pgx.Rows) error {
		for rows.Next() {
			var u history.Unread
			var place int
			if err := rows.Scan(&place, &u.Last, &u.Read, &u.Count); err != nil {
				return err
			}
			u.Topic = topics[place-1]
			unread[place-1] = u
		}
		return nil
	}, unreadQuery, bytesOf(topics), []byte(user), max(limit, 0))
	return unread, err
}

// MakeRoom implements history.Store.
func (s *Store) MakeRoom(ctx context.Context, r history.Room) error {
	if err := cmp.Or(plan.CheckNames(r.Topic), plan.CheckNames(r.Members...)); err != nil {
		return err
	}
	return s.withTopics(ctx, []string{r.Topic}, nothingMore, func(ctx context.Context, tx pgx.Tx, topics map[string]*topic) error {
		t := topics[r.Topic]
		made, err := tx.Exec(ctx, `update topics set room = $2 where id = $1 and room is null`, t.Key, notNull(r.Attributes))
		if err != nil {
			return err
		}
		if made.RowsAffected() == 0 {
			return history.ErrExists
		}
		return addMembers(ctx, tx, t, r.Members)
	})
}

// addMembers adds who is none yet, and has them have read all that is there.
func addMembers(ctx context.Context, tx pgx.Tx, t *topic, users []string) error {
	_, err := tx.Exec(ctx, `with added as (
			insert into members (topic, "user", name) select $1, "user", $3 from unnest($2::bytea[]) u("user")
			on conflict (topic, "user") do nothing returning "user")
		insert into marks as m (topic, "user", "offset") select $1, "user", $4 from added
		on conflict (topic, "user") do update set "offset" = excluded."offset"`, t.Key, bytesOf(users), t.name, t.Last)
	return err
}

// lockRoom returns the row of a room's topic, which stays as it is until the end of the
// transaction, or history.ErrNoTopic.
func lockRoom(ctx context.Context, tx pgx.Tx, name string) (*topic, error) {
	t := new(topic)
	return t, t.scan(tx.QueryRow(ctx, `select `+topicColumns+` from topics t where name = $1 and room is not null for update`, []byte(name)))
}

// Room implements history.Store.
func (s *Store) Room(ctx context.Context, name string) (history.Room, error) {
	r := history.Room{Topic: name}
	var key int64
	err := s.call(ctx, func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, `select id, room from topics where name = $1 and room is not null`, []byte(name)).Scan(&key, &r.Attributes)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return history.Room{}, history.ErrNoTopic
	}
	if err == nil {
		r.Members, err = s.texts(ctx, `select "user" from members where topic = $1 order by "user"`, key)
	}
	return r, err
}

// texts returns the only column of what is asked.
func (s *Store) texts(ctx context.Context, query string, args ...any) (texts []string, err error) {
	err = s.query(ctx, func(rows pgx.Rows) error {
		texts = nil
		for rows.Next() {
			var text []byte
			if err := rows.Scan(&text); err != nil {
				return err
			}
			texts = append(texts, string(text))
		}
		return nil
	}, query, args...)
	return texts, err
}

// AddMember implements history.Store.
func (s *Store) AddMember(ctx context.Context, name, user string, most int) error {
	if err := plan.CheckNames(name, user); err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, tx pgx.Tx) error {
		t, err := lockRoom(ctx, tx, name)
		if err != nil {
			return err
		}
		full := false
		err = tx.QueryRow(ctx, `select count(*) >= $3 and not exists (select 1 from members where topic = $1 and "user" = $2)
			from members where topic = $1`, t.Key, []byte(user), most).Scan(&full)
		switch {
		case err != nil:
			return err
		case full:
			return history.ErrMembers
		}
		return addMembers(ctx, tx, t, []string{user})
	})
}

// RemoveMember implements history.Store.
func (s *Store) RemoveMember(ctx context.Context, name, user string) error {
	return s.write(ctx, func(ctx context.Context, tx pgx.Tx) error {
		t, err := lockRoom(ctx, tx, name)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `with removed as (delete from members where topic = $1 and "user" = $2 returning topic, "user")
			delete from marks m using removed r where m.topic = r.topic and m."user" = r."user"`, t.Key, []byte(user))
		return err
	})
}

// RoomsOf implements history.Store.
func (s *Store) RoomsOf(ctx context.Context, user, after string, limit int) ([]string, error) {
	return s.texts(ctx, `select name from members where "user" = $1 and name > $2 order by name limit $3`,
		[]byte(user), []byte(after), max(limit, 0))
}
