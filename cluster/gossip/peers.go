package gossip

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/whole"
)

// peers remembers where members were, so that a node finds its cluster again
// after a restart of everything. It is a hint: a lost or damaged file costs only
// that. Members that left are kept, since a node also leaves to restart.
type peers struct {
	file  string // empty: remember in memory only
	log   *slog.Logger
	dirty chan struct{}

	mu struct {
		sync.Mutex
		list []peer // the latest seen last
	}
}

type peer struct {
	ID   string `json:"id"`
	Addr string `json:"addr"` // ip:port
}

type peersFile struct {
	Peers []peer `json:"peers"`
}

func openPeers(file string, log *slog.Logger) *peers {
	p := &peers{file: file, log: log, dirty: make(chan struct{}, 1)}
	if file == "" {
		return p
	}
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return p
	}
	if err == nil {
		p.mu.list, err = parsePeers(raw)
	}
	if err != nil {
		log.Warn("the remembered peers cannot be read; going on without", "file", file, "error", err)
	}
	return p
}

// parsePeers reads the file's content, and leaves out what is no peer.
func parsePeers(raw []byte) ([]peer, error) {
	var f peersFile
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, err
	}
	var out []peer
	for _, p := range f.Peers {
		_, _, err := net.SplitHostPort(p.Addr)
		if err == nil && spec.NodeID(p.ID).Valid() == nil && !slices.ContainsFunc(out, func(o peer) bool { return o.ID == p.ID }) {
			out = append(out, p)
		}
	}
	return out[max(0, len(out)-maxPeers):], nil
}

// remember notes where a member is. It does not block.
func (p *peers) remember(n peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := slices.IndexFunc(p.mu.list, func(o peer) bool { return o.ID == n.ID })
	if at >= 0 && p.mu.list[at] == n {
		return
	}
	if at >= 0 {
		p.mu.list = slices.Delete(p.mu.list, at, at+1)
	}
	p.mu.list = append(p.mu.list, n)
	if len(p.mu.list) > maxPeers {
		p.mu.list = slices.Delete(p.mu.list, 0, len(p.mu.list)-maxPeers)
	}
	select {
	case p.dirty <- struct{}{}:
	default:
	}
}

func (p *peers) addrs() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, o := range p.mu.list {
		out = append(out, o.Addr)
	}
	return out
}

// keep writes the file when something has changed, but not all the time, until
// stop is closed.
func (p *peers) keep(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			select {
			case <-p.dirty:
				p.write()
			default:
			}
			return
		case <-p.dirty:
			p.write()
		}
		select {
		case <-stop:
		case <-time.After(peersPause):
		}
	}
}

func (p *peers) write() {
	if p.file == "" {
		return
	}
	p.mu.Lock()
	raw, err := json.MarshalIndent(peersFile{p.mu.list}, "", "  ")
	p.mu.Unlock()
	if err == nil {
		err = whole.Write(p.file, append(raw, '\n'))
	}
	if err != nil {
		p.log.Warn("the peers were not remembered", "file", p.file, "error", err)
	}
}
