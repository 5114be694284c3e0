package shim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Version is the newest version of the protocol that this build speaks, and oldest the oldest.
const (
	Version = 1
	oldest  = 1
)

// maxLine bounds a message. An environment and a note are its largest parts.
const maxLine = 1 << 20

// What a request may ask for.
const (
	doDescribe = "describe"
	doClaim    = "claim"  // the connection holds the engine from then on
	doLaunch   = "launch" // starts the engine; once, by the claim's connection
	doNote     = "note"   // replaces the note; by the claim's connection
	doTail     = "tail"
	doStop     = "stop"
	doPing     = "ping"  // has nothing done; later than the rest
	doFence    = "fence" // of version 1, which no node has ever asked for; it is refused
)

// A request is one question to a shim.
type request struct {
	V      int      `json:"v"`
	ID     uint64   `json:"id"` // repeated in the answer
	Do     string   `json:"do"`
	Claim  *Claim   `json:"claim,omitempty"`
	Launch *Command `json:"launch,omitempty"`
	Note   []byte   `json:"note,omitempty"` // with note and launch
	Grace  int64    `json:"grace_ms,omitempty"`
	Epoch  uint64   `json:"epoch,omitempty"`
}

// A Claim says who holds the engine, and for which placement.
type Claim struct {
	Node     string `json:"node"`
	Boot     uint64 `json:"boot"` // tells a node's processes apart; a later one has a higher
	Instance string `json:"instance"`
	Epoch    uint64 `json:"epoch"`
	Linger   int64  `json:"linger_ms"` // how long the engine may run without a claim; 0: not at all
	Grace    int64  `json:"grace_ms"`  // between SIGTERM and SIGKILL where the shim itself ends the engine
}

func (c Claim) linger() time.Duration { return milliseconds(c.Linger) }
func (c Claim) grace() time.Duration  { return milliseconds(c.Grace) }

// maxWait bounds the durations of messages, so that no sum overflows.
const maxWait = 365 * 24 * time.Hour

func milliseconds(n int64) time.Duration {
	return time.Duration(min(max(n, 0), int64(maxWait/time.Millisecond))) * time.Millisecond
}

// A Command is a program to run in the room.
type Command struct {
	Path string   `json:"path"`
	Args []string `json:"args"`
	Env  []string `json:"env"` // all of it
	Log  string   `json:"log"` // path of the file that takes its output

	Dir  string `json:"dir,omitempty"`  // where it runs, in the room; empty: the room itself
	User *User  `json:"user,omitempty"` // nil: the shim's own

	// Leash makes the program die with the shim though it starts others, or knows nothing of us: a shell
	// beside it waits for the shim's end and kills the whole group. Without, stdin is a pipe that ends
	// with the shim, which the program has to watch itself.
	Leash bool `json:"leash"`
}

// A User is whom a program runs as. It gets no privileges that way, nor by what it starts.
type User struct {
	UID    uint32   `json:"uid"`
	GID    uint32   `json:"gid"`
	Groups []uint32 `json:"groups,omitempty"` // beside GID
}

// Codes of refusals.
const (
	codeVersion = "version" // not spoken
	codeBad     = "bad"     // not understood
	codeStale   = "stale"   // of a lower epoch than the engine's
	codeClaimed = "claimed" // somebody else has the claim
	codeForeign = "foreign" // another node's, or another instance's
	codeFenced  = "fenced"  // a higher epoch has ended the engine
	codeState   = "state"   // not now, or not you
	codeStart   = "start"   // the program could not be started
)

// An answer is a shim's reply to one request, or an event.
type answer struct {
	V      int          `json:"v"`
	ID     uint64       `json:"id,omitempty"`
	Code   string       `json:"code,omitempty"` // empty: done
	Text   string       `json:"text,omitempty"`
	Speaks []int        `json:"speaks,omitempty"` // with codeVersion: oldest and newest
	State  *Description `json:"state,omitempty"`  // with describe, claim and launch
	Tail   string       `json:"tail,omitempty"`
	Event  string       `json:"event,omitempty"` // no request's answer
	Ended  *Ending      `json:"ended,omitempty"`
}

// Events.
const (
	eventEnded     = "ended"     // the engine is gone, and the shim is about to be
	eventDisplaced = "displaced" // a newer process has the claim
)

// A Description is what a shim holds.
type Description struct {
	Shim   int    `json:"shim"`          // process
	PID    int    `json:"pid,omitempty"` // of the engine, which leads its group; 0: none yet
	Phase  string `json:"phase"`         // empty, running, stopping, killing, ended
	Claim  Claim  `json:"claim"`         // the last one
	Held   bool   `json:"held"`          // its connection is open
	Note   []byte `json:"note,omitempty"`
	Cgroup bool   `json:"cgroup"` // the engine has one of its own
}

// An Ending is how an engine ended.
type Ending struct {
	How  string `json:"how"`  // such as "exit status 1"
	Why  string `json:"why"`  // what the shim did it for; empty: the engine ended by itself
	Tail string `json:"tail"` // its last lines
}

var errTooLong = errors.New("a message is too long")

// frame is m as a line.
func frame(m any) ([]byte, error) {
	line, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	if len(line) >= maxLine {
		return nil, errTooLong
	}
	return append(line, '\n'), nil
}

// lines reads messages, none longer than maxLine.
func lines(r interface{ Read([]byte) (int, error) }) *bufio.Scanner {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 4<<10), maxLine)
	return s
}

// parse reads a request. The answer is nil, or refuses it.
func parse(line []byte) (request, *answer) {
	var head struct {
		V  int    `json:"v"`
		ID uint64 `json:"id"`
	}
	d := json.NewDecoder(bytes.NewReader(line))
	if err := d.Decode(&head); err != nil {
		return request{}, &answer{V: Version, Code: codeBad, Text: "this is no message: " + err.Error()}
	}
	if head.V < oldest || head.V > Version {
		return request{}, &answer{V: Version, ID: head.ID, Code: codeVersion, Speaks: []int{oldest, Version},
			Text: fmt.Sprintf("this shim speaks the versions %d to %d of its protocol, not %d", oldest, Version, head.V)}
	}
	var r request
	if err := json.Unmarshal(line, &r); err != nil {
		return request{}, &answer{V: head.V, ID: head.ID, Code: codeBad, Text: err.Error()}
	}
	missing := r.Do == doClaim && (r.Claim == nil || r.Claim.Instance == "" || r.Claim.Node == "") || r.Do == doLaunch && (r.Launch == nil || r.Launch.Path == "")
	switch r.Do {
	case doDescribe, doClaim, doLaunch, doNote, doTail, doStop, doPing, doFence:
	default:
		return request{}, &answer{V: r.V, ID: r.ID, Code: codeBad, Text: fmt.Sprintf("there is no request %.40q", r.Do)}
	}
	if missing {
		return request{}, &answer{V: r.V, ID: r.ID, Code: codeBad, Text: r.Do + " without what it is about"}
	}
	return r, nil
}

// Claimed is the code of the refusal of a claim that another process has.
const Claimed = codeClaimed
