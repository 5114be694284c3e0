package backup

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"time"
)

// Format is that of the files that this build writes. It only rises.
const Format = 2

// A Manifest says what a backup is of.
type Manifest struct {
	Format    int       `json:"format"`
	Cluster   string    `json:"cluster"`
	From      uint64    `json:"from"`       // the lowest index that it restores to; 0: the cluster's first entry
	Index     uint64    `json:"index"`      // of the last entry in it: the highest
	StateHash string    `json:"state_hash"` // state.Store's Hash at that index, hex
	Current   bool      `json:"current"`    // the leader confirmed that the state was the newest; without, newer writes may be missing
	FromTime  time.Time `json:"from_time"`  // the earliest time that it restores to, UTC
	ToTime    time.Time `json:"to_time"`    // the latest
	Time      time.Time `json:"time"`       // when it was begun, UTC
	Node      string    `json:"node"`       // that made it
	Build     string    `json:"build"`
}

// mark begins a file; the number of its format follows.
const mark = "LOTABOTS-BACKUP "

// maxManifest bounds a manifest, bytes.
const maxManifest = 8 << 10

var (
	clusterForm = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)
	hashForm    = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// ErrNewer is wrapped where a later build made the backup.
var ErrNewer = errors.New("the backup has a format that this build does not know: use the build that made it, or a later one")

func (m Manifest) encode() ([]byte, error) {
	for _, t := range []*time.Time{&m.Time, &m.FromTime, &m.ToTime} {
		*t = t.UTC().Truncate(time.Millisecond)
	}
	m.Format = Format
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	_, err = decodeManifest(raw)
	return raw, err
}

func decodeManifest(raw []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, err
	}
	switch {
	case m.Format > Format:
		return m, fmt.Errorf("%w: it is %d, and this build knows %d", ErrNewer, m.Format, Format)
	case m.Format < 1:
		return m, errors.New("it states no format")
	case !clusterForm.MatchString(m.Cluster):
		return m, fmt.Errorf("%.80q is no cluster's id", m.Cluster)
	case !hashForm.MatchString(m.StateHash):
		return m, errors.New("it states no hash of the state")
	case len(raw) > maxManifest:
		return m, fmt.Errorf("it has %d bytes and may have %d", len(raw), maxManifest)
	case m.Format == 1: // which knows one moment
		m.From, m.FromTime, m.ToTime = m.Index, m.Time, m.Time
	case m.From > m.Index || m.FromTime.After(m.ToTime):
		return m, errors.New("it begins after its end")
	}
	return m, nil
}

func (m Manifest) hash() []byte {
	raw, _ := hex.DecodeString(m.StateHash) // its form was checked
	return raw
}

// Matches tells whether the state that came of the backup is the one that it was made of.
func (m Manifest) Matches(hash []byte, index uint64) bool {
	return index == m.Index && bytes.Equal(hash, m.hash())
}

// ReadManifest reads what a backup says of itself in clear. Nothing vouches for
// it before the sealed part is opened.
func ReadManifest(r io.Reader) (Manifest, error) {
	m, _, err := readHead(r)
	return m, err
}

// readHead reads the first line, and not a byte more.
func readHead(r io.Reader) (Manifest, []byte, error) {
	head := make([]byte, len(mark))
	if _, err := io.ReadFull(r, head); err != nil || string(head) != mark {
		return Manifest{}, nil, fault(r, "its first line", errors.Join(errors.New("it does not begin as a backup does"), notEOF(err)))
	}
	line := make([]byte, 0, 512)
	for b := []byte{0}; ; {
		if _, err := io.ReadFull(r, b); err != nil {
			return Manifest{}, nil, fault(r, "its first line", err)
		}
		if b[0] == '\n' {
			break
		}
		if line = append(line, b[0]); len(line) > maxManifest+8 {
			return Manifest{}, nil, fault(r, "its first line", fmt.Errorf("it is longer than %d bytes", maxManifest))
		}
	}
	number, raw, _ := bytes.Cut(line, []byte(" "))
	if format, err := strconv.ParseUint(string(number), 10, 16); err != nil || format < 1 {
		return Manifest{}, nil, fault(r, "its first line", errors.New("it states no format"))
	} else if format > Format {
		return Manifest{}, nil, fmt.Errorf("%w: it is %d, and this build knows %d", ErrNewer, format, Format)
	}
	m, err := decodeManifest(raw)
	if err == nil && string(number) != strconv.Itoa(m.Format) {
		err = fmt.Errorf("it states the formats %s and %d", number, m.Format)
	}
	if err != nil && !errors.Is(err, ErrNewer) {
		err = fault(r, "its first line", err)
	}
	return m, raw, err
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
