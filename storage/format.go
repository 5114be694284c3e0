package storage

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Format is the version of everything under the prefixes that this build
// writes. It only rises: a build opens older databases, bringing them up to
// date, and never a newer one.
//
//	1  log, stable store and state machine as of the first release
//	2  indexes of keys by expiry and of deployments by model, which package state
//	   makes from the records of an older database
//	3  tables and indexes of users, roles, bindings, sessions and the audit log, indexes
//	   of keys by owner and of deployments by tenant
//	4  tables and indexes of usage, and the ledger of the node's own requests
//	5  the table of budgets
const Format uint32 = 5

// pebbleFormat is the version of Pebble's own files. It rises in a release after
// the one that could read it, so that a member which was upgraded can go back.
const pebbleFormat = pebble.FormatTableFormatV6

// ErrNewerFormat is wrapped by Open's error where a newer build wrote the database.
var ErrNewerFormat = errors.New("the database was written by a newer build")

var formatKey = Meta.Key([]byte("format"))

// RaiseFormat marks the database as one of this build's format, with which older
// builds refuse it. Package state calls it once it has brought what it keeps up to
// date, the last to have something to bring.
func (db *DB) RaiseFormat() error {
	b := db.pebble.NewBatch()
	if err := b.Set(formatKey, binary.BigEndian.AppendUint32(nil, Format), nil); err != nil {
		return errors.Join(err, b.Close())
	}
	if err := db.CommitPatiently(b); err != nil {
		return err
	}
	db.format = Format
	return nil
}

// Found is the format that the database has.
func (db *DB) Found() uint32 { return db.format }

// checkFormat marks a new database with this build's version, and refuses one
// that this build cannot read. It returns the database's format.
//
// Pebble has begun the log of a new database by then, in a format of old in which
// damage looks like the log's end: the flush has it begin another.
func checkFormat(db *pebble.DB) (uint32, error) {
	raw, closer, err := db.Get(formatKey)
	if errors.Is(err, pebble.ErrNotFound) {
		if err := db.Set(formatKey, binary.BigEndian.AppendUint32(nil, Format), pebble.Sync); err != nil {
			return 0, err
		}
		return Format, db.Flush()
	}
	if err != nil {
		return 0, err
	}
	defer closer.Close()
	if len(raw) != 4 {
		return 0, fmt.Errorf("the version of the database's format has %d bytes instead of 4: the database is damaged", len(raw))
	}
	switch found := binary.BigEndian.Uint32(raw); {
	case found > Format:
		return 0, fmt.Errorf("%w: its format is %d and this build knows formats up to %d: run the newer build, or restore a backup", ErrNewerFormat, found, Format)
	case found == 0:
		return 0, errors.New("the version of the database's format is 0: the database is damaged")
	default:
		return found, nil
	}
}
