package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/node"
	"github.com/lotabots/lotabots/node/config"
	"github.com/lotabots/lotabots/storage"
	"github.com/lotabots/lotabots/storage/backup"
	"github.com/lotabots/lotabots/storage/state"
)

// sealedFile makes a backup of a state with nothing in it, under a passphrase.
func sealedFile(t *testing.T, dir, phrase string) string {
	t.Helper()
	db, err := storage.Open(filepath.Join(t.TempDir(), "db"), storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s, err := state.Open(db)
	if err != nil {
		t.Fatal(err)
	}
	frozen, err := s.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	defer frozen.Close()
	to, err := backup.PassphraseRecipient(strings.NewReader(phrase))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "one"+backup.Extension)
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := backup.Write(file, frozen, nil, backup.Manifest{Cluster: "lb-1", Node: "n1"}, to); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBackupCommands(t *testing.T) {
	dir := t.TempDir()
	phrase := filepath.Join(t.TempDir(), "phrase")
	if err := os.WriteFile(phrase, []byte("correct horse battery\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := sealedFile(t, dir, "correct horse battery")
	out, err := run(t, "backup", "ls", dir, "-o", "json")
	var rows []struct{ File, Cluster, Problem string }
	if err != nil || json.Unmarshal([]byte(out), &rows) != nil || len(rows) != 1 || rows[0].Cluster != "lb-1" || rows[0].Problem != "" {
		t.Errorf("ls: %s (%v)", out, err)
	}
	out, err = run(t, "backup", "verify", path, "--passphrase-file", phrase)
	if err != nil || !strings.Contains(out, "is whole: cluster lb-1") || !strings.Contains(out, "warning: no leader") {
		t.Errorf("verify: %s (%v)", out, err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-1] ^= 1
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, "backup", "verify", path, "--passphrase-file", phrase); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "before byte") {
		t.Errorf("a damaged one: %v", err)
	}
	data := filepath.Join(dir, "data")
	if _, err := run(t, "restore", path, "--passphrase-file", phrase, "--id", "n1", "--data", data); err == nil || !strings.Contains(err.Error(), "nothing was restored") {
		t.Errorf("restoring a damaged one: %v", err)
	}
	if left, err := os.ReadDir(data); err != nil || len(left) != 0 {
		t.Errorf("it left %v (%v)", left, err)
	}
	for _, line := range []string{"backup create", "backup create --recipient age1nonsense", "backup verify " + path, "backup create --recipient x --passphrase-file " + phrase, "recover --data " + dir} {
		if _, err := run(t, strings.Fields(line)...); err == nil {
			t.Errorf("lotabots %s is fine", line)
		}
	}
}

func TestRestoreCommand(t *testing.T) {
	dir := t.TempDir()
	phrase := filepath.Join(dir, "phrase")
	if err := os.WriteFile(phrase, []byte("correct horse battery\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sealedFile(t, dir, "correct horse battery")
	data := filepath.Join(dir, "data")
	for line, says := range map[string]string{
		"--index 0": "the first entry has index 1", "--time yesterday": "2026-11-25T12:00:00Z", "--index 5 --time 2026-11-25T12:00:00Z": "none of the others can be",
		"--index 5": "no backup in " + dir, "--time 2020-01-01T00:00:00Z": "one.lbk: index 0 alone", "--of-cluster lb-9": "none is there",
	} {
		_, err := run(t, append([]string{"restore", dir, "--passphrase-file", phrase, "--id", "n1", "--data", data}, strings.Fields(line)...)...)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("restore %s: %v, want %q in it", line, err, says)
		}
	}
	if _, err := os.Stat(data); err == nil {
		t.Error("something was made in the data directory")
	}
}

// TestFilesPassedOver: a backup whose name lacks the ending is not passed over in silence.
func TestFilesPassedOver(t *testing.T) {
	dir := t.TempDir()
	phrase := filepath.Join(t.TempDir(), "phrase")
	if err := os.WriteFile(phrase, []byte("correct horse battery\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(sealedFile(t, dir, "correct horse battery"), filepath.Join(dir, "nightly.bak")); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"backup ls " + dir, "restore " + dir + " --passphrase-file " + phrase + " --id n1 --data " + filepath.Join(t.TempDir(), "data")} {
		if out, _ := run(t, strings.Fields(line)...); !strings.Contains(out, `do not end in .lbk: ["nightly.bak"]`) {
			t.Errorf("%s: %s", line, out)
		}
	}
	for i := range 11 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint("a", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := run(t, "backup", "ls", dir); err != nil || !strings.Contains(out, "and 2 more") {
		t.Errorf("%s (%v)", out, err)
	}
	var bare, ended strings.Builder
	if warnOfName(&bare, "nightly.bak"); !strings.Contains(bare.String(), "does not end in .lbk") {
		t.Errorf("creating nightly.bak: %q", bare.String())
	}
	if warnOfName(&ended, "nightly.lbk"); ended.String() != "" {
		t.Errorf("creating nightly.lbk: %q", ended.String())
	}
}

// TestRunAfterARestoreThatWasCutOff: it left a directory with no configuration in it.
func TestRunAfterARestoreThatWasCutOff(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "unfinished"), []byte("restore"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, "node", "run", "--data", dir); err == nil || !strings.Contains(spec.Explain(err), "Run lotabots restore again") {
		t.Errorf("%v", err)
	}
}

func TestTellRestored(t *testing.T) {
	end := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	made := &node.Restored{
		From: backup.Manifest{Cluster: "lb-1", From: 3, Index: 90, ToTime: end, Current: true}, At: 40, Writes: 50, Cluster: "lb-2",
		Undone: []node.Undone{{Kind: "key", ID: "k1", Name: "batch", Tenant: "acme", What: "revoked", Time: end}},
	}
	tell := func() string {
		var out strings.Builder
		tellRestored(&out, config.Config{}, made)
		return out.String()
	}
	for _, want := range []string{
		"restored from lb-1 as of index 40\n", "of index 41 to 90, 50 writes are undone. Revocations and the like among them: 1.",
		"  key k1 (batch, tenant acme): was revoked 2026-11-25T12:00:00Z\n", "after 2026-11-25T12:00:00Z, index 90, is undone and not known here",
	} {
		if out := tell(); !strings.Contains(out, want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
	if made.Undone = nil; !strings.Contains(tell(), "No revocation is among them.") {
		t.Errorf("without a revocation:\n%s", tell())
	}
	if made.At = 90; strings.Contains(tell(), "writes are undone") {
		t.Errorf("at the end:\n%s", tell())
	}
}

func TestOfferedName(t *testing.T) {
	for header, want := range map[string]string{
		`attachment; filename="a.lbk"`: "a.lbk", `attachment; filename="../a.lbk"`: "", `attachment; filename="/etc/a.lbk"`: "",
		`attachment; filename="a.sh"`: "", "attachment": "", "": "",
	} {
		if got, err := offeredName(header); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q (%v), want %q", header, got, err, want)
		}
	}
}
