package account

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Rights, as three of a file's mode bits.
const (
	read = 4
	pass = 1
)

// Blocked tells what, going by modes alone, keeps the account from reading the file or directory at path;
// nil: nothing that they tell of. Whoever asks wants to explain a failure: access lists may say otherwise.
func (a *Account) Blocked(path string) error {
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return err
	}
	if err := a.blocked(real, read); err != nil {
		return err
	}
	return a.shut(filepath.Dir(real))
}

// Shut tells what keeps the account from passing through the directory.
func (a *Account) Shut(dir string) error {
	real, err := filepath.EvalSymlinks(dir)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return err
	}
	return a.shut(real)
}

func (a *Account) shut(dir string) error {
	for {
		above := filepath.Dir(dir)
		if err := a.blocked(dir, pass); err != nil || dir == above {
			return err
		}
		dir = above
	}
}

func (a *Account) blocked(path string, want os.FileMode) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	mode := info.Mode().Perm()
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		switch {
		case s.Uid == a.UID:
			mode >>= 6
		case a.has(s.Gid):
			mode >>= 3
		}
	}
	if mode&want == want {
		return nil
	}
	return fmt.Errorf("%s, whose mode is %04o, does not let the user %s in", path, info.Mode().Perm(), a.Name)
}
