package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"switchback/handler/history"
	"switchback/handler/history/internal/plan"
)

const topicColumns = `t.name, t.epoch, t.first, t.last, t.count, t.bytes, t.id, t.mark`

// A topic is a row of the table of that name.
type topic struct {
	plan.Topic
	name []byte
	mark uint64
}

// columns are where topicColumns are scanned to.
func (t *topic) columns() []any {
	return []any{&t.name, &t.Epoch, &t.First, &t.Last, &t.Count, &t.Bytes, &t.Key, &t.mark}
}

func (t *topic) scan(row pgx.Row, more ...any) error {
	err := row.Scan(append(t.columns(), more...)...)
	if errors.Is(err, pgx.ErrNoRows) {
		return history.ErrNoTopic
	}
	t.Name = string(t.name)
	return err
}

func bytesOf(texts []string) [][]byte {
	all := make([][]byte, len(texts))
	for i, text := range texts {
		all[i] = []byte(text)
	}
	return all
}

func notNull(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Rows of topics are locked in the order of their names: so no two wait for one another. Those
// that are not there cannot be locked in it, so that makeQuery is for all. An ID is looked for as
// the next one in the order of the index: for one that is equal the planner may take the index of
// offsets, and so read a whole topic, where it has not looked yet at how large it is.
const (
	lockQuery = `select ` + topicColumns + ` from topics t where t.name = any($1) order by t.name for update`
	makeQuery = `insert into topics as t (name, epoch) select name, epoch from unnest($1::bytea[], $2::bigint[]) n(name, epoch)
		order by name on conflict (name) do update set mark = t.mark returning ` + topicColumns
	findQuery = `select t.name, e.id, e."offset", e.at from unnest($1::bytea[], $2::bytea[]) n(name, id)
		join topics t on t.name = n.name join lateral (select * from entries where id is not null and (topic, id) >= (t.id, n.id)
		order by topic, id limit 1) e on e.topic = t.id and e.id = n.id`
	insertQuery = `insert into entries (topic, "offset", at, id, "user", data)
		select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bytea[])`
	saveQuery = `update topics t set epoch = n.epoch, first = n.first, last = n.last, count = n.count, bytes = n.bytes, mark = n.mark
		from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
		n(id, epoch, first, last, count, bytes, mark) where t.id = n.id`
)

// withTopics locks topics, whose names are sorted, and those that are not there it makes. More
// is what else is to be asked once they are locked.
func (s *Store) withTopics(ctx context.Context, names []string, more func(b *pgx.Batch),
	do func(ctx context.Context, tx pgx.Tx, topics map[string]*topic) error,
) error {
	errMissing := errors.New("a topic is not there")
	lock := func(query string, args ...any) error {
		return s.write(ctx, func(ctx context.Context, tx pgx.Tx) error {
			topics := make(map[string]*topic, len(names))
			b := new(pgx.Batch)
			b.Queue(query, args...).Query(func(rows pgx.Rows) error {
				for rows.Next() {
					t := new(topic)
					if err := t.scan(rows); err != nil {
						return err
					}
					topics[t.Name] = t
				}
				return rows.Err()
			})
			more(b)
			if err := tx.SendBatch(ctx, b).Close(); err != nil {
				return err
			}
			if len(topics) < len(names) {
				return errMissing
			}
			return do(ctx, tx, topics)
		})
	}
	err := lock(lockQuery, bytesOf(names))
	if errors.Is(err, errMissing) {
		epochs := make([]uint64, len(names))
		for i := range epochs {
			epochs[i] = plan.Random()
		}
		err = lock(makeQuery, bytesOf(names), epochs)
	}
	return err
}

// save has rows of topics written that are locked and changed.
func save(b *pgx.Batch, topics ...*topic) {
	var columns [7][]int64
	for _, t := range topics {
		for i, value := range []int64{t.Key, int64(t.Epoch), int64(t.First), int64(t.Last), t.Count, t.Bytes, int64(t.mark)} {
			columns[i] = append(columns[i], value)
		}
	}
	b.Queue(saveQuery, columns[0], columns[1], columns[2], columns[3], columns[4], columns[5], columns[6])
}

// An id is that of an entry of a topic.
type id struct{ topic, id string }

type place struct {
	offset uint64
	at     time.Time
}

// Append implements history.Store.
func (s *Store) Append(ctx context.Context, batch []*history.Append) error {
	names, err := plan.Topics(batch)
	if err != nil {
		return err
	}
	if len(batch) == 0 {
		return ctx.Err()
	}
	var rows []plan.Row
	var stored map[id]place
	find := func(b *pgx.Batch) {
		stored = make(map[id]place)
		findStored(b, batch, stored)
	}
	err = s.withTopics(ctx, names, find, func(ctx context.Context, tx pgx.Tx, topics map[string]*topic) error {
		planned := make(map[string]*plan.Topic, len(topics))
		changed := make([]*topic, 0, len(topics))
		for name, t := range topics {
			planned[name] = &t.Topic
			changed = append(changed, t)
		}
		var err error
		if rows, err = plan.Batch(batch, planned, func(t *plan.Topic, text string) (uint64, time.Time, bool, error) {
			at, found := stored[id{t.Name, text}]
			return at.offset, at.at, found, nil
		}); err != nil {
			return err
		}
		b := new(pgx.Batch)
		insert(b, rows)
		save(b, changed...)
		return tx.SendBatch(ctx, b).Close()
	})
	if err == nil {
		plan.Done(rows)
	}
	return err
}

// findStored asks for the entries that have the IDs of a batch.
func findStored(b *pgx.Batch, batch []*history.Append, stored map[id]place) {
	var topics, ids [][]byte
	for _, a := range batch {
		if a.Entry.ID != "" {
			topics, ids = append(topics, []byte(a.Topic)), append(ids, []byte(a.Entry.ID))
		}
	}
	if len(ids) == 0 {
		return
	}
	b.Queue(findQuery, topics, ids).Query(func(rows pgx.Rows) error {
		var topic, text []byte
		var offset uint64
		var ms int64
		_, err := pgx.ForEachRow(rows, []any{&topic, &text, &offset, &ms}, func() error {
			stored[id{string(topic), string(text)}] = place{offset, plan.Time(ms)}
			return nil
		})
		return err
	})
}

func insert(b *pgx.Batch, rows []plan.Row) {
	var topics, offsets, times []int64
	var ids, users, data [][]byte
	for _, row := range rows {
		if row.Duplicate {
			continue
		}
		var id []byte // null
		if row.Entry.ID != "" {
			id = []byte(row.Entry.ID)
		}
		topics, offsets, times = append(topics, row.Of.Key), append(offsets, int64(row.Offset)), append(times, row.At.UnixMilli())
		ids, users, data = append(ids, id), append(users, []byte(row.Entry.User)), append(data, notNull(row.Entry.Data))
	}
	if len(topics) > 0 {
		b.Queue(insertQuery, topics, offsets, times, ids, users, data)
	}
}

func nothingMore(*pgx.Batch) {}

// Open implements history.Store.
func (s *Store) Open(ctx context.Context, name string, fast bool) (opened history.Topic, err error) {
	if err := plan.CheckNames(name); err != nil {
		return history.Topic{}, err
	}
	// What changes nothing does not wait for who writes.
	if t, err := s.look(ctx, name); err == nil {
		if epoch, mark := plan.Opened(t.Epoch, t.mark, s.process, fast); epoch == t.Epoch && mark == t.mark {
			return t.Topic.Topic, nil
		}
	}
	err = s.withTopics(ctx, []string{name}, nothingMore, func(ctx context.Context, tx pgx.Tx, topics map[string]*topic) error {
		t := topics[name]
		t.Epoch, t.mark = plan.Opened(t.Epoch, t.mark, s.process, fast)
		opened = t.Topic.Topic
		b := new(pgx.Batch)
		save(b, t)
		return tx.SendBatch(ctx, b).Close()
	})
	return opened, err
}

// lock returns the row of a topic, which stays as it is until the end of the transaction.
func lock(ctx context.Context, tx pgx.Tx, name string) (*topic, error) {
	t := new(topic)
	return t, t.scan(tx.QueryRow(ctx, `select `+topicColumns+` from topics t where name = $1 for update`, []byte(name)))
}

// Renew implements history.Store.
func (s *Store) Renew(ctx context.Context, name string) (history.Topic, error) {
	var t topic
	err := s.write(ctx, func(ctx context.Context, tx pgx.Tx) error {
		return t.scan(tx.QueryRow(ctx, `update topics t set epoch = $2 where name = $1 returning `+topicColumns, []byte(name), plan.Random()))
	})
	return t.Topic.Topic, err
}

// Settle implements history.Store.
func (s *Store) Settle(ctx context.Context) error {
	return s.write(ctx, func(ctx context.Context, tx pgx.Tx) error {
		// In the order of names, as Append locks.
		_, err := tx.Exec(ctx, `update topics set mark = 0 where id in (
			select id from topics where mark = $1 and mark <> 0 order by name for update)`, s.process)
		return err
	})
}

// look returns the row of a topic.
func (s *Store) look(ctx context.Context, name string) (t *topic, err error) {
	err = s.call(ctx, func(ctx context.Context) error {
		t = new(topic)
		return t.scan(s.pool.QueryRow(ctx, `select `+topicColumns+` from topics t where name = $1`, []byte(name)))
	})
	return t, err
}

// Topic implements history.Store.
func (s *Store) Topic(ctx context.Context, name string) (history.Topic, error) {
	t, err := s.look(ctx, name)
	return t.Topic.Topic, err
}

// Topics implements history.Store.
func (s *Store) Topics(ctx context.Context, after string, limit int) (topics []history.Topic, err error) {
	err = s.query(ctx, func(rows pgx.Rows) error {
		topics = nil
		for rows.Next() {
			t := new(topic)
			if err := t.scan(rows); err != nil {
				return err
			}
			topics = append(topics, t.Topic.Topic)
		}
		return nil
	}, `select `+topicColumns+` from topics t where name > $1 order by name limit $2`, []byte(after), max(limit, 0))
	return topics, err
}

// entriesQuery has the sizes of the data added up: what is over a limit of bytes is not sent.
const entriesQuery = `select "offset", at, id, "user", data from (
		select *, sum(octet_length(data)) over o as bytes, row_number() over o as n from (
			select * from entries where topic = (select id from topics where name = $1) and "offset" > $2 and "offset" < $3
			order by "offset" %[1]s limit $4) read
		window o as (order by "offset" %[1]s)) added
	where bytes <= $5 or n = 1 order by "offset"`

var (
	readQuery   = fmt.Sprintf(entriesQuery, "asc")
	newestQuery = fmt.Sprintf(entriesQuery, "desc")
)

// Read implements history.Store.
func (s *Store) Read(ctx context.Context, name string, r history.Range) (entries []history.Entry, err error) {
	query := readQuery
	if r.Newest {
		query = newestQuery
	}
	after, before := plan.Between(r)
	most := int64(math.MaxInt64)
	if r.Bytes > 0 {
		most = r.Bytes
	}
	err = s.query(ctx, func(rows pgx.Rows) error {
		entries = nil
		for rows.Next() {
			var e history.Entry
			var ms int64
			var id, user []byte
			if err := rows.Scan(&e.Offset, &ms, &id, &user, &e.Data); err != nil {
				return err
			}
			e.At, e.ID, e.User = plan.Time(ms), string(id), string(user)
			entries = append(entries, e)
		}
		return nil
	}, query, []byte(name), after, before, max(r.Limit, 0), most)
	return entries, err
}

// Trim implements history.Store.
func (s *Store) Trim(ctx context.Context, name string, k history.Keep, now time.Time) (history.Topic, error) {
	tooMuch := func(t *history.Topic, at time.Time) bool { return plan.TooMuch(t, k, now, at) }
	// Mostly nothing is, for which nothing is locked.
	var t topic
	var oldest *int64
	err := s.call(ctx, func(ctx context.Context) error {
		t = topic{}
		return t.scan(s.pool.QueryRow(ctx, `select `+topicColumns+`, (select at from entries where topic = t.id order by "offset" limit 1)
			from topics t where name = $1`, []byte(name)), &oldest)
	})
	if err != nil || oldest == nil || !tooMuch(&t.Topic.Topic, plan.Time(*oldest)) {
		return t.Topic.Topic, err
	}
	return s.removeOldest(ctx, name, tooMuch)
}

// removeOldest removes the oldest entries of a topic for as long as they are too much. It
// lets others write from time to time.
func (s *Store) removeOldest(ctx context.Context, name string, tooMuch func(t *history.Topic, at time.Time) bool) (history.Topic, error) {
	for {
		var t *topic
		var removal plan.Removal
		err := s.write(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
			if t, err = lock(ctx, tx, name); err != nil {
				return err
			}
			removal = plan.Removal{Topic: &t.Topic.Topic, TooMuch: tooMuch}
			rows, err := tx.Query(ctx, `select "offset", at, octet_length(data) from entries where topic = $1 order by "offset" limit $2`, t.Key, plan.AtOnce)
			if err != nil {
				return err
			}
			var offset, ms, size int64
			enough := false
			if _, err := pgx.ForEachRow(rows, []any{&offset, &ms, &size}, func() error {
				enough = enough || !removal.Take(offset, ms, size)
				return nil
			}); err != nil || removal.Removed == 0 {
				return err
			}
			if _, err := tx.Exec(ctx, `delete from entries where topic = $1 and "offset" <= $2`, t.Key, removal.UpTo); err != nil {
				return err
			}
			first := tx.QueryRow(ctx, `select coalesce(min("offset"), $2) from entries where topic = $1`, t.Key, t.Last+1)
			if err := first.Scan(&t.First); err != nil {
				return err
			}
			b := new(pgx.Batch)
			save(b, t)
			return tx.SendBatch(ctx, b).Close()
		})
		if err != nil {
			return history.Topic{}, err
		}
		if removal.Removed < plan.AtOnce {
			return t.Topic.Topic, nil
		}
	}
}

// Remove implements history.Store.
func (s *Store) Remove(ctx context.Context, name string) error {
	_, err := s.removeOldest(ctx, name, func(*history.Topic, time.Time) bool { return true })
	if err == nil {
		err = s.write(ctx, func(ctx context.Context, tx pgx.Tx) error {
			t, err := lock(ctx, tx, name)
			if err != nil {
				return err
			}
			b := new(pgx.Batch)
			for _, from := range []string{`entries where topic`, `members where topic`, `marks where topic`, `topics where id`} {
				b.Queue(`delete from `+from+` = $1`, t.Key)
			}
			return tx.SendBatch(ctx, b).Close()
		})
	}
	if errors.Is(err, history.ErrNoTopic) {
		return nil
	}
	return err
}
