package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
	_ "modernc.org/sqlite"

	"switchback/handler/history"
	"switchback/handler/history/internal/plan"
	"switchback/session/option"
)

const (
	topicColumns = `name, epoch, first, last, count, bytes`

	topicQuery  = `select ` + topicColumns + `, id, mark from topics where name = ?`
	topicsQuery = `select ` + topicColumns + ` from topics where name > ? order by name limit ?`

	settleQuery = `update topics set mark = 0 where mark = ? and mark <> 0` // by the index of marked ones

	findQuery   = `select "offset", at from entries where topic = ? and id = ?`
	oldestQuery = `select "offset", at, length(data) from entries where topic = ? order by "offset" limit ?`

	entriesQuery = `select "offset", at, id, "user", data from entries
		where topic = (select id from topics where name = ?) and "offset" > ? and "offset" < ?`
	readQuery   = entriesQuery + ` order by "offset" limit ?`
	newestQuery = entriesQuery + ` order by "offset" desc limit ?`

	unreadQuery = `select t.last, coalesce(m."offset", 0), (select count(*) from (
			select 1 from (select "user" from entries e where e.topic = t.id and e."offset" > coalesce(m."offset", 0)
			order by "offset" limit ?3 * 100) where "user" <> ?2 limit ?3))
		from topics t left join marks m on m.topic = t.id and m."user" = ?2 where t.name = ?1`

	membersQuery = `select "user" from members where topic = ? order by "user"`
	roomsOfQuery = `select name from members where "user" = ? and name > ? order by name limit ?`
)

// Options are the settings of a Store. A zero number stands for its default.
type Options struct {
	// Readers is how many may read at once. The default is 4.
	Readers int `default:"4"`
}

// A Store is a history.Store in a file, which it alone has open. What a method waits for ends
// with its context, but for the disk. Space of what is removed is used again; the file does
// not become smaller.
type Store struct {
	file    string
	lock    *flock.Flock
	process uint64  // of marks
	writer  *sql.DB // of one connection
	readers *sql.DB
	statements
}

var _ history.Store = (*Store)(nil)

// statements are those that are used often.
type statements struct {
	topic, find, insert, insertMany, update *sql.Stmt // of the writer
	known, read, newest, unread             *sql.Stmt // of the readers
}

// Open opens a file, which it makes if it is not there, and brings it up to date.
func Open(ctx context.Context, file string, options Options) (*Store, error) {
	s, err := open(ctx, file, options)
	if err != nil {
		return nil, fmt.Errorf("history: sqlite %s: %w", file, err)
	}
	return s, nil
}

func open(ctx context.Context, file string, options Options) (_ *Store, err error) {
	if name, n := option.Negative(options); name != "" {
		return nil, fmt.Errorf("%s is %d", name, n)
	}
	option.SetDefaults(&options)
	if file, err = filepath.Abs(file); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Dir(file)); err != nil {
		return nil, fmt.Errorf("its folder: %w", err)
	}
	s := &Store{file: file, lock: flock.New(file + ".lock"), process: plan.Random()}
	if locked, err := s.lock.TryLock(); err != nil {
		return nil, err
	} else if !locked {
		return nil, errors.New("another process has the file open: it may be opened once")
	}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	// SQLite gives the files beside it the same permissions.
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	f.Close()
	if s.writer, err = connect(file, 1, "_txlock=immediate"); err != nil {
		return nil, err
	}
	if err := s.write(ctx, func(tx *sql.Tx) error { return migrate(ctx, tx) }); err != nil {
		return nil, err
	}
	if s.readers, err = connect(file, options.Readers, "_pragma=query_only(1)"); err != nil {
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	return s, syncNames(filepath.Dir(file))
}

// connect opens a file for so many connections. They wait for one another, and for other
// programs that have locked the file, for a second.
func connect(file string, connections int, more string) (*sql.DB, error) {
	u := url.URL{Scheme: "file", Path: file, RawQuery: "_pragma=busy_timeout(1000)&_pragma=journal_mode(wal)" +
		"&_pragma=synchronous(full)&_pragma=journal_size_limit(67108864)&_pragma=trusted_schema(0)&" + more}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// syncNames has the names of files in a directory outlive the machine.
func syncNames(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func (s *Store) prepare(ctx context.Context) error {
	for _, one := range []struct {
		statement **sql.Stmt
		db        *sql.DB
		text      string
	}{
		{&s.topic, s.writer, topicQuery},
		{&s.find, s.writer, findQuery},
		{&s.insert, s.writer, insertQuery(1)},
		{&s.insertMany, s.writer, insertQuery(insertRows)},
		{&s.update, s.writer, `update topics set epoch = ?, first = ?, last = ?, count = ?, bytes = ?, mark = ? where id = ?`},
		{&s.known, s.readers, topicQuery},
		{&s.read, s.readers, readQuery},
		{&s.newest, s.readers, newestQuery},
		{&s.unread, s.readers, unreadQuery},
	} {
		var err error
		if *one.statement, err = one.db.PrepareContext(ctx, one.text); err != nil {
			return err
		}
	}
	return nil
}

// write does something as one transaction.
func (s *Store) write(ctx context.Context, do func(tx *sql.Tx) error) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return plan.Unavailable(ctx, err)
	}
	if err := do(tx); err != nil {
		tx.Rollback()
		return plan.Unavailable(ctx, err)
	}
	return plan.Unavailable(ctx, tx.Commit())
}

// Size implements history.Store. It is that of the file and of its log.
func (s *Store) Size(ctx context.Context) (int64, error) {
	var size int64
	err := s.readers.QueryRowContext(ctx, `select page_count * page_size from pragma_page_count, pragma_page_size`).Scan(&size)
	if err != nil {
		return 0, plan.Unavailable(ctx, err)
	}
	if log, err := os.Stat(s.file + "-wal"); err == nil {
		size += log.Size()
	}
	return size, nil
}

// Close implements history.Store.
func (s *Store) Close() error {
	var errs []error
	for _, db := range []*sql.DB{s.readers, s.writer} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(append(errs, s.lock.Close())...)
}
