package device

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// listTimeout bounds one listing: a driver may take seconds to wake its GPUs, and may hang for ever.
const listTimeout = 20 * time.Second

// nvidia lists the GPUs that the helper sees; none is an error.
func nvidia(ctx context.Context, c Config) ([]Device, error) {
	if c.Helper == "" {
		return nil, &spec.Error{
			Code: spec.CodeEngineUnavailable, Message: "NVIDIA GPUs cannot be looked for: lotabots-engine is not on this machine",
			Hint: "Put lotabots-engine beside lotabots, or name it by engines.helper",
		}
	}
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	cmd := helperCommand(ctx, c, "devices")
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return nil, &spec.Error{
			Code: spec.CodeEngineUnavailable, Err: err,
			Message: fmt.Sprintf("listing GPUs by %s failed: %v%s", c.Helper, err, said(complaint.String())),
		}
	}
	var devices []Device
	seen, index := map[string]bool{}, 0
	for raw := range bytes.Lines(out.Bytes()) {
		l, err := parseLine(raw)
		if err != nil {
			return nil, spec.Errorf(spec.CodeEngineUnavailable, "listing GPUs by %s: %v", c.Helper, err)
		}
		switch {
		case l.UUID == "" || l.MemoryTotal == 0:
			c.Log.Warn("a GPU is left out: it does not say what it is", "gpu", index, "name", l.Name, "health", l.Health)
		case !seen[l.UUID]:
			seen[l.UUID] = true
			devices = append(devices, l.device(index))
		}
		index++
	}
	if len(devices) == 0 {
		return nil, spec.Errorf(spec.CodeEngineUnavailable, "no NVIDIA GPU was found%s", said(complaint.String()))
	}
	return devices, nil
}

func helperCommand(ctx context.Context, c Config, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.Helper, args...)
	cmd.SysProcAttr = apart()
	cmd.WaitDelay = time.Second
	return cmd
}

// said puts the last line of what a process complained about behind a sentence.
func said(complaint string) string {
	complaint = strings.TrimSpace(complaint)
	if i := strings.LastIndexByte(complaint, '\n'); i >= 0 {
		complaint = complaint[i+1:]
	}
	if complaint == "" {
		return ""
	}
	return fmt.Sprintf(": %.300s", complaint)
}

// lines gives each line of the helper's to the channel until the helper's output or ctx ends, and closes it.
func lines(ctx context.Context, from *bufio.Scanner, to chan<- []byte) {
	defer close(to)
	from.Buffer(nil, maxLine)
	for from.Scan() {
		select {
		case to <- bytes.Clone(from.Bytes()):
		case <-ctx.Done():
			return
		}
	}
}
