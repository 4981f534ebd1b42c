package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"switchback/handler/history"
	"switchback/handler/history/internal/plan"
	"switchback/session/option"
)

// Options are the settings of a Store. A zero value stands for its default.
type Options struct {
	// Schema is where the tables are. It is made if it is not there. The default is
	// "switchback".
	Schema string `default:"switchback"`

	// Connections is how many there are at most. The default is 8.
	Connections int `default:"8"`

	// Timeout is how long a call waits for the server at most. The default is 10 seconds.
	Timeout time.Duration `default:"10s"`
}

// A Store is a history.Store in a schema of a PostgreSQL. Several may have the same schema, in
// several processes: entries of one topic get their offsets one after another. But a topic is
// fast for one process alone: another that opens it gives it another epoch.
type Store struct {
	schema      string
	timeout     time.Duration
	connections int
	process     uint64 // of marks
	pool        *pgxpool.Pool
}

var _ history.Store = (*Store)(nil)

// Open connects to the server of a URL, postgres://USER:PASSWORD@HOST:PORT/DATABASE, and brings
// its schema up to date. Its errors do not have the password.
func Open(ctx context.Context, url string, options Options) (*Store, error) {
	if name, n := option.Negative(options); name != "" {
		return nil, fmt.Errorf("history: postgres: %s is %d", name, n)
	}
	option.SetDefaults(&options)
	config, err := configOf(url, options)
	if err != nil {
		return nil, err
	}
	// Nothing is connected yet, and so nothing fails but for what the configuration has.
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("history: postgres: %w", err)
	}
	s := &Store{schema: options.Schema, timeout: options.Timeout, connections: options.Connections, process: plan.Random(), pool: pool}
	if err := s.write(ctx, func(ctx context.Context, tx pgx.Tx) error { return migrate(ctx, tx, s.schema) }); err != nil {
		pool.Close()
		return nil, fmt.Errorf("history: postgres: %w", err)
	}
	return s, nil
}

// errURL is the error for what is no URL of a PostgreSQL. It does not tell what is wrong with
// it, which might be a part of the password.
var errURL = errors.New("history: postgres: the URL cannot be read: it is postgres://USER:PASSWORD@HOST:PORT/DATABASE, " +
	"what is special in the password written as in %40, and ?sslmode=disable, require or verify-full")

func configOf(url string, options Options) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		var file *fs.PathError // of a certificate
		if errors.As(err, &file) {
			return nil, fmt.Errorf("%w: %w", errURL, file)
		}
		return nil, errURL
	}
	config.MaxConns = int32(min(options.Connections, 10_000))
	c := config.ConnConfig
	if c.ConnectTimeout == 0 || c.ConnectTimeout > options.Timeout {
		c.ConnectTimeout = options.Timeout
	}
	timeout := strconv.FormatInt(options.Timeout.Milliseconds(), 10)
	for name, value := range map[string]string{
		"application_name":                    "switchback",
		"search_path":                         pgx.Identifier{options.Schema}.Sanitize(),
		"synchronous_commit":                  "on",
		"statement_timeout":                   timeout,
		"idle_in_transaction_session_timeout": timeout,
		// All that is asked has an index that has it in order. Where a table has grown
		// since it was looked at last, the planner would read all of a topic for a page.
		"enable_seqscan":    "off",
		"enable_bitmapscan": "off",
	} {
		c.RuntimeParams[name] = value
	}
	return config, nil
}

// write does something as one transaction, again where another transaction has been in its way
// or its connection was lost before it.
func (s *Store) write(ctx context.Context, do func(ctx context.Context, tx pgx.Tx) error) error {
	return s.call(ctx, func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return do(ctx, tx) })
	})
}

// call asks the server. It does so again where nothing can have come of it.
func (s *Store) call(ctx context.Context, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var err error
	// Each connection may have been lost, of which the pool learns by its use.
	for range 1 + s.connections {
		if err = do(ctx); err == nil || !again(err) || ctx.Err() != nil {
			break
		}
	}
	return plan.Unavailable(ctx, err)
}

func again(err error) bool {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Code == "40001" || refused.Code == "40P01" // serialization_failure, deadlock_detected
	}
	var connecting *pgconn.ConnectError
	return pgconn.SafeToRetry(err) && !errors.As(err, &connecting)
}

// query asks for rows, which do reads. It may be called again, and then begins anew.
func (s *Store) query(ctx context.Context, do func(rows pgx.Rows) error, query string, args ...any) error {
	return s.call(ctx, func(ctx context.Context) error {
		rows, err := s.pool.Query(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		if err := do(rows); err != nil {
			return err
		}
		return rows.Err()
	})
}

// Size implements history.Store. It is that of the tables and their indexes.
func (s *Store) Size(ctx context.Context) (size int64, err error) {
	err = s.call(ctx, func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, `select sum(pg_total_relation_size(c.oid))::bigint from pg_class c
			join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relkind = 'r'`, s.schema).Scan(&size)
	})
	return size, err
}

// Close implements history.Store.
func (s *Store) Close() error {
	s.pool.Close()
	return nil
}
