package account

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// needed are the capabilities that it takes to start programs as another user, to end them, and to reach
// their sockets: by their numbers in linux/capability.h.
var needed = []struct {
	name string
	bit  uint
}{{"CAP_CHOWN", 0}, {"CAP_DAC_OVERRIDE", 1}, {"CAP_KILL", 5}, {"CAP_SETGID", 6}, {"CAP_SETUID", 7}}

// May tells why this process cannot start programs as another user; nil: it can.
func May() error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	return may(status, os.Geteuid() == 0)
}

func may(status []byte, root bool) error {
	set := "CapEff:"
	if !root {
		set = "CapAmb:" // those that the shim will have as well
	}
	for line := range bytes.Lines(status) {
		rest, ok := strings.CutPrefix(string(line), set)
		if !ok {
			continue
		}
		has, err := strconv.ParseUint(strings.TrimSpace(rest), 16, 64)
		if err != nil {
			return err
		}
		var lacks []string
		for _, n := range needed {
			if has&(1<<n.bit) == 0 {
				lacks = append(lacks, n.name)
			}
		}
		if len(lacks) > 0 {
			return fmt.Errorf("the node is not root, or lacks the capabilities %s", strings.Join(lacks, ", "))
		}
		return nil
	}
	return errors.New("the node's capabilities are not known")
}
