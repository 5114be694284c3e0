package backup

import (
	"bytes"
	"os"
	"testing"
	"time"

	"filippo.io/age"
)

// golden is a backup that the last build of format 1 has made.
const golden = "testdata/format1.lbk"

func TestFormat1(t *testing.T) {
	raw, err := os.ReadFile(golden)
	try(t, err)
	key, err := age.ParseX25519Identity(fuzzKey)
	try(t, err)
	made := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	want := Manifest{
		Format: 1, Cluster: "lb-0123", From: 23, Index: 23, StateHash: "d428ebc1485e67913c1231a0d9b3baf1144bec7c838d36ab5bb08287372c1dd4", Current: true,
		FromTime: made, ToTime: made, Time: made, Node: "n1", Build: "v1",
	}
	if m, err := Verify(bytes.NewReader(raw), key); err != nil || m != want {
		t.Fatalf("verified: %+v (%v)", m, err)
	}
	if hash, _ := restored(t, raw, key, 23); hash != want.StateHash {
		t.Errorf("the restored state has the hash %s", hash)
	}
	if _, index, err := Find(bytes.NewReader(raw), Point{Time: made}, key); err != nil || index != 23 {
		t.Errorf("its time is index %d (%v)", index, err)
	}
	if m, err := Rehearse(t.TempDir(), bytes.NewReader(raw), nil, key); err != nil || m != want {
		t.Errorf("rehearsed: %+v (%v)", m, err)
	}
	other := pair(t)
	var again bytes.Buffer
	if m, err := Reseal(&again, bytes.NewReader(raw), key, other.Recipient()); err != nil || m != want {
		t.Fatalf("sealed again: %+v (%v)", m, err)
	}
	if m, err := Verify(&again, other); err != nil || m != want {
		t.Errorf("sealed again and verified: %+v (%v)", m, err)
	}
	if files, err := List("testdata"); err != nil || len(files) != 1 || files[0].Manifest != want {
		t.Errorf("listed: %+v (%v)", files, err)
	}
}
