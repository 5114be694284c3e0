package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

const fuzzKey = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33"

// sealed makes a file whose head and seals are good and whose content is plain.
func sealed(t testing.TB, line string, plain []byte, to age.Recipient) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s%d %s\n", mark, Format, line)
	seal, err := age.Encrypt(&out, to)
	try(t, err)
	pack, err := zstd.NewWriter(seal, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdWindow), zstd.WithEncoderLevel(zstd.SpeedFastest))
	try(t, err)
	_, err = pack.Write(plain)
	try(t, errors.Join(err, pack.Close(), seal.Close()))
	return out.Bytes()
}

// FuzzFile reads arbitrary files.
func FuzzFile(f *testing.F) {
	key, err := age.ParseX25519Identity(fuzzKey)
	if err != nil {
		f.Fatal(err)
	}
	raw, _ := written(f, filled(f, 2), key.Recipient())
	f.Add(raw)
	f.Add(raw[:len(raw)/2])
	f.Add(withHistory(f, key))
	f.Add([]byte(mark + "3 {}\n"))
	f.Add([]byte(mark + "1 {}\nage-encryption.org/v1\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		m, err := Verify(bytes.NewReader(file), key)
		if head, _ := ReadManifest(bytes.NewReader(file)); err == nil && (head != m || m.Index == 0) {
			t.Errorf("verified %+v, and its first line says %+v", m, head)
		}
	})
}

// FuzzContent reads arbitrary content under good seals, as one who knows the
// recipient can make it.
func FuzzContent(f *testing.F) {
	key, err := age.ParseX25519Identity(fuzzKey)
	if err != nil {
		f.Fatal(err)
	}
	raw := withHistory(f, key)
	_, line, err := readHead(bytes.NewReader(raw))
	try(f, err)
	plain := unsealed(f, raw, key)
	f.Add(plain, false)
	f.Add(plain[:len(plain)-40], true)
	f.Add(append(bytes.Clone(plain), 1, 2, 3), false)
	f.Fuzz(func(t *testing.T, content []byte, digest bool) {
		if digest { // so that what is in front of it counts
			sum := sha256.Sum256(append(bytes.Clone(content), 0, 0, 0, 0))
			content = append(append(bytes.Clone(content), 0, 0, 0, 0), sum[:]...)
		}
		file := sealed(t, string(line), content, key.Recipient())
		m, err := Verify(bytes.NewReader(file), key)
		if err == nil && !bytes.HasPrefix(content[4:], line) {
			t.Errorf("the manifest is %+v, and another is sealed", m)
		}
	})
}

// FuzzEntries reads arbitrary content that nothing seals: much more of it in a time.
func FuzzEntries(f *testing.F) {
	key, err := age.ParseX25519Identity(fuzzKey)
	if err != nil {
		f.Fatal(err)
	}
	raw := withHistory(f, key)
	_, line, err := readHead(bytes.NewReader(raw))
	try(f, err)
	plain := unsealed(f, raw, key)[4+len(line):]
	f.Add(plain[:len(plain)-36], true)
	f.Add(plain, false)
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, content []byte, digest bool) {
		content = append(append(binary.BigEndian.AppendUint32(nil, uint32(len(line))), line...), content...)
		if digest {
			content = append(content, 0, 0, 0, 0)
			sum := sha256.Sum256(content)
			content = append(content, sum[:]...)
		}
		r := &Reader{file: &counted{r: bytes.NewReader(nil)}, packed: bytes.NewReader(content), sum: sha256.New()}
		if err := r.manifest(line); err != nil {
			t.Fatal(err)
		}
		index, err := r.find(Point{})
		if sum := sha256.Sum256(content[:max(0, len(content)-32)]); err == nil && (index != r.Manifest.Index || !bytes.HasSuffix(content, sum[:])) {
			t.Errorf("it is good to index %d, and is not whole", index)
		}
	})
}

func withHistory(t testing.TB, key *age.X25519Identity) []byte {
	s := newServer(t, t.TempDir())
	defer s.close()
	s.setting(1)
	s.key("k1")
	s.snapshot(0)
	s.key("k2")
	s.lead()
	s.setting(2)
	raw, m := s.backup(key)
	if m.From != 2 || m.Index != 5 {
		t.Fatal(m.Range())
	}
	return raw
}

func unsealed(t testing.TB, raw []byte, key age.Identity) []byte {
	t.Helper()
	in := bytes.NewReader(raw)
	_, _, err := readHead(in)
	try(t, err)
	open, err := age.Decrypt(in, key)
	try(t, err)
	unpack, err := zstd.NewReader(open)
	try(t, err)
	defer unpack.Close()
	plain, err := io.ReadAll(unpack)
	try(t, err)
	return plain
}
