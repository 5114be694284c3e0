package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	phrase := filepath.Join(dir, "phrase")
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
