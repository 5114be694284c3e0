package feed

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"time"
)

func writeFrame(w io.Writer, kind byte, payload []byte) error {
	b, err := appendFrame(nil, kind, payload)
	if err == nil {
		_, err = w.Write(b)
	}
	return err
}

func TestFramesComeBack(t *testing.T) {
	var b bytes.Buffer
	large := bytes.Repeat([]byte("abc"), maxPart) // several steps
	for _, f := range []struct {
		kind    byte
		payload []byte
	}{{kindEntry, large}, {kindSnapshot, nil}, {kindPart, []byte("x")}, {kindEnd, nil}} {
		b.Reset()
		if err := writeFrame(&b, f.kind, f.payload); err != nil {
			t.Fatal(err)
		}
		kind, payload, err := readFrame(iotest.HalfReader(bytes.NewReader(b.Bytes())))
		if err != nil || kind != f.kind || !bytes.Equal(payload, f.payload) {
			t.Errorf("kind %q, %d bytes, %v", kind, len(payload), err)
		}
		if _, _, err := readFrame(bytes.NewReader(b.Bytes()[:b.Len()-1])); err == nil {
			t.Errorf("kind %q cut short was read", f.kind)
		}
		for at := 0; at < b.Len(); at += 1 + b.Len()/37 { // one bit at a time
			damaged := bytes.Clone(b.Bytes())
			damaged[at] ^= 1 << (at % 8)
			if _, _, err := readFrame(bytes.NewReader(damaged)); err == nil {
				t.Errorf("kind %q with a damaged byte %d was read", f.kind, at)
			}
		}
	}
	if err := writeFrame(&b, kindPart, make([]byte, maxPart+1)); err == nil {
		t.Error("a part over the limit was written")
	}
	want := beat{7, time.Second, time.Minute}
	if got, err := decodeBeat(want.encode()); err != nil || got != want {
		t.Errorf("%v, %v", got, err)
	}
}

// FuzzReadFrame: any bytes are frames or an error, in bounded memory, and what
// was read is written alike.
func FuzzReadFrame(f *testing.F) {
	for kind, payload := range map[byte][]byte{kindEntry: []byte("entry"), kindHeartbeat: beat{1, 2, 3}.encode(), kindSnapshot: nil} {
		var b bytes.Buffer
		_ = writeFrame(&b, kind, payload)
		f.Add(b.Bytes())
	}
	f.Add([]byte("E\x00\xff\xff\xff\x00\x00\x00\x00"))
	var whole bytes.Buffer
	for _, kind := range []byte{kindSnapshot, kindPart, kindEnd} {
		_ = writeFrame(&whole, kind, nil)
	}
	f.Add(whole.Bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 0 {
			var b bytes.Buffer
			if err := writeFrame(&b, raw[0], raw[1:]); err == nil {
				if kind, payload, err := readFrame(&b); err != nil || kind != raw[0] || !bytes.Equal(payload, raw[1:]) {
					t.Fatalf("a frame comes back as kind %q, %q, %v", kind, payload, err)
				}
			}
		}
		r := bytes.NewReader(raw)
		var again bytes.Buffer
		for {
			at := r.Len()
			kind, payload, err := readFrame(r)
			if err != nil {
				if at == 0 && !errors.Is(err, io.EOF) {
					t.Fatalf("at the end: %v", err)
				}
				break
			}
			if cap(payload) > 2*(len(raw)+maxPart) {
				t.Fatalf("%d bytes were taken for %d", cap(payload), len(raw))
			}
			if err := writeFrame(&again, kind, payload); err != nil {
				t.Fatal(err)
			}
			if kind == kindHeartbeat {
				if b, err := decodeBeat(payload); err == nil && !bytes.Equal(b.encode(), payload) {
					t.Fatalf("%v", b)
				}
			}
		}
		if !bytes.HasPrefix(raw, again.Bytes()) {
			t.Fatal("read something else than what was there")
		}
		fromParts(t, raw)
	})
}

// fromParts reads the bytes as a snapshot's frames: it ends, and at io.EOF only
// where they say so.
func fromParts(t *testing.T, raw []byte) {
	r := bytes.NewReader(raw)
	p := &parts{next: func() (byte, []byte, error) { return readFrame(r) }}
	got, err := io.ReadAll(p)
	if err == nil && !bytes.Contains(raw, []byte{kindEnd, 0, 0, 0, 0}) {
		t.Fatal("a snapshot without an end is whole")
	}
	if len(got) > len(raw) {
		t.Fatalf("%d bytes out of %d", len(got), len(raw))
	}
	if _, again := p.Read(make([]byte, 1)); again == nil || err == nil && again != io.EOF {
		t.Fatalf("after the end: %v", again)
	}
}

// FuzzBeat: a heartbeat is refused, or means what its sender meant, in times that are no less than 0.
func FuzzBeat(f *testing.F) {
	f.Add(beat{index: 7, age: time.Second, elapsed: time.Minute}.encode())
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, beatSize))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := decodeBeat(raw)
		if err != nil {
			if !errors.Is(err, errFrame) {
				t.Fatal(err)
			}
			return
		}
		if b.age < 0 || b.elapsed < 0 || !bytes.Equal(b.encode(), raw) {
			t.Fatalf("%x is %+v", raw, b)
		}
	})
}
