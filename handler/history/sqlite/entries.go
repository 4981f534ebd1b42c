package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"switchback/handler/history"
	"switchback/handler/history/internal/plan"
)

// A topic is a row of the table of that name.
type topic struct {
	plan.Topic
	mark uint64
}

type row interface{ Scan(...any) error }

func (t *topic) scan(r row, more ...any) error {
	var name []byte
	err := r.Scan(append([]any{&name, &t.Epoch, &t.First, &t.Last, &t.Count, &t.Bytes}, more...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return history.ErrNoTopic
	}
	t.Name = string(name)
	return err
}

// topicOf returns a topic, or history.ErrNoTopic. The statements of a transaction do not wait
// for its context: each would have a goroutine that does, and the transaction has one.
func (s *Store) topicOf(tx *sql.Tx, name string) (*topic, error) {
	t := new(topic)
	return t, t.scan(tx.Stmt(s.topic).QueryRow([]byte(name)), &t.Key, &t.mark)
}

// save writes what topicOf has read and the caller has changed.
func (s *Store) save(tx *sql.Tx, t *topic) error {
	_, err := tx.Stmt(s.update).Exec(t.Epoch, t.First, t.Last, t.Count, t.Bytes, t.mark, t.Key)
	return err
}

// open returns a topic, which it makes if it is not there.
func (s *Store) open(tx *sql.Tx, name string) (*topic, error) {
	t, err := s.topicOf(tx, name)
	if !errors.Is(err, history.ErrNoTopic) {
		return t, err
	}
	t.Topic.Topic = history.Topic{Name: name, Epoch: plan.Random(), First: 1}
	made, err := tx.Exec(`insert into topics (name, epoch, first, last, count, bytes, mark) values (?, ?, 1, 0, 0, 0, 0)`,
		[]byte(name), t.Epoch)
	if err != nil {
		return nil, err
	}
	t.Key, err = made.LastInsertId()
	return t, err
}

// Append implements history.Store.
func (s *Store) Append(ctx context.Context, batch []*history.Append) error {
	names, err := plan.Topics(batch)
	if err != nil {
		return err
	}
	// IDs are looked for only where one may be stored already, which is seldom.
	rows, err := s.append(ctx, batch, names, false)
	if stored := new(driver.Error); errors.Is(err, history.ErrOffset) ||
		errors.As(err, &stored) && stored.Code() == lib.SQLITE_CONSTRAINT_UNIQUE {
		rows, err = s.append(ctx, batch, names, true)
	}
	if err == nil {
		plan.Done(rows)
	}
	return err
}

func (s *Store) append(ctx context.Context, batch []*history.Append, names []string, find bool) (rows []plan.Row, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		topics := make(map[string]*topic, len(names))
		planned := make(map[string]*plan.Topic, len(names))
		for _, name := range names {
			t, err := s.open(tx, name)
			if err != nil {
				return err
			}
			topics[name], planned[name] = t, &t.Topic
		}
		stored := notStored
		if find {
			stored = s.finder(tx)
		}
		var err error
		if rows, err = plan.Batch(batch, planned, stored); err != nil {
			return err
		}
		if err := s.store(tx, rows); err != nil {
			return err
		}
		for _, t := range topics {
			if err := s.save(tx, t); err != nil {
				return err
			}
		}
		return nil
	})
	return rows, err
}

// notStored and finder are for plan.Batch.
func notStored(*plan.Topic, string) (uint64, time.Time, bool, error) {
	return 0, time.Time{}, false, nil
}

func (s *Store) finder(tx *sql.Tx) func(*plan.Topic, string) (uint64, time.Time, bool, error) {
	find := tx.Stmt(s.find)
	return func(t *plan.Topic, id string) (offset uint64, at time.Time, found bool, err error) {
		var ms int64
		err = find.QueryRow(t.Key, []byte(id)).Scan(&offset, &ms)
		if errors.Is(err, sql.ErrNoRows) {
			return 0, time.Time{}, false, nil
		}
		return offset, plan.Time(ms), true, err
	}
}

// insertRows is how many entries one statement inserts, if there are so many. It need not keep
// what it has changed, for the case that it fails: then the transaction is rolled back.
const insertRows = 20

func insertQuery(rows int) string {
	return `insert or fail into entries (topic, "offset", at, id, "user", data) values ` +
		strings.Repeat(`(?, ?, ?, ?, ?, ?), `, rows-1) + `(?, ?, ?, ?, ?, ?)`
}

func (s *Store) store(tx *sql.Tx, rows []plan.Row) error {
	var values []any
	for _, row := range rows {
		if !row.Duplicate {
			e := &row.Entry
			var id []byte // null
			if e.ID != "" {
				id = []byte(e.ID)
			}
			values = append(values, row.Of.Key, int64(row.Offset), row.At.UnixMilli(), id, []byte(e.User), notNull(e.Data))
		}
	}
	const columns = 6
	insert, many := tx.Stmt(s.insert), tx.Stmt(s.insertMany)
	for len(values) > 0 {
		statement, n := insert, columns
		if len(values) >= insertRows*columns {
			statement, n = many, insertRows*columns
		}
		if _, err := statement.Exec(values[:n]...); err != nil {
			return err
		}
		values = values[n:]
	}
	return nil
}

