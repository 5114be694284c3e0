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
const Format uint32 = 1

// pebbleFormat is the version of Pebble's own files. It rises in a release after
// the one that could read it, so that a member which was upgraded can go back.
const pebbleFormat = pebble.FormatTableFormatV6

// ErrNewerFormat is wrapped by Open's error where a newer build wrote the database.
var ErrNewerFormat = errors.New("the database was written by a newer build")

var formatKey = Meta.Key([]byte("format"))

// checkFormat marks a new database with this build's version, and refuses one
// that this build cannot read.
func checkFormat(db *pebble.DB) error {
	raw, closer, err := db.Get(formatKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return db.Set(formatKey, binary.BigEndian.AppendUint32(nil, Format), pebble.Sync)
	}
	if err != nil {
		return err
	}
	defer closer.Close()
	if len(raw) != 4 {
		return fmt.Errorf("the version of the database's format has %d bytes instead of 4: the database is damaged", len(raw))
	}
	switch found := binary.BigEndian.Uint32(raw); {
	case found > Format:
		return fmt.Errorf("%w: its format is %d and this build knows formats up to %d: run the newer build, or restore a backup", ErrNewerFormat, found, Format)
	case found == 0:
		return errors.New("the version of the database's format is 0: the database is damaged")
	}
	return nil
}
