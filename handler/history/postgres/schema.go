package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// steps make the tables of a schema, each those of the version before it. A step that has been
// in a release is never changed.
var steps = []string{
	// Texts are bytea, which holds any byte and is in the order of its bytes. A topic's row
	// has what is known of it without a look at its entries. It changes with each batch: a
	// half of its page is free, so that its indexes do not change.
	`create table topics (
		id     bigint generated always as identity primary key,
		name   bytea  not null unique,
		epoch  bigint not null,
		first  bigint not null default 1,
		last   bigint not null default 0,
		count  bigint not null default 0,
		bytes  bigint not null default 0,
		mark   bigint not null default 0, -- the process that gives its offsets, or 0
		room   bytea                      -- attributes; null: no room
	) with (fillfactor = 50);
	create index topics_marked on topics (mark) where mark <> 0;

	create table entries (
		topic    bigint not null,
		"offset" bigint not null,
		at       bigint not null, -- in milliseconds
		id       bytea,           -- null: none
		"user"   bytea  not null,
		data     bytea  not null,
		primary key (topic, "offset")
	);
	create unique index entries_id on entries (topic, id) where id is not null;

	create table members (
		topic  bigint not null,
		"user" bytea  not null,
		name   bytea  not null, -- of the topic, in whose order a user's rooms are read
		primary key (topic, "user")
	);
	create unique index members_user on members ("user", name);

	create table marks (
		topic    bigint not null,
		"user"   bytea  not null,
		"offset" bigint not null,
		primary key (topic, "user")
	);`,
}

// migrate takes the steps that a schema has not taken yet, which one node at a time does. It
// creates nothing that is there, for which it might not have the right.
func migrate(ctx context.Context, tx pgx.Tx, schema string) error {
	if _, err := tx.Exec(ctx, `select set_config('statement_timeout', '0', true), pg_advisory_xact_lock(hashtextextended($1, 0))`,
		"switchback history "+schema); err != nil {
		return err
	}
	var there, tables bool
	if err := tx.QueryRow(ctx, `select exists(select from pg_namespace where nspname = $1),
		exists(select from pg_tables where schemaname = $1 and tablename = 'version')`, schema).Scan(&there, &tables); err != nil {
		return err
	}
	if !there {
		if _, err := tx.Exec(ctx, `create schema `+pgx.Identifier{schema}.Sanitize()); err != nil {
			return err
		}
	}
	if !tables {
		if _, err := tx.Exec(ctx, `create table version (version int not null); insert into version values (0)`); err != nil {
			return err
		}
	}
	var version int
	if err := tx.QueryRow(ctx, `select version from version`).Scan(&version); err != nil {
		return err
	}
	if version > len(steps) {
		return fmt.Errorf("the schema %s has version %d, of a newer switchback; this one knows up to %d", schema, version, len(steps))
	}
	if version == len(steps) {
		return nil
	}
	for ; version < len(steps); version++ {
		if _, err := tx.Exec(ctx, steps[version]); err != nil {
			return fmt.Errorf("step %d: %w", version+1, err)
		}
	}
	_, err := tx.Exec(ctx, `update version set version = $1`, version)
	return err
}
