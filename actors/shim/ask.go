package shim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
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

// askTime bounds a question where the caller has no time to lose, describeTime the one for which a node's start
// waits, and beginTime what comes before the engine runs: the shim itself has to start, and its disk may be slow.
const (
	askTime      = 2 * time.Second
	describeTime = 3 * time.Second
	beginTime    = 30 * time.Second
)

// Describe asks what the shim holds. The error is ErrMute where it answers nothing though it could.
func (l *Link) Describe(ctx context.Context) (*Description, error) {
	a, err := l.ask(ctx, request{Do: doDescribe}, describeTime)
	return described(a, err)
}

// Claim makes this link the one that holds the engine, or raises its epoch.
func (l *Link) Claim(ctx context.Context, c Claim) (*Description, error) {
	a, err := l.ask(ctx, request{Do: doClaim, Claim: &c}, beginTime)
	if err == nil {
		l.mu.Lock()
		l.mu.held = true
		l.mu.Unlock()
	}
	return described(a, err)
}

// Launch starts the engine, with its note.
func (l *Link) Launch(ctx context.Context, c Command, note []byte) (*Description, error) {
	a, err := l.ask(ctx, request{Do: doLaunch, Launch: &c, Note: note}, beginTime)
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
// are gone. A shim that does not do so is killed, and one that does not even answer at once.
func (l *Link) Stop(ctx context.Context, grace time.Duration) error {
	if !l.askToStop(grace) {
		return l.killMute()
	}
	limit := time.NewTimer(grace)
	defer limit.Stop()
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
	case <-limit.C:
	}
	if !l.askToStop(0) { // it may have been stopped since
		return l.killMute()
	}
	if l.gone(killWait) {
		return nil
	}
	return l.Kill()
}

// How often a shim is pinged, and how many pings in a row go unanswered, for askTime each, before it counts as dead.
const (
	pingEvery = time.Second
	maxMissed = 3
)

// Attend returns when the link is Done. Until then it pings the shim, and kills one that answers nothing any more,
// stopped or wedged: nobody else would notice while the engine loads, nor could have the engine ended. It is called
// once the engine is launched, from one goroutine; muted is called before the shim is killed.
func (l *Link) Attend(muted func()) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.done:
			return
		case <-tick.C:
		}
		if l.answers() {
			continue
		}
		muted()
		_ = l.killMute() // should it stay, whoever stops the engine is told
		<-l.done
	}
}

// answers tells whether one of maxMissed pings brings any word of the shim. A shim of an earlier build knows no
// pings, and says so: that is an answer too.
func (l *Link) answers() bool {
	for range maxMissed {
		before := l.heard.Load()
		_, err := l.ask(context.Background(), request{Do: doPing}, askTime)
		if !errors.Is(err, ErrMute) && !errors.Is(err, os.ErrDeadlineExceeded) || l.heard.Load() != before {
			return true
		}
	}
	return false
}

// killMute is Kill of a shim that answers nothing. What is below it goes first: as long as it is there, it is
// the parent of all that the engine has left behind, of which nobody would know afterwards.
func (l *Link) killMute() error {
	l.mu.Lock()
	l.mu.mute = true
	l.mu.Unlock()
	for end := time.Now().Add(childWait); l.alive() && time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		left := below(l.shim, processes())
		if len(left) == 0 {
			break
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
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

// askToStop returns false if the shim is there and does not answer.
func (l *Link) askToStop(grace time.Duration) bool {
	_, err := l.ask(context.Background(), request{Do: doStop, Grace: grace.Milliseconds()}, askTime) // else it is gone
	if errors.Is(err, ErrVersion) {
		l.signal(syscall.SIGTERM) // what every generation understands
	}
	return !errors.Is(err, ErrMute) && !errors.Is(err, os.ErrDeadlineExceeded)
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
