package sqlite

import (
	"context"
	"database/sql"
	"fmt"
)

// applicationID is in the header of a file that is ours: "swbk".
const applicationID = 0x7377626b

// steps make the tables of a file, each those of the version before it. A step that has been
// in a release is never changed.
var steps = []string{
	// Texts are blobs, which hold any byte and are in the order of their bytes. A topic's row
	// has what is known of it without a look at its entries. Entries are in their order, so
	// that those of a page are beside each other; their data is last, so that counting does
	// not read it.
	`create table topics (
		id     integer primary key,
		name   blob not null unique,
		epoch  integer not null,
		first  integer not null,
		last   integer not null,
		count  integer not null,
		bytes  integer not null,
		mark   integer not null, -- the process that gives its offsets, or 0
		room   blob              -- attributes; null: no room
	) strict;
	create index topics_marked on topics (mark) where mark <> 0;

	create table entries (
		topic    integer not null,
		"offset" integer not null,
		at       integer not null, -- in milliseconds
		id       blob,             -- null: none
		"user"   blob not null,
		data     blob not null,
		primary key (topic, "offset")
	) strict, without rowid;
	create unique index entries_id on entries (topic, id) where id is not null;

	create table members (
		topic  integer not null,
		"user" blob not null,
		name   blob not null, -- of the topic, in whose order a user's rooms are read
		primary key (topic, "user")
	) strict, without rowid;
	create unique index members_user on members ("user", name);

	create table marks (
		topic    integer not null,
		"user"   blob not null,
		"offset" integer not null,
		primary key (topic, "user")
	) strict, without rowid;`,
}

// migrate takes the steps that a file has not taken yet.
func migrate(ctx context.Context, tx *sql.Tx) error {
	var id, version, tables int
	err := tx.QueryRowContext(ctx, `select
		(select application_id from pragma_application_id), (select user_version from pragma_user_version),
		(select count(*) from sqlite_schema)`).Scan(&id, &version, &tables)
	switch {
	case err != nil:
		return err
	case tables > 0 && id != applicationID:
		return fmt.Errorf("the file is a database of something else")
	case version > len(steps):
		return fmt.Errorf("the file has version %d, of a newer switchback; this one knows up to %d", version, len(steps))
	}
	for ; version < len(steps); version++ {
		if _, err := tx.ExecContext(ctx, steps[version]); err != nil {
			return fmt.Errorf("step %d: %w", version+1, err)
		}
	}
	_, err = tx.ExecContext(ctx, fmt.Sprintf("pragma user_version = %d; pragma application_id = %d", version, applicationID))
	return err
}
