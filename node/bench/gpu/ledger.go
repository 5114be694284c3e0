package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/node/client"
	"github.com/lotabots/lotabots/node/dev"
)

// ledger takes memory on each GPU and sees it go and come back in the ledger of a node.
func (s settings) ledger(ctx context.Context, devices []device.Device) error {
	dir, err := os.MkdirTemp("", "check-gpu")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	free, stop, err := s.startNode(ctx, dir)
	if err != nil {
		return err
	}
	defer stop()
	var failed error
	for _, d := range devices {
		if err := s.takeMemory(ctx, d, free); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", d.UUID, err))
		}
	}
	return failed
}

// A freeOf tells how much memory of a device the node's ledger has free.
type freeOf func(context.Context, device.Device) (uint64, error)

// startNode runs a cluster of one node on the GPUs.
func (s settings) startNode(ctx context.Context, dir string) (freeOf, func(), error) {
	data := filepath.Join(dir, "n1")
	flags := []string{"--id", "n1", "--data", data, "--devices-kind", "nvidia", "--engines-helper", s.helper}
	api := ""
	for _, name := range []string{"--cluster-listen", "--api-listen"} {
		address, err := dev.FreeAddr("127.0.0.1")
		if err != nil {
			return nil, nil, err
		}
		api, flags = "http://"+address, append(flags, name, address)
	}
	if out, err := exec.CommandContext(ctx, s.binary, append([]string{"init"}, flags...)...).CombinedOutput(); err != nil {
		return nil, nil, fmt.Errorf("lotabots init: %w: %s", err, out)
	}
	known, err := client.FromData(data)
	if err != nil {
		return nil, nil, err
	}
	c := client.New(known.Key, api)
	log, err := os.Create(filepath.Join(dir, "node.log"))
	if err != nil {
		return nil, nil, err
	}
	node := exec.CommandContext(ctx, s.binary, append([]string{"node", "run"}, flags...)...)
	node.Stdout, node.Stderr = log, log
	if err := node.Start(); err != nil {
		return nil, nil, errors.Join(err, log.Close())
	}
	stop := func() {
		_ = node.Process.Signal(syscall.SIGTERM)
		_ = node.Wait()
		_ = log.Close()
	}
	free := func(ctx context.Context, d device.Device) (uint64, error) {
		var status struct {
			Devices []struct {
				ID   string `json:"id"`
				Free uint64 `json:"memory_free_bytes"`
			} `json:"devices"`
		}
		if err := c.Do(ctx, "GET", "/admin/v1/status", nil, &status); err != nil {
			return 0, err
		}
		for _, known := range status.Devices {
			if known.ID == string(d.ID) {
				return known.Free, nil
			}
		}
		return 0, errors.New("the node does not show it")
	}
	return free, stop, nil
}

// takeMemory has another process take memory, until the ledger shows it, and give it back.
func (s settings) takeMemory(ctx context.Context, d device.Device, free freeOf) error {
	var before uint64
	if err := until(ctx, "the node shows it", func() (err error) {
		before, err = free(ctx, d)
		return err
	}); err != nil {
		return err
	}
	taken := uint64(s.mib) << 20
	hold := exec.CommandContext(ctx, s.helper, "hold-memory", "--mib", strconv.Itoa(s.mib))
	hold.Env = append(os.Environ(), "CUDA_VISIBLE_DEVICES="+d.UUID)
	hold.Stderr = os.Stderr
	leash, err := hold.StdinPipe()
	if err != nil {
		return err
	}
	hold.Stdout = io.Discard
	if err := hold.Start(); err != nil {
		return err
	}
	var held uint64
	shown := until(ctx, "the ledger shows what was taken", func() error {
		now, err := free(ctx, d)
		if held = before - min(now, before); err == nil && held < taken {
			err = fmt.Errorf("%d of %d bytes", held, taken)
		}
		return err
	})
	err = errors.Join(shown, leash.Close(), hold.Wait())
	if err != nil {
		return err
	}
	err = until(ctx, "the ledger has it back", func() error {
		now, err := free(ctx, d)
		if err == nil && now+taken/2 < before {
			err = fmt.Errorf("%d of %d bytes are still missing", before-now, taken)
		}
		return err
	})
	if err == nil {
		s.say("ledger of %s: %d MiB were free; with %d MiB taken by another process, %d MiB less; afterwards they came back", d.UUID, before>>20, s.mib, held>>20)
	}
	return err
}

// How long the ledger may take, and how often it is asked.
var (
	patience = time.Minute
	poll     = 200 * time.Millisecond
)

// until waits for as long as patience at most.
func until(ctx context.Context, what string, ok func() error) error {
	for end := time.Now().Add(patience); ; {
		err := ok()
		if err == nil {
			return nil
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		time.Sleep(poll)
	}
}
