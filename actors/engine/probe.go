package engine

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/lotabots/lotabots/actors/engine/account"
)

// probeTime bounds what a program may take to tell of itself.
const probeTime = 10 * time.Second

// tellsOf asks the program for its help, as whom it would run, and looks for a text in it, in lower case.
func tellsOf(path, text string, u *account.Account) bool {
	ctx, cancel := context.WithTimeout(context.Background(), probeTime)
	defer cancel()
	c := exec.CommandContext(ctx, path, "--help")
	c.Env, c.Dir, c.WaitDelay = inherited(os.Environ()), "/", time.Second
	if u != nil {
		c.Env = withoutOwn(c.Env)
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}}
	}
	out, _ := c.CombinedOutput() // one that fails tells nothing
	return strings.Contains(strings.ToLower(string(out)), text)
}

// headRead is how much of a GGUF its own keys are looked for in: they come before the tokens.
const headRead = 256 << 10

// saysPooling tells whether a GGUF has a kind of pooling of its own.
func saysPooling(model string) bool {
	f, err := os.Open(model)
	if err != nil {
		return false
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, headRead))
	return err == nil && bytes.Contains(head, []byte(".pooling_type"))
}
