package account

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
)

// An Account is a user of this machine.
type Account struct {
	Name   string   `json:"name"`
	UID    uint32   `json:"uid"`
	GID    uint32   `json:"gid"`
	Groups []uint32 `json:"groups"` // beside GID
}

// Lookup finds an account by its name, its number, or the numbers UID:GID, which nobody else needs to know.
func Lookup(text string) (*Account, error) {
	uid, gid, pair := strings.Cut(text, ":")
	if pair {
		return numbers(text, uid, gid)
	}
	found, err := user.Lookup(text)
	if _, bad := strconv.ParseUint(text, 10, 32); err != nil && bad == nil {
		found, err = user.LookupId(text)
	}
	if err != nil {
		return nil, fmt.Errorf("this machine has no user %q", text)
	}
	a, err := numbers(text, found.Uid, found.Gid)
	if err != nil {
		return nil, err
	}
	groups, err := found.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("the groups of the user %q cannot be found: %w", text, err)
	}
	for _, g := range groups {
		if n, err := strconv.ParseUint(g, 10, 32); err == nil && uint32(n) != a.GID {
			a.Groups = append(a.Groups, uint32(n))
		}
	}
	return a, nil
}

const nobodys = 1<<32 - 1 // which the kernel takes for "as it is"

func numbers(name, uid, gid string) (*Account, error) {
	u, err := strconv.ParseUint(uid, 10, 32)
	g, failed := strconv.ParseUint(gid, 10, 32)
	switch {
	case err != nil || failed != nil || u == nobodys || g == nobodys:
		return nil, fmt.Errorf("%q is no user: give a name, a number, or UID:GID", name)
	case u == 0 || g == 0:
		return nil, errors.New("engines are not to run as root, nor in its group")
	}
	return &Account{Name: name, UID: uint32(u), GID: uint32(g)}, nil
}

// has tells whether the account has the group.
func (a *Account) has(gid uint32) bool {
	if a.GID == gid {
		return true
	}
	for _, g := range a.Groups {
		if g == gid {
			return true
		}
	}
	return false
}

// Open lets the account's group pass through the directory, which is this process's: to what it knows the
// name of, and may read. It lists nothing.
func (a *Account) Open(dir string) error {
	if err := os.Chown(dir, -1, int(a.GID)); err != nil {
		return err
	}
	return os.Chmod(dir, 0o710)
}
