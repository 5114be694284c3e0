package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/lotabots/lotabots/actors/llamacpp/library"
	"github.com/lotabots/lotabots/actors/llamacpp/tuning"
)

const (
	slots      = 8
	perRequest = 1024 // tokens of one request
)

// A setup is what both servers have in common.
type setup struct {
	helper, server, model, libraries, variant string
	threads                                   int
}

// complete fills in what was left open.
func (s *setup) complete(ctx context.Context) (err error) {
	if s.libraries, err = library.Find(""); err != nil {
		return err
	}
	if s.server, err = findServer(s.server); err != nil {
		return err
	}
	if s.model, err = filepath.Abs(s.model); err != nil {
		return err
	}
	if s.threads == 0 {
		c, err := s.measured(ctx)
		if err != nil {
			return err
		}
		s.threads = c.Threads
	}
	return nil
}

// measured is what the engine has kept of this machine; a start makes it measure.
func (s *setup) measured(ctx context.Context) (tuning.Choice, error) {
	info, err := os.Stat(s.model)
	if err != nil {
		return tuning.Choice{}, err
	}
	file, err := tuning.File()
	if err != nil {
		return tuning.Choice{}, err
	}
	key, err := tuning.Key(s.libraries, info.Size())
	if err != nil {
		return tuning.Choice{}, err
	}
	c, ok := tuning.Known(file, key)
	if !ok {
		p, err := s.start(ctx, s.helper, []string{"serve", "--libraries", s.libraries, "--model", s.model, "--socket"})
		if err != nil {
			return c, err
		}
		p.stop()
		if c, ok = tuning.Known(file, key); !ok {
			return c, errors.New("the engine has not measured this machine: name -threads")
		}
	}
	return c, nil
}

func (s *setup) startOurs(ctx context.Context) (*process, error) {
	return s.start(ctx, s.helper, []string{
		"serve", "--libraries", s.libraries, "--model", s.model, "--variant", s.variant, "--threads", strconv.Itoa(s.threads),
		"--context", strconv.Itoa(perRequest), "--slots", strconv.Itoa(slots), "--embeddings", "off", "--socket",
	})
}

// startTheirs has flash attention off, as ours on a CPU: it is slower there.
func (s *setup) startTheirs(ctx context.Context) (*process, error) {
	threads := strconv.Itoa(s.threads)
	return s.start(ctx, s.server, []string{
		"-m", s.model, "-t", threads, "-tb", threads, "-c", strconv.Itoa(slots * perRequest), "-np", strconv.Itoa(slots),
		"-fa", "off", "-ngl", "0", "--no-webui", "--host",
	})
}

// A process is a server on a Unix socket.
type process struct {
	command *exec.Cmd
	client  *http.Client
	room    string // removed at the end
	done    chan error
}

// start runs a server whose last argument is its socket's path, and waits until it is well.
func (s *setup) start(ctx context.Context, program string, args []string) (*process, error) {
	room, err := os.MkdirTemp("", "lb")
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(room, "e.sock")
	p := &process{
		command: exec.CommandContext(ctx, program, append(args, socket)...), done: make(chan error, 1), room: room,
		client: &http.Client{Transport: &http.Transport{
			DisableKeepAlives: true, // llama-server closes idle connections, which would fail a request now and then
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", socket)
			},
		}},
	}
	log, err := os.Create(filepath.Join(room, "log"))
	if err != nil {
		return nil, err
	}
	p.command.Stdout, p.command.Stderr = log, log
	err = p.command.Start()
	_ = log.Close()
	if err != nil {
		return nil, err
	}
	go func() { p.done <- p.command.Wait() }()
	for end := time.Now().Add(time.Minute); ; {
		select {
		case err := <-p.done:
			p.done <- err
			return nil, fmt.Errorf("%s ended at its start (%w): %s", filepath.Base(program), err, p.said())
		case <-time.After(50 * time.Millisecond):
		}
		if p.healthy(ctx) {
			return p, nil
		}
		if time.Now().After(end) {
			p.stop()
			return nil, fmt.Errorf("%s is not ready after a minute", filepath.Base(program))
		}
	}
}

// said is the end of what the server wrote.
func (p *process) said() []byte {
	said, _ := os.ReadFile(filepath.Join(p.room, "log")) // nothing is better than another error
	return said[max(0, len(said)-2000):]
}

func (p *process) healthy(ctx context.Context) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/health", nil)
	if err != nil {
		return false
	}
	response, err := p.client.Do(r)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	var body struct{ Status string }
	return response.StatusCode == http.StatusOK && json.NewDecoder(response.Body).Decode(&body) == nil
}

// cpu is the seconds of the processor that the server has had; 0 where that is not told as on Linux.
func (p *process) cpu() float64 {
	if p.command == nil {
		return 0
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.command.Process.Pid))
	if err != nil {
		return 0
	}
	return ticks(string(stat)) / 100
}

// ticks adds up the time in user and in kernel mode; the program's name, in brackets, may have spaces.
func ticks(stat string) float64 {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return user + system
}

func (p *process) stop() {
	p.client.CloseIdleConnections()
	_ = p.command.Process.Kill()
	<-p.done
	_ = os.RemoveAll(p.room)
}
