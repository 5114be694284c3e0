package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"filippo.io/age"
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage/state"
)

// forged is a backup under good seals, from nothing to index last, with these entries.
func forged(t *testing.T, key *age.X25519Identity, last uint64, entries ...*wire.Entry) []byte {
	t.Helper()
	line, err := json.Marshal(Manifest{Format: Format, Cluster: "lb-1", Index: last, StateHash: strings.Repeat("0", 64)})
	try(t, err)
	var plain []byte
	sized := func(b []byte) { plain = append(binary.BigEndian.AppendUint32(plain, uint32(len(b))), b...) }
	sized(line)
	plain = append(plain, 0, 0, 0, 0)
	for _, e := range entries {
		raw, err := proto.Marshal(e)
		try(t, err)
		sized(raw)
	}
	plain = append(plain, 0, 0, 0, 0)
	sum := sha256.Sum256(plain)
	return sealed(t, string(line), append(plain, sum[:]...), key.Recipient())
}

func TestEntriesThatCannotBe(t *testing.T) {
	key := pair(t)
	command, err := proto.Marshal(&wire.Command{Level: 1, RequestId: "r", Body: &wire.Command_PutSetting{PutSetting: &wire.PutSetting{Name: "a", Value: "b"}}})
	try(t, err)
	newer, err := proto.Marshal(&wire.Command{Level: state.Level + 1, RequestId: "r"})
	try(t, err)
	entry := func(index, term uint64) *wire.Entry { return &wire.Entry{Index: index, Term: term, Command: command} }
	for _, c := range []struct {
		what    string
		last    uint64
		entries []*wire.Entry
		says    string
	}{
		{"a gap", 3, []*wire.Entry{entry(1, 1), entry(3, 1)}, "what follows entry 1, before byte "},
		{"no beginning", 3, []*wire.Entry{entry(2, 1), entry(3, 1)}, "what follows entry 0, before byte "},
		{"one twice", 2, []*wire.Entry{entry(1, 1), entry(1, 1), entry(2, 1)}, "the next entry is 1: there is a gap"},
		{"too few", 3, []*wire.Entry{entry(1, 1), entry(2, 1)}, "the entries end there, and the manifest says 3"},
		{"too many", 1, []*wire.Entry{entry(1, 1), entry(2, 1)}, "entry 2 is there, and the manifest says that 1 is the last"},
		{"a term that falls", 2, []*wire.Entry{entry(1, 2), entry(2, 1)}, "entry 2 is of term 1"},
		{"a later build's command", 2, []*wire.Entry{entry(1, 1), {Index: 2, Term: 1, Command: newer}}, "upgrade this node"},
		{"no command", 1, []*wire.Entry{{Index: 1, Term: 1, Command: []byte("x")}}, "it is no command"},
		{"another state in the end", 1, []*wire.Entry{entry(1, 1)}, "this build writes records in another way"},
	} {
		raw := forged(t, key, c.last, c.entries...)
		_, found := Verify(bytes.NewReader(raw), key)
		_, restored := Rehearse(t.TempDir(), bytes.NewReader(raw), nil, key)
		if restored == nil || !strings.Contains(restored.Error(), c.says) {
			t.Errorf("%s: restored with %v", c.what, restored)
		}
		switch {
		case strings.Contains(c.says, "another way"):
			if found != nil {
				t.Errorf("%s: verified with %v", c.what, found)
			}
		case found == nil || !strings.Contains(found.Error(), c.says):
			t.Errorf("%s: verified with %v", c.what, found)
		case !errors.Is(found, ErrDamaged) && !errors.Is(found, state.ErrLevel):
			t.Errorf("%s: it is no damage: %v", c.what, found)
		}
	}
	if _, err := Verify(bytes.NewReader(forged(t, key, 2, entry(1, 1), &wire.Entry{Index: 2, Term: 2})), key); err != nil {
		t.Errorf("a good one: %v", err)
	}
}
