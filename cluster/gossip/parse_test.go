package gossip

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/lotabots/lotabots/cluster/spec"
)

func TestMetadata(t *testing.T) {
	m := Member{ID: "gpu-1", Roles: []spec.Role{spec.RoleGateway}, Region: "eu", Zone: "z", Build: "v1", Level: 9, API: "h:1", Addr: "10.0.0.1:7946", Fault: DiskFailed}
	raw, err := encodeMeta(m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeMember("gpu-1", "10.0.0.1:7946", raw)
	if err != nil || !got.equal(m) {
		t.Errorf("got %+v, %v; want %+v", got, err, m)
	}
	later, err := decodeMember("gpu-1", "10.0.0.1:7946", []byte(`{"r":["gateway","oracle"],"l":10,"new":{"field":1}}`))
	if err != nil || !slices.Equal(later.Roles, []spec.Role{spec.RoleGateway}) || later.Level != 10 {
		t.Errorf("a later build's metadata: %+v, %v", later, err)
	}
	for limit, ok := range map[int]bool{100: true, 600: false} {
		m.Region = strings.Repeat("x", limit)
		if raw, err := encodeMeta(m); (err == nil) != ok || len(raw) >= memberlist.MetaMaxSize {
			t.Errorf("a region of %d bytes: %d bytes of metadata, %v", limit, len(raw), err)
		}
	}
	for limit := 300; limit < memberlist.MetaMaxSize; limit++ { // whoever may start can tell of a fault
		m.Region, m.Fault = strings.Repeat("x", limit), Faultless
		_, sound := encodeMeta(m)
		if m.Fault = 255; sound == nil {
			if raw, err := encodeMeta(m); err != nil || len(raw) >= memberlist.MetaMaxSize {
				t.Fatalf("a region of %d bytes leaves no room for a fault: %v", limit, err)
			}
		}
	}
}

func FuzzDecodeMember(f *testing.F) {
	f.Add("a", []byte(`{"r":["voter"],"g":"eu"}`))
	f.Add("", []byte(`{}`))
	f.Add("A", []byte(`{"r":[1]}`))
	f.Fuzz(func(t *testing.T, id string, raw []byte) {
		m, err := decodeMember(id, "1.2.3.4:5", raw)
		if err != nil {
			return
		}
		if m.ID.Valid() != nil {
			t.Fatalf("took the id %q", id)
		}
		for _, r := range m.Roles {
			if !spec.ValidRole(r) {
				t.Fatalf("took the role %q", r)
			}
		}
		again, err := encodeMeta(m)
		if err != nil {
			return // escapes may make it longer
		}
		if back, err := decodeMember(id, m.Addr, again); err != nil || !back.equal(m) {
			t.Fatalf("%+v came back as %+v, %v", m, back, err)
		}
	})
}

func FuzzDecodeDigest(f *testing.F) {
	f.Add(encodeDigest("a", []byte("x")))
	f.Add([]byte{1, 255, 'a'})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, frame []byte) {
		from, raw, err := decodeDigest(frame)
		if err != nil {
			return
		}
		if from.Valid() != nil || len(raw) > MaxDigest || !bytes.Equal(encodeDigest(from, raw), frame) {
			t.Fatalf("%x became %q and %d bytes", frame, from, len(raw))
		}
	})
}

func FuzzParsePeers(f *testing.F) {
	f.Add([]byte(`{"peers":[{"id":"a","addr":"1.2.3.4:7946"},{"id":"a","addr":"1.2.3.4:7947"},{"id":"B","addr":"x"}]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		list, err := parsePeers(raw)
		if err != nil {
			return
		}
		if len(list) > maxPeers {
			t.Fatalf("%d peers", len(list))
		}
		out, err := json.Marshal(peersFile{list})
		if err != nil {
			t.Fatal(err)
		}
		if back, err := parsePeers(out); err != nil || !slices.Equal(back, list) {
			t.Fatalf("%v came back as %v, %v", list, back, err)
		}
	})
}

func TestPeersAreBounded(t *testing.T) {
	p := openPeers("", slog.New(slog.DiscardHandler))
	for i := range maxPeers + 10 {
		p.remember(peer{ID: fmt.Sprint("n", i), Addr: "10.0.0.1:1"})
	}
	p.remember(peer{ID: "n20", Addr: "10.0.0.2:1"}) // moved: now the latest
	list := p.mu.list
	if len(list) != maxPeers || list[0].ID != "n10" || list[len(list)-1] != (peer{"n20", "10.0.0.2:1"}) {
		t.Errorf("%d peers, from %v to %v", len(list), list[0], list[len(list)-1])
	}
}

func TestCandidates(t *testing.T) {
	there := map[string]bool{"self:1": true, "b:1": true}
	got := candidates(there, []string{"a:1", "self:1", ""}, []string{"a:1", "b:1", "c:1"}, nil)
	if want := []string{"a:1", "c:1"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPauseFor(t *testing.T) {
	for _, c := range []struct {
		others int
		lost   time.Duration
		ever   bool
		usual  time.Duration
		want   time.Duration
	}{
		{0, 0, false, 15 * time.Second, time.Second},
		{0, time.Second, true, 15 * time.Second, time.Second},
		{2, 0, false, 15 * time.Second, 15 * time.Second},
		{2, time.Second, true, 15 * time.Second, 2 * time.Second},
		{2, time.Hour, true, 15 * time.Second, 15 * time.Second},
		{2, time.Second, true, 100 * time.Millisecond, 100 * time.Millisecond},
	} {
		if got := pauseFor(c.others, c.lost, c.ever, c.usual); got != c.want {
			t.Errorf("%+v: got %v", c, got)
		}
	}
}

func TestResolve(t *testing.T) {
	got, err := resolve(t.Context(), "127.0.0.1:7946")
	if err != nil || len(got) != 1 || got[0].String() != "127.0.0.1:7946" {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:http", "127.0.0.1:70000"} {
		if got, err := resolve(t.Context(), bad); err == nil {
			t.Errorf("%q: got %v", bad, got)
		}
	}
}

func TestLoggerBoundsLines(t *testing.T) {
	var out bytes.Buffer
	w := &lines{log: slog.New(slog.NewTextHandler(&out, nil)), now: time.Now}
	now := time.Now()
	w.now = func() time.Time { return now }
	l := newLogger(nil)
	l.SetOutput(w)
	for range 1000 {
		l.Printf("[ERR] memberlist: Decrypt packet failed")
	}
	l.Printf("[DEBUG] memberlist: not wanted")
	if n := strings.Count(out.String(), "Decrypt packet failed"); n != logLinesPerSecond {
		t.Errorf("%d lines in a second, want %d", n, logLinesPerSecond)
	}
	now = now.Add(2 * time.Second)
	l.Printf("[WARN] memberlist: more")
	if s := out.String(); !strings.Contains(s, "count=980") || !strings.Contains(s, "msg=more") || strings.Contains(s, "not wanted") {
		t.Errorf("log:\n%s", s[len(s)-300:])
	}
}

func TestParseLine(t *testing.T) {
	for line, want := range map[string]string{
		"[ERR] memberlist: x\n": "INFO x", "[WARN] memberlist: [y] z": "INFO [y] z", "[INFO] memberlist: x": "DEBUG x",
		"memberlist: x": "DEBUG x", "[": "DEBUG [", "[ODD] x": "DEBUG [ODD] x", "": "DEBUG ",
	} {
		level, text := parseLine(line)
		if got := level.String() + " " + text; got != want {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
}