func notNull(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Open implements history.Store.
func (s *Store) Open(ctx context.Context, name string, fast bool) (history.Topic, error) {
	if err := plan.CheckNames(name); err != nil {
		return history.Topic{}, err
	}
	// What changes nothing does not wait for who writes.
	if t, err := s.look(ctx, name); err == nil {
		if epoch, mark := plan.Opened(t.Epoch, t.mark, s.process, fast); epoch == t.Epoch && mark == t.mark {
			return t.Topic.Topic, nil
		}
	}
	return s.change(ctx, name, s.open, func(t *topic) {
		t.Epoch, t.mark = plan.Opened(t.Epoch, t.mark, s.process, fast)
	})
}

// change changes the row of a topic that get returns.
func (s *Store) change(ctx context.Context, name string, get func(*sql.Tx, string) (*topic, error), change func(t *topic)) (changed history.Topic, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		t, err := get(tx, name)
		if err != nil {
			return err
		}
		change(t)
		changed = t.Topic.Topic
		return s.save(tx, t)
	})
	return changed, err
}

// Renew implements history.Store.
func (s *Store) Renew(ctx context.Context, name string) (history.Topic, error) {
	return s.change(ctx, name, s.topicOf, func(t *topic) { t.Epoch = plan.Random() })
}

// Settle implements history.Store.
func (s *Store) Settle(ctx context.Context) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec(settleQuery, s.process)
		return err
	})
}

// look returns a topic as the readers have it.
func (s *Store) look(ctx context.Context, name string) (*topic, error) {
	t := new(topic)
	return t, plan.Unavailable(ctx, t.scan(s.known.QueryRowContext(ctx, []byte(name)), &t.Key, &t.mark))
}

// Topic implements history.Store.
func (s *Store) Topic(ctx context.Context, name string) (history.Topic, error) {
	t, err := s.look(ctx, name)
	return t.Topic.Topic, err
}

// Topics implements history.Store.
func (s *Store) Topics(ctx context.Context, after string, limit int) ([]history.Topic, error) {
	var topics []history.Topic
	err := s.each(ctx, func(r row) error {
		var t topic
		err := t.scan(r)
		topics = append(topics, t.Topic.Topic)
		return err
	}, topicsQuery, []byte(after), max(limit, 0))
	return topics, err
}

// each calls do for each row of what is asked of the readers.
func (s *Store) each(ctx context.Context, do func(r row) error, query string, args ...any) error {
	rows, err := s.readers.QueryContext(ctx, query, args...)
	return plan.Unavailable(ctx, forEach(rows, err, do))
}

// forEach calls do for each row, until errEnough.
func forEach(rows *sql.Rows, err error, do func(r row) error) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := do(rows); err != nil {
			if err == errEnough {
				return nil
			}
			return err
		}
	}
	return rows.Err()
}

var errEnough = errors.New("enough")

// Read implements history.Store.
func (s *Store) Read(ctx context.Context, name string, r history.Range) ([]history.Entry, error) {
	query := s.read
	if r.Newest {
		query = s.newest
	}
	after, before := plan.Between(r)
	rows, err := query.QueryContext(ctx, []byte(name), after, before, max(r.Limit, 0))
	var entries []history.Entry
	var bytes int64
	err = forEach(rows, err, func(row row) error {
		var e history.Entry
		var ms int64
		var id, user []byte
		if err := row.Scan(&e.Offset, &ms, &id, &user, &e.Data); err != nil {
			return err
		}
		bytes += int64(len(e.Data))
		if r.Bytes > 0 && bytes > r.Bytes && len(entries) > 0 {
			return errEnough
		}
		e.At, e.ID, e.User = plan.Time(ms), string(id), string(user)
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		return nil, plan.Unavailable(ctx, err)
	}
	if r.Newest {
		slices.Reverse(entries)
	}
	return entries, nil
}

// Trim implements history.Store.
func (s *Store) Trim(ctx context.Context, name string, k history.Keep, now time.Time) (history.Topic, error) {
	return s.removeOldest(ctx, name, func(t *history.Topic, at time.Time) bool { return plan.TooMuch(t, k, now, at) })
}

// removeOldest removes the oldest entries of a topic for as long as they are too much. It
// lets others write from time to time.
func (s *Store) removeOldest(ctx context.Context, name string, tooMuch func(t *history.Topic, at time.Time) bool) (history.Topic, error) {
	for {
		var t *topic
		var removal plan.Removal
		err := s.write(ctx, func(tx *sql.Tx) (err error) {
			if t, err = s.topicOf(tx, name); err != nil {
				return err
			}
			removal = plan.Removal{Topic: &t.Topic.Topic, TooMuch: tooMuch}
			rows, err := tx.Query(oldestQuery, t.Key, plan.AtOnce)
			if err := forEach(rows, err, func(r row) error {
				var offset, ms, size int64
				if err := r.Scan(&offset, &ms, &size); err != nil {
					return err
				}
				if !removal.Take(offset, ms, size) {
					return errEnough
				}
				return nil
			}); err != nil || removal.Removed == 0 {
				return err
			}
			if _, err := tx.Exec(`delete from entries where topic = ? and "offset" <= ?`, t.Key, removal.UpTo); err != nil {
				return err
			}
			first := tx.QueryRow(`select coalesce(min("offset"), ?) from entries where topic = ?`, t.Last+1, t.Key)
			if err := first.Scan(&t.First); err != nil {
				return err
			}
			return s.save(tx, t)
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
		err = s.write(ctx, func(tx *sql.Tx) error { return s.removeTopic(tx, name) })
	}
	if errors.Is(err, history.ErrNoTopic) {
		return nil
	}
	return err
}

// removeTopic removes a topic, and what is left of it.
func (s *Store) removeTopic(tx *sql.Tx, name string) error {
	t, err := s.topicOf(tx, name)
	if err != nil {
		return err
	}
	for _, from := range []string{`entries where topic`, `members where topic`, `marks where topic`, `topics where id`} {
		if _, err := tx.Exec(`delete from `+from+` = ?`, t.Key); err != nil {
			return err
		}
	}
	return nil
}
