package shim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"syscall"
	"time"
)

func parseAnswer(line []byte) (answer, error) {
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		return answer{}, err
	}
	return a, nil
}

// askTime bounds a question where the caller has no time to lose.
const askTime = 2 * time.Second

// Describe asks what the shim holds.
func (l *Link) Describe(ctx context.Context) (*Description, error) {
	a, err := l.call(ctx, request{Do: doDescribe})
	return described(a, err)
}

// Claim makes this link the one that holds the engine, or raises its epoch.
func (l *Link) Claim(ctx context.Context, c Claim) (*Description, error) {
	a, err := l.call(ctx, request{Do: doClaim, Claim: &c})
	if err == nil {
		l.mu.Lock()
		l.mu.held = true
		l.mu.Unlock()
	}
	return described(a, err)
}

// Launch starts the engine, with its note.
func (l *Link) Launch(ctx context.Context, c Command, note []byte) (*Description, error) {
	a, err := l.call(ctx, request{Do: doLaunch, Launch: &c, Note: note})
	return described(a, err)
}

func described(a answer, err error) (*Description, error) {
	if err == nil && a.State == nil {
		err = errors.New("the shim's answer does not describe it")
	}
	return a.State, err
}

// Note replaces the note.
func (l *Link) Note(ctx context.Context, note []byte) error {
	_, err := l.call(ctx, request{Do: doNote, Note: note})
	return err
}

// Tail is the last whole lines of what the engine has said, joined for one message.
func (l *Link) Tail() string {
	l.mu.Lock()
	told, tail := l.mu.told, l.mu.ending.Tail
	l.mu.Unlock()
	if told {
		return tail
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	a, _ := l.call(ctx, request{Do: doTail})
	return a.Tail
}

// Done is closed when the shim and all that it held are gone, or the claim is not ours any more.
func (l *Link) Done() <-chan struct{} { return l.done }

// Ending is how the engine ended, once Done is closed.
func (l *Link) Ending() Ending {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.ending
}

// Stop asks the engine to end, kills it and its group when the grace or ctx is over, and waits until they
// are gone. A shim that does not do so is killed.
func (l *Link) Stop(ctx context.Context, grace time.Duration) error {
	l.askToStop(grace)
	limit := time.NewTimer(grace)
	defer limit.Stop()
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
	case <-limit.C:
	}
	l.askToStop(0)
	if l.gone(killWait) {
		return nil
	}
	return l.Kill()
}

// Kill ends a shim that answers nothing any more, and waits until it and the engine, which dies with it, are gone.
func (l *Link) Kill() error {
	l.kill()
	if l.gone(killWait) {
		return nil
	}
	return fmt.Errorf("the engine in %s does not end, though it was killed", l.room)
}

// killWait bounds how long a killed process may stay: one stuck in a driver cannot be ended by anybody.
const killWait = 10 * time.Second

func (l *Link) askToStop(grace time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	_, err := l.call(ctx, request{Do: doStop, Grace: grace.Milliseconds()}) // else it is gone, or about to be killed
	if errors.Is(err, ErrVersion) {
		l.signal(syscall.SIGTERM) // what every generation understands
	}
}

func (l *Link) gone(within time.Duration) bool {
	limit := time.NewTimer(within)
	defer limit.Stop()
	select {
	case <-l.done:
		return true
	case <-limit.C:
		return false
	}
}

// Release gives the claim up and leaves the engine to its linger.
func (l *Link) Release() {
	l.mu.Lock()
	l.mu.released = true
	if l.mu.ending.How == "" {
		l.mu.ending.How = errReleased.Error()
	}
	l.mu.Unlock()
	_ = l.conn.Close()
	<-l.done
	if l.child != nil {
		_ = l.child.Process.Release()
	}
}
