package coding

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func TestChoose(t *testing.T) {
	for accept, want := range map[string]string{
		"": Identity, "identity": Identity, "gzip": Gzip, "GZIP": Gzip, "x-gzip": Gzip, "deflate": Identity, "br": Brotli,
		"gzip, deflate, br, zstd": Zstd, "gzip, br": Brotli, "gzip;q=1.0, br;q=0.5": Gzip, "zstd;q=0.1, gzip;q=0.2": Gzip,
		"*": Zstd, "*;q=0.5, gzip;q=0.6": Gzip, "zstd;q=0, *": Brotli, "*;q=0": Identity, "gzip;q=0": Identity,
		"identity;q=1, gzip;q=0.5": Identity, "identity;q=0.5, gzip;q=0.5": Gzip, "gzip;q=0.5, gzip;q=0": Gzip,
		"gzip;q=2": Identity, "gzip;q=1.001": Identity, "gzip;q=-1": Identity, "gzip;q=": Identity, "gzip;level=9": Identity, "gzip;q=0.0001": Identity,
		" br ; q = 0.3 ,, ": Brotli, ";q=1": Identity,
	} {
		if got, _ := Choose(accept); got != want {
			t.Errorf("%q: %q, want %q", accept, got, want)
		}
	}
}

// TestChoosePlain: RFC 9110 has an answer without coding acceptable unless it is excluded by name, or by * where it is not named.
func TestChoosePlain(t *testing.T) {
	for accept, want := range map[string]bool{
		"": true, "gzip": true, "deflate": true, "identity": true, "*": true, "gzip;q=0": true, "identity;q=0": false, "gzip, identity;q=0": false, "*;q=0": false,
		"gzip, *;q=0": false, "identity, *;q=0": true, "identity;q=0.001, *;q=0": true, "identity;q=0, *": false, "identity;q=0.000": false, "Identity; Q=0": false,
	} {
		if _, got := Choose(accept); got != want {
			t.Errorf("%q: %v", accept, got)
		}
	}
}

func TestRestoreWhatWasCompressed(t *testing.T) {
	for _, plain := range []string{"", "x", strings.Repeat("all work and no play ", 5000)} {
		for _, coding := range append([]string{Identity}, preferred[:]...) {
			coded := Compress([]byte("before"), coding, []byte(plain))
			if !bytes.HasPrefix(coded, []byte("before")) {
				t.Fatalf("%q does not append", coding)
			}
			coded = coded[len("before"):]
			if len(plain) > 1000 && coding != Identity && len(coded) > len(plain)/20 {
				t.Errorf("%s: %d bytes of %d", coding, len(coded), len(plain))
			}
			if got, err := Restore(coding, coded, len(plain), nil); err != nil || string(got) != plain {
				t.Errorf("%s: %d bytes, %v", coding, len(got), err)
			}
			if len(plain) == 0 || coding == Identity {
				continue
			}
			if _, err := Restore(coding, coded, len(plain)-1, nil); !errors.Is(err, ErrTooLarge) {
				t.Errorf("%s over its limit: %v", coding, err)
			}
			if _, err := Restore(coding, coded[:len(coded)-1], 1<<20, nil); err == nil {
				t.Errorf("%s cut short is taken", coding)
			}
		}
	}
	for _, encoding := range []string{"deflate", "gzip, br", "compress", "gzip;q=1"} {
		if _, err := Restore(encoding, []byte("x"), 100, nil); !errors.Is(err, ErrUnknown) {
			t.Errorf("%q: %v", encoding, err)
		}
	}
}

// TestRestoreAsksForRoom as it grows.
func TestRestoreAsksForRoom(t *testing.T) {
	for _, coding := range preferred {
		coded, asked := Compress(nil, coding, make([]byte, 3*Step)), 0
		if _, err := Restore(coding, coded, 1<<30, func(int) bool { asked++; return asked < 3 }); !errors.Is(err, ErrNoRoom) || asked != 3 {
			t.Errorf("%s: %v, asked %d times", coding, err, asked)
		}
		asked = 0
		if _, err := Restore(coding, coded, 1<<30, func(int) bool { asked++; return true }); err != nil || asked != 3 {
			t.Errorf("%s: %v, asked %d times", coding, err, asked)
		}
	}
}

// TestBombsTakeNoMemory: what becomes a gigabyte is refused having taken little more than the limit.
func TestBombsTakeNoMemory(t *testing.T) {
	zeros := make([]byte, 256<<20)
	for _, coding := range preferred {
		bomb := Compress(nil, coding, zeros)
		if coding == Gzip {
			bomb = bytes.Repeat(bomb, 4) // members one after the other are one body
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Restore(coding, bomb, 1<<20, nil)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, ErrTooLarge) || took > 32<<20 {
			t.Errorf("%s of %d bytes: %v, having taken %d bytes", coding, len(bomb), err, took)
		}
	}
	wide, err := zstd.NewWriter(nil, zstd.WithWindowSize(64<<20))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	wide.Reset(&out)
	_, _ = wide.Write(zeros)
	_ = wide.Close()
	if _, err := Restore(Zstd, out.Bytes(), 1<<30, nil); err == nil {
		t.Error("a window of 64 MB is taken")
	}
}

func FuzzChoose(f *testing.F) {
	for _, s := range []string{"gzip, deflate, br;q=0.5", "*;q=0", "identity;q=1;x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, accept string) {
		got, _ := Choose(accept)
		if got != Identity && !strings.Contains(strings.ToLower(accept), got) && !strings.Contains(accept, "*") {
			t.Errorf("%q: %q was not asked for", accept, got)
		}
	})
}

func FuzzRestore(f *testing.F) {
	for i, coding := range preferred {
		f.Add(uint8(i), Compress(nil, coding, []byte("hello, hello")))
	}
	f.Fuzz(func(t *testing.T, i uint8, coded []byte) {
		const limit = 1 << 16
		plain, err := Restore(preferred[int(i)%len(preferred)], coded, limit, nil)
		if err == nil && len(plain) > limit {
			t.Errorf("%d bytes", len(plain))
		}
	})
}
