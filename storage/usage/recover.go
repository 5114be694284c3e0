package usage

import (
	"crypto/rand"
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// recover puts into Pebble what the journal has and Pebble has not, and begins another life.
func (l *Ledger) recover() error {
	var err error
	var life uint64
	known := false
	read := l.reader(&err)
	read(lifeKey, func(v []byte) {
		if len(v) == 8 {
			life, known = binary.BigEndian.Uint64(v), true
		}
	})
	if err != nil || !known && l.size == 0 {
		return err
	}
	if err := l.load(); err != nil {
		return err
	}
	b := l.db.Pebble().NewBatch()
	if known {
		if err := l.replay(b, life); err != nil {
			return errors.Join(err, b.Close())
		}
	}
	l.life = drawLife()
	if l.size > 0 {
		err = b.Set(lifeKey, be(l.life), nil)
	} else {
		err = b.Delete(lifeKey, nil)
	}
	if err != nil {
		return errors.Join(err, b.Close())
	}
	if err := l.db.Commit(b, nil); err != nil {
		return err
	}
	if l.size == 0 {
		_ = l.db.RemoveFile(journalName) // what is in it is of no life any more
	}
	return nil
}

// replay adds the journal's records to b.
func (l *Ledger) replay(b *pebble.Batch, life uint64) error {
	raw, err := journalBytes(l.db)
	if err != nil {
		l.cfg.Log.Error("the usage ledger's journal cannot be read: records of the last moments before a crash are lost", "error", err)
		return nil
	}
	found, ahead := readJournal(raw, life, l.mu.onDisk)
	total := l.mu.bytes
	for _, f := range found {
		value := append(be(total), f.value[8:]...)
		if err := b.Set(recordKey(f.number), value, nil); err != nil {
			return err
		}
		total += uint64(len(value)-8) + overhead
	}
	if len(found) > 0 {
		l.cfg.Log.Info("records of requests are taken over from the usage ledger's journal", "records", len(found))
	}
	if ahead > 0 {
		l.cfg.Log.Error("the usage ledger's journal has lost records, as by a power cut; those behind them are left", "left", ahead)
	}
	return nil
}

func drawLife() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:])
}
