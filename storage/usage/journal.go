package usage

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage"
)

// The journal is a file of two halves, each written from its beginning, the one while the
// records of the other go to Pebble. A frame of it:
//
//	length(4) of what follows checksum, checksum(4) of that, life(8), round(4), number(8), value
//
// Life is drawn each time that a ledger is opened, and stands in Pebble; round is a half's, one more each time. What
// an earlier life or round has left behind the last frame is told by them. A value is as in Pebble.
const (
	journalName  = "usage-journal"
	frameHeader  = 28
	frameChecked = 8        // what the checksum is of begins there
	mostJournal  = 64 << 20 // that is read
)

// JournalBytes are enough for a second of 6,000 requests/s.
const JournalBytes = 4 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal makes a frame of b, which has frameHeader+8 bytes of room and then the record's encoding; before is what its value
// begins with.
func seal(b []byte, life uint64, round uint32, number, before uint64) {
	head := b[:frameHeader+8]
	binary.BigEndian.PutUint32(head, uint32(len(b)-frameChecked))
	binary.BigEndian.PutUint64(head[8:], life)
	binary.BigEndian.PutUint32(head[16:], round)
	binary.BigEndian.PutUint64(head[20:], number)
	binary.BigEndian.PutUint64(head[frameHeader:], before)
	binary.BigEndian.PutUint32(head[4:], crc32.Checksum(b[frameChecked:], castagnoli))
}

// A frame points into the bytes that it was read from.
type frame struct {
	life   uint64
	round  uint32
	number uint64
	value  []byte
}

// frameSize is that of the frame which b begins with; what seal has made is taken for sound.
func frameSize(b []byte) int { return frameChecked + int(binary.BigEndian.Uint32(b)) }

// frameAt is the frame which b begins with; of what is no sound one, ok is false.
func frameAt(b []byte) (f frame, size int, ok bool) {
	if len(b) < frameHeader+8 {
		return f, 0, false
	}
	if n := binary.BigEndian.Uint32(b); n < frameHeader-frameChecked+8 || uint64(n)+frameChecked > uint64(len(b)) {
		return f, 0, false
	}
	size = frameSize(b)
	if crc32.Checksum(b[frameChecked:size], castagnoli) != binary.BigEndian.Uint32(b[4:]) {
		return f, 0, false
	}
	return frame{binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint32(b[16:]), binary.BigEndian.Uint64(b[20:]), b[frameHeader:size]}, size, true
}

// readHalf returns the frames that one half begins with, of one life and round and with numbers in a row.
func readHalf(b []byte, life uint64) (frames []frame) {
	for {
		f, size, ok := frameAt(b)
		if !ok || f.life != life {
			return frames
		}
		if n := len(frames); n > 0 && (f.round != frames[0].round || f.number != frames[n-1].number+1) {
			return frames
		}
		if proto.Unmarshal(f.value[8:], &wire.UsageRecord{}) != nil {
			return frames
		}
		frames, b = append(frames, f), b[size:]
	}
}

// readJournal returns the records in the journal that come after number last, without gaps. What is behind a gap was
// written by a machine that lost power before it had written what is missing: ahead tells how many those are.
func readJournal(b []byte, life, last uint64) (found []frame, ahead int) {
	size := len(b) / 2
	halves := [][]frame{readHalf(b[:size], life), readHalf(b[size:], life)}
	slices.SortFunc(halves, func(x, y []frame) int {
		switch {
		case len(x) == 0 || len(y) == 0:
			return len(x) - len(y)
		case x[0].number < y[0].number:
			return -1
		}
		return 1
	})
	for _, frames := range halves {
		for _, f := range frames {
			switch {
			case f.number == last+1:
				found, last = append(found, f), f.number
			case f.number > last:
				ahead++
			}
		}
	}
	return found, ahead
}

// journalBytes are those of the file; none where there is no file, or none of ours.
func journalBytes(db *storage.DB) ([]byte, error) {
	f, err := db.OpenFile(journalName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil || info.Size() > mostJournal {
		return nil, errors.Join(err, f.Close())
	}
	b := make([]byte, info.Size())
	n, err := f.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], errors.Join(err, f.Close())
}

// layJournal opens the file, or makes it where it is not of that size. What is in it stays.
func layJournal(db *storage.DB, size int64) (storage.File, error) {
	f, err := db.OpenFile(journalName)
	if errors.Is(err, fs.ErrNotExist) {
		return db.CreateFile(journalName, size)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() == size {
		return f, nil
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return db.CreateFile(journalName, size)
}
