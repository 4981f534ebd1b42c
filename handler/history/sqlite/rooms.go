package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"

	"switchback/handler/history"
	"switchback/handler/history/internal/plan"
)

// mark has a user have read a topic up to an offset, unless it is more already.
func mark(tx *sql.Tx, t *topic, user string, offset uint64) (read uint64, err error) {
	err = tx.QueryRow(`insert into marks (topic, "user", "offset") values (?, ?, ?)
		on conflict do update set "offset" = max("offset", excluded."offset") returning "offset"`,
		t.Key, []byte(user), min(offset, t.Last)).Scan(&read)
	return read, err
}

// MarkRead implements history.Store.
func (s *Store) MarkRead(ctx context.Context, name, user string, offset uint64) (read uint64, err error) {
	if err := plan.CheckNames(name, user); err != nil {
		return 0, err
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		t, err := s.topicOf(tx, name)
		if err == nil {
			read, err = mark(tx, t, user, offset)
		}
		return err
	})
	return read, err
}

// Unread implements history.Store.
func (s *Store) Unread(ctx context.Context, user string, topics []string, limit int) ([]history.Unread, error) {
	unread := make([]history.Unread, len(topics))
	for i, name := range topics {
		u := &unread[i]
		u.Topic = name
		err := s.unread.QueryRowContext(ctx, []byte(name), []byte(user), max(limit, 0)).Scan(&u.Last, &u.Read, &u.Count)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, plan.Unavailable(ctx, err)
		}
	}
	return unread, nil
}

// MakeRoom implements history.Store.
func (s *Store) MakeRoom(ctx context.Context, r history.Room) error {
	if err := cmp.Or(plan.CheckNames(r.Topic), plan.CheckNames(r.Members...)); err != nil {
		return err
	}
	return s.write(ctx, func(tx *sql.Tx) error {
		t, err := s.open(tx, r.Topic)
		if err != nil {
			return err
		}
		made, err := tx.Exec(`update topics set room = ? where id = ? and room is null`, notNull(r.Attributes), t.Key)
		if err != nil {
			return err
		}
		if n, _ := made.RowsAffected(); n == 0 {
			return history.ErrExists
		}
		for _, user := range r.Members {
			if err := addMember(tx, t, user); err != nil {
				return err
			}
		}
		return nil
	})
}

func addMember(tx *sql.Tx, t *topic, user string) error {
	added, err := tx.Exec(`insert into members (topic, "user", name) values (?, ?, ?) on conflict do nothing`,
		t.Key, []byte(user), []byte(t.Name))
	if err != nil {
		return err
	}
	if n, _ := added.RowsAffected(); n > 0 {
		_, err = mark(tx, t, user, t.Last)
	}
	return err
}

// room returns the topic of a room, or history.ErrNoTopic.
func (s *Store) room(tx *sql.Tx, name string) (*topic, error) {
	t := new(topic)
	return t, t.scan(tx.QueryRow(`select `+topicColumns+`, id from topics where name = ? and room is not null`, []byte(name)), &t.Key)
}

// Room implements history.Store.
func (s *Store) Room(ctx context.Context, name string) (history.Room, error) {
	r := history.Room{Topic: name}
	var key int64
	err := s.readers.QueryRowContext(ctx, `select id, room from topics where name = ? and room is not null`, []byte(name)).
		Scan(&key, &r.Attributes)
	if errors.Is(err, sql.ErrNoRows) {
		return history.Room{}, history.ErrNoTopic
	}
	if err != nil {
		return history.Room{}, plan.Unavailable(ctx, err)
	}
	r.Members, err = s.texts(ctx, membersQuery, key)
	return r, err
}

// texts returns the only column of what is asked of the readers.
func (s *Store) texts(ctx context.Context, query string, args ...any) ([]string, error) {
	var texts []string
	err := s.each(ctx, func(r row) error {
		var text []byte
		err := r.Scan(&text)
		texts = append(texts, string(text))
		return err
	}, query, args...)
	return texts, err
}

// AddMember implements history.Store.
func (s *Store) AddMember(ctx context.Context, name, user string, most int) error {
	if err := plan.CheckNames(name, user); err != nil {
		return err
	}
	return s.write(ctx, func(tx *sql.Tx) error {
		t, err := s.room(tx, name)
		if err != nil {
			return err
		}
		full := false
		err = tx.QueryRow(`select count(*) >= ?3 and not exists (select 1 from members where topic = ?1 and "user" = ?2)
			from members where topic = ?1`, t.Key, []byte(user), most).Scan(&full)
		switch {
		case err != nil:
			return err
		case full:
			return history.ErrMembers
		}
		return addMember(tx, t, user)
	})
}

// RemoveMember implements history.Store.
func (s *Store) RemoveMember(ctx context.Context, name, user string) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		t, err := s.room(tx, name)
		if err != nil {
			return err
		}
		removed, err := tx.Exec(`delete from members where topic = ? and "user" = ?`, t.Key, []byte(user))
		if err != nil {
			return err
		}
		if n, _ := removed.RowsAffected(); n > 0 {
			_, err = tx.Exec(`delete from marks where topic = ? and "user" = ?`, t.Key, []byte(user))
		}
		return err
	})
}

// RoomsOf implements history.Store.
func (s *Store) RoomsOf(ctx context.Context, user, after string, limit int) ([]string, error) {
	return s.texts(ctx, roomsOfQuery,
		[]byte(user), []byte(after), max(limit, 0))
}
