package state

import (
	"bytes"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// reindex makes every secondary entry anew from the records, as a build has to
// whose indexes are others than those of the build that wrote them. What it does
// is synced with the database's new format, before which it is done again.
func (s *Store) reindex(v view) {
	db := s.db.Pebble()
	must(db.DeleteRange(v.key([]byte{firstIndex}), after(v.prefix), pebble.NoSync))
	batch := db.NewBatch()
	v.walk(nil, []byte{positionMark + 1}, func(key, value []byte) bool {
		if key[0] >= firstIndex {
			return false
		}
		indexes, err := verify(bytes.Clone(key), value)
		if err != nil {
			must(fmt.Errorf("record %q: %w", key, err))
		}
		for _, k := range indexes {
			must(batch.Set(v.key(k), nil, nil))
		}
		if batch.Len() >= asideBatch {
			must(s.db.Apply(batch))
			must(batch.Close())
			batch = db.NewBatch()
		}
		return true
	})
	must(s.db.Apply(batch))
	must(batch.Close())
}
